from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from pathlib import Path

import duckdb
import pytest

from edge.clock import NS_PER_MS, ManualClock
from edge.errors import NotFound, StartupError, StorageError
from edge.storage import Row, Store, StoredTask, Wanted, opening
from edge.storage.database import Database
from edge.storage.reads import ANSWERS_MAX
from edge.storage.store import OPENING_SAID_MS, TOLD_AT_ONCE_MAX
from edge.storage.verdict import Found
from tests.support.rows import Heard, audit_row, open_store, task_row, uid, unfinished


def unreadable_files(folder: Path) -> list[Path]:
    return list(folder.glob("*.unreadable-*"))


def ids(tasks: list[StoredTask]) -> list[str]:
    return [task.task_id for task in tasks]


async def test_what_is_committed_is_found_after_opening_again(tmp_path: Path) -> None:
    path = tmp_path / "edge.duckdb"
    store = await open_store(path)
    await store.commit([task_row(1), task_row(2), audit_row(1)])
    await store.commit([task_row(2, 2, "completed", snapshot="🙂".encode())])
    await store.close()
    heard = Heard()
    store = await open_store(path, heard)
    assert heard.of("store.opened")[0].fields["tasks_unfinished"] == 1
    assert ids(await unfinished(store)) == [uid(1)]
    found = await store.get(uid(2))
    assert found == StoredTask(uid(2), 2, "completed", 2, b'{"number":2}', "🙂".encode(), "ada")
    assert await store.get(uid(3)) is None
    assert await store.get("no uuid") is None
    assert await store.audit(uid(1)) == [audit_row(1)]
    assert await store.audit("no uuid") == []
    await store.close()


async def test_a_group_of_writes_is_told_once_it_is_durable(tmp_path: Path) -> None:
    heard = Heard()
    store = await open_store(tmp_path / "edge.duckdb", heard)
    told: list[StorageError | None] = []
    assert store.write([task_row(1)], told.append)
    assert store.write([task_row(2)], told.append)
    assert told == []
    await store.commit([task_row(3)])
    assert told == [None, None]
    assert sum(int(str(each.fields["rows"])) for each in heard.of("store.committed")) == 3
    assert store.rows_waiting == 0
    await store.close()


async def test_a_row_that_cannot_be_stored_is_refused_alone(tmp_path: Path) -> None:
    heard = Heard()
    store = await open_store(tmp_path / "edge.duckdb", heard)
    good = asyncio.ensure_future(store.commit([task_row(1)]))
    with pytest.raises(StorageError, match="cannot be stored"):
        await store.commit([task_row(2, client="\ud800")])
    await good
    assert store.durable, "the disk is not at fault"
    assert len(heard.of("store.failed")) == 1
    assert ids(await unfinished(store)) == [uid(1)]
    await store.close()


async def test_a_callback_that_raises_harms_nobody_else(tmp_path: Path) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: complaints.append(context["exception"])
    )
    store = await open_store(tmp_path / "edge.duckdb")
    defect = ValueError("a defect of the caller's")

    def raises(_error: StorageError | None) -> None:
        raise defect

    assert store.write([task_row(1)], raises)
    await store.commit([task_row(2)])
    assert complaints == [defect]
    await store.close()


async def test_two_stores_never_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "edge.duckdb"
    store = await open_store(path)
    with pytest.raises(StartupError, match="in use by another node"):
        await open_store(path)
    await store.close()
    await (await open_store(path)).close()


async def test_after_the_end_nothing_is_accepted(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "edge.duckdb")
    await store.close()
    await store.close()
    assert not store.write([task_row(1)])
    with pytest.raises(StorageError, match="closed"):
        await store.commit([task_row(1)])
    with pytest.raises(StorageError, match="closed"):
        await unfinished(store)


async def test_too_much_waiting_is_refused(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "edge.duckdb", rows_waiting_max=3)
    rows: list[Row] = [task_row(1), task_row(2), task_row(3)]
    assert store.write(rows)
    # The writer cannot have told the loop yet, but it may have written already.
    refused = [number for number in range(4, 5_000) if not store.write([task_row(number)])]
    await store.close()
    assert refused
    store = await open_store(tmp_path / "edge.duckdb")
    assert len(await unfinished(store)) == 4_999 - len(refused)
    await store.close()


async def test_an_unreadable_file_is_set_aside_and_said(tmp_path: Path) -> None:
    path = tmp_path / "edge.duckdb"
    path.write_bytes(b"garbage" * 1_000)
    heard = Heard()
    store = await open_store(path, heard)
    await store.commit([task_row(1)])
    await store.close()
    (event,) = heard.of("store.quarantined")
    assert event.fields["kept_as"] == store.quarantined
    kept = await asyncio.to_thread(Path(str(store.quarantined)).read_bytes)
    assert kept == b"garbage" * 1_000


async def test_the_same_submission_is_known_by_client_and_key(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "edge.duckdb")
    await store.commit([task_row(1, idempotency_key="k"), task_row(2, idempotency_key="l")])
    assert await store.find_idempotent("ada", "k") == uid(1)
    assert await store.find_idempotent("bob", "k") is None
    assert await store.find_idempotent("ada", "m") is None
    await store.close()


