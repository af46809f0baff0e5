from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from unittest import mock

import duckdb
import pytest

from edge.clock import NS_PER_S, ManualClock, Seen
from edge.errors import StorageError
from edge.storage import Pruned, Row, Store, schema
from edge.storage.schema import MIGRATIONS, migrate, values
from tests.support.rows import Heard, audit_row, open_store, task_row, uid, unfinished

NOW_NS = 1_000
LONG_NS = NOW_NS
MANY = 1_000
DAY_NS = 24 * 3_600 * NS_PER_S
YEAR_NS = 365 * DAY_NS
JUMPS_NS = [DAY_NS, -DAY_NS, 10 * YEAR_NS, -10 * YEAR_NS, 10_000 * YEAR_NS]
KEEP_NS = 3_600 * NS_PER_S
"""The shortest that an admin may set."""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    clock = ManualClock()
    store = await open_store(tmp_path / "edge.duckdb", clock=clock)
    clock.advance(NOW_NS)
    yield store
    await store.close()


async def write(store: Store, number: int, state: str, run_ns: int = 0, wall_ns: int = 5) -> None:
    """A task that reached this state when the node had run for so long."""
    await store.commit(
        [
            task_row(number, created_ns=wall_ns, run_ns=run_ns),
            audit_row(number, at_ns=wall_ns, run_ns=run_ns),
            task_row(number, 2, "executing", created_ns=wall_ns, run_ns=run_ns),
            task_row(number, 3, state, created_ns=wall_ns, finished_ns=wall_ns, run_ns=run_ns),
            audit_row(number, at_ns=wall_ns, to_state=state, run_ns=run_ns),
        ]
    )


async def write_now(store: Store, clock: ManualClock, number: int) -> None:
    now = clock.moment()
    await write(store, number, "completed", now.run_ns, now.wall_ns)


async def left(store: Store) -> list[str]:
    return sorted(task.task_id for task in await store.history(limit=100))


async def left_of_age(store: Store) -> list[str]:
    """What a pruning leaves that looks at the age alone."""
    await store.prune(max_age_ns=KEEP_NS, max_tasks=MANY)
    return await left(store)


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
    # The first ended by a clock that was years ahead, and the later ones by one that was behind.
    for number in range(1, 6):
        await write(store, number, "cancelled", wall_ns=10**18 - number)
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
    (task,) = await unfinished(store)
    assert (task.version, task.spec) == (4, b"the request once more")


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


async def test_what_waits_for_the_next_try_is_not_cleared_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard()
    store = await open_store(tmp_path / "edge.duckdb", heard)
    await write(store, 1, "executing")
    append = store._database.append

    def fail_afterwards(rows: Sequence[Row]) -> None:
        append(rows)
        raise duckdb.IOException("the disk failed after it had written")

    monkeypatch.setattr(store._database, "append", fail_afterwards)
    with pytest.raises(StorageError, match="after it had written"):
        await store.commit([task_row(1, 4, "completed")])
    with pytest.raises(StorageError, match="after it had written"):
        await store.prune(max_age_ns=0, max_tasks=0)
    monkeypatch.setattr(store._database, "append", append)
    await heard.next("store.recovered")
    task = await store.get(uid(1))
    assert task is not None
    assert (task.version, task.state) == (4, "completed")
    await store.close()


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


async def test_age_is_the_time_for_which_the_node_ran(tmp_path: Path) -> None:
    clock = ManualClock()
    store = await open_store(tmp_path / "edge.duckdb", clock=clock)
    await write_now(store, clock, 1)
    clock.advance(KEEP_NS)
    assert await left_of_age(store) == [uid(1)]
    clock.advance(1)
    assert await left_of_age(store) == []
    await store.close()


