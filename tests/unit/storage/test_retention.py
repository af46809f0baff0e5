from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import duckdb
import pytest

from edge.clock import ManualClock
from edge.errors import StorageError
from edge.storage import Pruned, Store
from tests.support.rows import audit_row, open_store, task_row, uid

NOW_NS = ManualClock().wall_ns()
LONG_NS = NOW_NS
MANY = 1_000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await open_store(tmp_path / "edge.duckdb")
    yield store
    await store.close()


async def write(store: Store, number: int, state: str, finished_ns: int | None = None) -> None:
    await store.commit(
        [
            task_row(number),
            audit_row(number),
            task_row(number, 2, "executing"),
            task_row(number, 3, state, finished_ns=finished_ns),
            audit_row(number, to_state=state),
        ]
    )


async def left(store: Store) -> list[str]:
    return sorted(task.task_id for task in await store.history(limit=100))


async def test_versions_that_were_replaced_go_and_the_task_stays(store: Store) -> None:
    await write(store, 1, "completed", NOW_NS)
    before = await store.get(uid(1))
    assert await store.prune(max_age_ns=LONG_NS, max_tasks=MANY) == Pruned(0, 1)
    assert await store.get(uid(1)) == before
    assert len(await store.audit(uid(1))) == 2
    assert await store.prune(max_age_ns=LONG_NS, max_tasks=MANY) == Pruned(0, 0)


async def test_what_ended_long_ago_goes_with_its_trail(store: Store) -> None:
    await write(store, 1, "completed", NOW_NS - 11)
    await write(store, 2, "discarded", NOW_NS - 10)
    await write(store, 3, "executing")
    pruned = await store.prune(max_age_ns=10, max_tasks=MANY)
    assert pruned.tasks == 1
    assert await left(store) == [uid(2), uid(3)]
    assert await store.audit(uid(1)) == []


async def test_of_too_many_the_oldest_go_and_never_an_unfinished_one(store: Store) -> None:
    for number in range(1, 6):
        await write(store, number, "cancelled", NOW_NS + number)
    await write(store, 6, "available")
    assert (await store.prune(max_age_ns=LONG_NS, max_tasks=2)).tasks == 3
    assert await left(store) == [uid(4), uid(5), uid(6)]
    assert (await store.prune(max_age_ns=LONG_NS, max_tasks=0)).tasks == 2
    assert await left(store) == [uid(6)]


async def test_a_task_that_runs_again_outlives_the_end_of_its_first_life(store: Store) -> None:
    await write(store, 1, "completed", NOW_NS - 100)
    await store.prune(max_age_ns=10, max_tasks=MANY)
    # Its actor was still there, and somebody wanted it again in that moment.
    again = task_row(1, 4, "available", spec=b"the request once more")
    await store.commit([again])
    (unfinished,) = await store.unfinished()
    assert (unfinished.version, unfinished.spec) == (4, b"the request once more")


async def test_a_disk_that_refuses_loses_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(store, 1, "completed", NOW_NS - 100)

    def refuse(_statements: object) -> list[int]:
        raise duckdb.IOException("No space left on device")

    monkeypatch.setattr(store._database, "transaction", refuse)
    with pytest.raises(StorageError, match="refuses to prune"):
        await store.prune(max_age_ns=10, max_tasks=MANY)
    assert await left(store) == [uid(1)]


async def test_the_space_is_used_again(store: Store) -> None:
    def fill(first: int) -> list[object]:
        return [
            task_row(number, 1, "completed", finished_ns=1, snapshot=b"%d" % number * 1_000)
            for number in range(first, first + 2_000)
        ]

    sizes = []
    for turn in range(6):
        await store.commit(fill(1 + turn * 2_000))  # type: ignore[arg-type]  # a list of task rows
        await store.prune(max_age_ns=1, max_tasks=MANY)
        sizes.append(store.path.stat().st_size)
    assert await left(store) == []
    assert sizes[-1] <= 2 * sizes[1]