async def test_answers_are_found_by_their_fingerprint(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "edge.duckdb")
    for number, state in ((1, "completed"), (2, "completed"), (3, "discarded")):
        end = task_row(number, 2, state, finished_ns=number, fingerprint="f")
        await store.commit([task_row(number), end])
    # One that was run again counts once, from its last end.
    again = task_row(1, 3, "completed", finished_ns=4, fingerprint="f")
    await store.commit([again])
    assert await store.find_answers("f", "ada") == [uid(1), uid(2)]
    assert await store.find_answers("g", "ada") == []
    assert await store.find_answers("f", "bob") == []
    for number in range(5, 5 + ANSWERS_MAX):
        await store.commit([task_row(number, 1, "completed", fingerprint="f")])
    newest = [uid(number) for number in range(4 + ANSWERS_MAX, 4, -1)]
    assert await store.find_answers("f", "ada") == newest
    await store.close()


async def test_pages_of_the_history_do_not_shift(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "edge.duckdb")
    # Two of each time of creation: the order in which they came decides.
    await store.commit([task_row(number, created_ns=number // 2) for number in range(10)])
    seen: list[str] = []
    page = ids(await store.history(limit=3))
    while page:
        seen += page
        await store.commit([task_row(100 + len(seen), created_ns=10**9)])
        page = ids(await store.history(limit=3, before=page[-1]))
    assert seen == [uid(number) for number in range(9, -1, -1)]
    for nowhere in (uid(77), "no uuid"):
        with pytest.raises(NotFound, match="continue behind"):
            await store.history(before=nowhere)
    await store.close()


async def test_the_history_is_asked_by_state_and_client(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "edge.duckdb")
    await store.commit([task_row(1), task_row(2, client="bob"), task_row(3)])
    await store.commit([task_row(3, 2, "completed"), task_row(2, 2, "completed", client="bob")])
    assert ids(await store.history(Wanted(state="completed"))) == [uid(3), uid(2)]
    assert ids(await store.history(Wanted(client="ada"))) == [uid(3), uid(1)]
    assert ids(await store.history(Wanted(state="completed", client="ada"))) == [uid(3)]
    assert ids(await store.history(Wanted(state="available"), before=uid(2))) == [uid(1)]
    await store.close()


async def test_a_later_versions_file_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "edge.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE migrations (number BIGINT, applied_at TIMESTAMP)")
        connection.execute("INSERT INTO migrations VALUES (999, NULL)")
    with pytest.raises(StartupError, match="later version"):
        await open_store(path)
    assert unreadable_files(tmp_path) == []


async def test_a_thread_that_ended_by_a_defect_is_told_to_who_runs_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await open_store(tmp_path / "edge.duckdb")

    def defect(_database: object, _rows: object) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(Database, "append", defect)
    assert store.write([task_row(1)])
    assert "a defect" in str(await store.dead)
    assert not store.durable
    assert not store.write([task_row(2)])
    await store.close()


async def test_an_opening_that_takes_long_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, clock, heard = tmp_path / "edge.duckdb", ManualClock(), Heard()
    await (await open_store(path)).close()
    begun, done = asyncio.Event(), asyncio.Event()

    async def take_long(*_arguments: object, **_limits: object) -> Found:
        begun.set()
        await done.wait()
        return Found("good")

    monkeypatch.setattr(opening, "examine", take_long)
    being_opened = asyncio.create_task(Store.open(path, telemetry=heard.telemetry, clock=clock))
    await begun.wait()
    for _ in range(3):
        clock.advance(OPENING_SAID_MS * NS_PER_MS)
    done.set()
    await (await being_opened).close()
    said = [event.fields["elapsed_ms"] for event in heard.of("store.opening")]
    assert said == [OPENING_SAID_MS, 2 * OPENING_SAID_MS, 3 * OPENING_SAID_MS]
    clock.advance(OPENING_SAID_MS * NS_PER_MS)
    assert len(heard.of("store.opening")) == 3


async def test_an_opening_that_is_given_up_leaves_the_file_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, begun = tmp_path / "edge.duckdb", asyncio.Event()
    await (await open_store(path)).close()

    async def take_for_ever(*_arguments: object, **_limits: object) -> Found:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    with monkeypatch.context() as patched:
        patched.setattr(opening, "examine", take_for_ever)
        being_opened = asyncio.create_task(open_store(path))
        await begun.wait()
        being_opened.cancel()
        with pytest.raises(asyncio.CancelledError):
            await being_opened
    await (await open_store(path)).close()


async def test_what_was_learnt_is_there_at_the_next_opening(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "edge.duckdb")
    assert store.learnt == ""
    store.keep_learnt('{"it": "is \\u0000 text"}')
    store.keep_learnt('{"the": "last"}')
    await store.close()
    again = await open_store(tmp_path / "edge.duckdb")
    assert again.learnt == '{"the": "last"}'
    await again.close()


async def test_what_one_commit_wakes_goes_in_portions(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "edge.duckdb")
    turns, writers = 0, 3 * TOLD_AT_ONCE_MAX + 1
    told: list[tuple[int, int]] = []

    def tell(number: int, _error: StorageError | None) -> None:
        told.append((number, turns))

    def turn() -> None:
        nonlocal turns
        turns += 1
        if len(told) < writers:
            asyncio.get_running_loop().call_soon(turn)

    for number in range(writers):
        assert store.write([task_row(number)], partial(tell, number))
    asyncio.get_running_loop().call_soon(turn)
    await store.commit([task_row(writers)])
    assert [number for number, _ in told] == list(range(writers))
    of_a_turn = Counter(turn for _, turn in told)
    assert max(of_a_turn.values()) <= TOLD_AT_ONCE_MAX
    await store.close()


async def test_a_store_that_closes_tells_all_that_it_has_written(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "edge.duckdb")
    told: list[StorageError | None] = []
    for number in range(3 * TOLD_AT_ONCE_MAX):
        assert store.write([task_row(number)], told.append)
    await store.close()
    assert told == [None] * (3 * TOLD_AT_ONCE_MAX)