@pytest.mark.parametrize("jump_ns", JUMPS_NS)
async def test_a_jump_in_a_running_node_makes_nothing_old_and_nothing_young(
    tmp_path: Path, jump_ns: int
) -> None:
    clock = ManualClock()
    store = await open_store(tmp_path / "edge.duckdb", clock=clock)
    await write_now(store, clock, 1)
    clock.advance(KEEP_NS - 1)
    clock.set_wall(clock.wall_ns() + jump_ns)
    await write_now(store, clock, 2)
    clock.advance(1)
    assert await left_of_age(store) == [uid(1), uid(2)]
    clock.advance(1)
    assert await left_of_age(store) == [uid(2)]
    clock.set_wall(clock.wall_ns() - jump_ns)
    assert await left_of_age(store) == [uid(2)]
    clock.advance(KEEP_NS)
    assert await left_of_age(store) == []
    await store.close()


@pytest.mark.parametrize("jump_ns", JUMPS_NS)
@pytest.mark.parametrize("killed", [True, False])
async def test_a_jump_before_a_start_makes_nothing_old_and_nothing_young(
    tmp_path: Path, jump_ns: int, killed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    store = await open_store(tmp_path / "edge.duckdb", clock=clock)
    await write_now(store, clock, 1)
    clock.advance(KEEP_NS // 2)
    await write_now(store, clock, 2)
    if killed:
        # The file knows of the rows alone.
        monkeypatch.setattr(store._database, "note", lambda _seen: None)
    await store.close()
    clock = ManualClock(wall_ns=clock.wall_ns() + jump_ns)
    store = await open_store(tmp_path / "edge.duckdb", clock=clock)
    assert await left_of_age(store) == [uid(1), uid(2)]
    clock.advance(KEEP_NS // 2 + 1)
    assert await left_of_age(store) == [uid(2)]
    clock.advance(KEEP_NS // 2)
    assert await left_of_age(store) == []
    await store.close()


async def test_time_without_tasks_is_remembered_as_often_as_it_is_noted(tmp_path: Path) -> None:
    clock = ManualClock()
    store = await open_store(tmp_path / "edge.duckdb", clock=clock)
    await write_now(store, clock, 1)
    clock.advance(KEEP_NS)
    store.note_time()
    await store.commit([])  # the thread that writes has come as far
    noted = await asyncio.to_thread(store._database.last_seen)
    assert noted == clock.seen()
    clock.advance(1)
    await store.close()
    clock = ManualClock(wall_ns=0)
    store = await open_store(tmp_path / "edge.duckdb", clock=clock)
    assert clock.moment().run_ns == KEEP_NS + 1
    assert await left_of_age(store) == []
    await store.close()


async def test_a_disk_that_does_not_take_the_time_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard()
    store = await open_store(tmp_path / "edge.duckdb", heard)

    def refuse(_seen: Seen) -> None:
        raise duckdb.IOException("No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(store._database, "note", refuse)
        store.note_time()
        failed = await heard.next("store.failed")
    assert "No space left" in str(failed.fields["error"])
    await store.close()


async def test_a_file_from_before_the_counting_is_as_old_as_the_counting(tmp_path: Path) -> None:
    path = tmp_path / "edge.duckdb"
    with duckdb.connect(str(path)) as connection, known_alone(MIGRATIONS[:2]):
        migrate(connection)
        for number, finished_ns in ((1, 5), (2, 10 * YEAR_NS), (3, 250 * YEAR_NS)):
            row = task_row(number, 1, "completed", created_ns=5, finished_ns=finished_ns)
            marks = ", ".join("?" * 13)
            connection.execute(f"INSERT INTO journal VALUES ({marks})", values(row)[:-1])
    clock = ManualClock()
    store = await open_store(path, clock=clock)
    clock.advance(KEEP_NS)
    assert await left_of_age(store) == [uid(1), uid(2), uid(3)]
    clock.advance(1)
    assert await left_of_age(store) == []
    await store.close()


def known_alone(migrations: tuple[str, ...]) -> AbstractContextManager[object]:
    """Only these migrations are known for the time of the block."""
    return mock.patch.object(schema, "MIGRATIONS", migrations)
