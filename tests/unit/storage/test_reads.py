from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import duckdb
import pytest

from edge.clock import NS_PER_MS, ManualClock, SystemClock
from edge.errors import Overloaded, StorageError
from edge.storage import ExportFormat, Percentiles, Row, Store, StoreOptions, Wanted, queries
from edge.storage.reads import LOOKUPS_PER_ASKER_MAX, SCANS_PER_ASKER_MAX
from tests.support.rows import Heard, audit_row, open_store, task_row, uid, unfinished

ENDLESS = "SELECT count(*) FROM range(1_000_000) a(x), range(1_000_000) b(y) WHERE x + y = -1"
MANY_ROWS = """
    INSERT INTO journal
    SELECT uuid(), 1, 'bob', 'completed', 1000 + i, 2000 + i, 1.0, 2.0, 'key ' || i, NULL, '{}',
           '{}'::BLOB, '{}'::BLOB, 0
    FROM range(100_000) rows(i)
"""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await open_store(tmp_path / "edge.duckdb")
    yield store
    await store.close()


async def test_the_history_within_a_time(store: Store) -> None:
    await store.commit([task_row(number, created_ns=number * 10) for number in range(1, 5)])
    page = await store.history(Wanted(since_ns=20, until_ns=40))
    assert [task.task_id for task in page] == [uid(3), uid(2)]
    page = await store.history(Wanted(client="ada", state="available", since_ns=40))
    assert [task.task_id for task in page] == [uid(4)]
    page = await store.history(Wanted(until_ns=40), before=uid(2))
    assert [task.task_id for task in page] == [uid(1)]


async def test_percentiles_are_those_of_the_last_version(store: Store) -> None:
    assert await store.percentiles(0) == Percentiles(0, 0, 0, None, None, None)
    for number in range(1, 102):
        end = {"finished_ns": number, "duration_ms": float(number), "client": f"c{number % 2}"}
        await store.commit(
            [
                task_row(number),
                task_row(number, 2, "discarded", queued_ms=999.0, **end),
                task_row(number, 3, "completed", queued_ms=float(number - 1), **end),
            ]
        )
    found = await store.percentiles(0)
    assert (found.completed, found.cancelled, found.discarded) == (101, 0, 0)
    assert found.queued_ms == (50.0, 95.0, 99.0)
    assert found.duration_ms == (51.0, 96.0, 100.0)
    assert (await store.percentiles(10, 20)).completed == 10
    assert (await store.percentiles(10, 20, "c0")).completed == 5


async def test_percentiles_of_the_last_day_are_those_of_the_last_day_of_running(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    store = await open_store(tmp_path / "other.duckdb", clock=clock)
    clock.advance(100)
    # The wall clock was years ahead when the last of them ended.
    for number, wall_ns in ((1, 50), (2, 60), (3, 10**18), (4, 70)):
        end = task_row(number, 2, "completed", finished_ns=wall_ns, run_ns=number * 10)
        await store.commit([task_row(number), end])
    found = await store.percentiles(last_ns=80)
    assert (found.completed, found.earliest_ns) == (3, 60)
    clock.set_wall(0)
    assert await store.percentiles(last_ns=80) == found
    assert (await store.percentiles(65, last_ns=80)).completed == 2
    await store.close()


@pytest.mark.parametrize("at_ns", [[10, 9, 8, 7], [7, 7, 7, 7], [10**18, 5, 10**17, 6]])
async def test_the_order_is_that_of_acceptance_whatever_the_wall_clock_said(
    store: Store, tmp_path: Path, at_ns: list[int]
) -> None:
    """Ids that rise and ids that fall: neither the time nor the id decides."""
    numbers = [1, 9, 2, 8]
    for number, created_ns in zip(numbers, at_ns, strict=True):
        end = {"finished_ns": created_ns, "fingerprint": "f", "idempotency_key": "k"}
        await store.commit(
            [
                task_row(number, created_ns=created_ns, idempotency_key="k"),
                audit_row(number, at_ns=created_ns, event="first"),
                audit_row(number, at_ns=created_ns - 3, event="second"),
                task_row(number, 2, "completed", created_ns=created_ns, **end),
                task_row(number + 20, created_ns=created_ns),
            ]
        )
    ended, waiting = [uid(each) for each in numbers], [uid(each + 20) for each in numbers]
    done = Wanted(state="completed")
    assert [each.task_id for each in await store.history(done)] == ended[::-1]
    page = await store.history(done, limit=2)
    page += await store.history(done, limit=2, before=page[-1].task_id)
    assert [each.task_id for each in page] == ended[::-1]
    assert [each.task_id for each in await unfinished(store)] == waiting
    assert await store.find_idempotent("ada", "k") == ended[-1]
    assert await store.find_answers("f", "ada") == ended[::-1]
    for task_id in ended:
        assert [row.event for row in await store.audit(task_id)] == ["first", "second"]
    await store.export(tmp_path / "all.json", "json", done)
    exported = duckdb.read_json(str(tmp_path / "all.json")).project("task_id::VARCHAR")
    assert exported.fetchall() == [(task_id,) for task_id in ended]


async def test_the_order_outlives_a_pruning(store: Store) -> None:
    """DuckDB gives rows other numbers when it clears deleted ones away."""
    for first in range(0, 40_000, 10_000):
        rows: list[Row] = []
        for number in range(first, first + 10_000):
            rows.append(task_row(number))
            if number % 10:
                rows.append(task_row(number, 2, "cancelled", finished_ns=1))
        await store.commit(rows)
        await store.prune(max_age_ns=0, max_tasks=0)
    kept = [uid(number) for number in range(0, 40_000, 10)]
    assert [each.task_id for each in await unfinished(store)] == kept


@pytest.mark.parametrize("file_format", ["json", "csv", "parquet"])
async def test_an_export_has_one_row_a_task(
    store: Store, tmp_path: Path, file_format: ExportFormat
) -> None:
    await store.commit(
        [
            task_row(1, client="it's"),
            task_row(1, 2, "completed", client="it's", finished_ns=2_000, snapshot="🦊".encode()),
            task_row(2),
        ]
    )
    path = tmp_path / f"it's.{file_format}"
    path.write_bytes(b"an older one")
    assert await store.export(path, file_format, Wanted(client="it's")) == 1
    read = {"json": duckdb.read_json, "csv": duckdb.read_csv, "parquet": duckdb.read_parquet}
    rows = read[file_format](str(path)).project("task_id::VARCHAR, state, snapshot")
    assert rows.fetchall() == [(uid(1), "completed", "🦊")]
    names = await asyncio.to_thread(lambda: [each.name for each in tmp_path.glob("it*")])
    assert names == [path.name]


async def test_an_export_that_cannot_be_written_leaves_nothing(
    store: Store, tmp_path: Path
) -> None:
    await store.commit([task_row(1)])
    with pytest.raises(StorageError, match="cannot export to"):
        await store.export(tmp_path / "nowhere" / "file.csv", "csv")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="cannot export to"):
        await store.export(tmp_path / "folder", "csv")
    assert not (tmp_path / "folder.part").exists()
    (tmp_path / "full.csv.part").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="no room for this export") as raised:
        await store.export(tmp_path / "full.csv", "csv")
    assert str(tmp_path) not in str(raised.value)


async def test_a_probe_commits_and_says_how_much_room_there_is(store: Store) -> None:
    answered: asyncio.Future[tuple[StorageError | None, int]] = asyncio.Future()
    store.probe(lambda error, free_bytes: answered.set_result((error, free_bytes)))
    error, free_bytes = await answered
    assert error is None
    assert free_bytes > 0


async def test_a_probe_that_fails_says_why_and_the_store_reads_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.commit([task_row(1)])

    def refuse(_statements: object) -> list[int]:
        store._database._root.close()
        raise duckdb.IOException("No space left on device")

    monkeypatch.setattr(store._database, "transaction", refuse)
    answered: asyncio.Future[StorageError | None] = asyncio.Future()
    store.probe(lambda error, _free: answered.set_result(error))
    assert "No space left" in str(await answered)
    assert await store.get(uid(1)) is not None


async def test_a_probe_of_a_folder_that_is_gone_says_so(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_path: Path) -> None:
        raise FileNotFoundError("no such folder")

    monkeypatch.setattr("edge.storage.store.shutil.disk_usage", gone)
    answered: asyncio.Future[StorageError | None] = asyncio.Future()
    store.probe(lambda error, _free: answered.set_result(error))
    assert "no such folder" in str(await answered)


class TestBusyScans:
    """While a look through the history goes on that would take days."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        """One whose time passes: an interrupt may come too early, and is repeated then."""
        clock = SystemClock(asyncio.get_running_loop())
        store = await Store.open(tmp_path / "edge.duckdb", telemetry=Heard().telemetry, clock=clock)
        yield store
        await store.close()

    @pytest.fixture
    def endless(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Bob's figures never come."""
        percentiles = queries.percentiles

        def chosen(
            since_ns: int | None, until_ns: int | None, client: str | None, run_ns: int | None
        ) -> queries.Sql:
            if client == "bob":
                return ENDLESS, []
            return percentiles(since_ns, until_ns, client, run_ns)

        monkeypatch.setattr(queries, "percentiles", chosen)

    @pytest.fixture
    async def busy(self, store: Store, endless: None) -> asyncio.Task[Percentiles]:
        """Bob's question, which is under way."""
        await store.commit([task_row(1, idempotency_key="key")])
        store._database.ask(MANY_ROWS)
        asked = asyncio.create_task(store.percentiles(0, None, "bob"))
        while not store._database.scans._lock.locked():  # noqa: ASYNC110  # a thread has no event
            await asyncio.sleep(0)
        return asked

    async def test_look_ups_and_commits_do_not_wait_for_them(
        self, store: Store, busy: asyncio.Task[Percentiles]
    ) -> None:
        loop_of_stats = [
            asyncio.create_task(store.percentiles(0, None, "bob"))
            for _ in range(SCANS_PER_ASKER_MAX)
        ]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await store.percentiles(0, None, "bob")
        for number in range(2, 30):
            await store.commit([task_row(number)])
            assert await store.find_idempotent("ada", "key") == uid(1)
            assert await store.get(uid(number), asker="ada") is not None
        assert not busy.done()
        for asked in (*loop_of_stats, busy):
            asked.cancel()
        await asyncio.wait([*loop_of_stats, busy])

    async def test_one_that_nobody_waits_for_makes_room(
        self, store: Store, busy: asyncio.Task[Percentiles]
    ) -> None:
        others = asyncio.create_task(store.percentiles(0, None, "ada"))
        await asyncio.sleep(0)
        busy.cancel()
        assert (await others).completed == 0
        assert len(await store.history(Wanted(client="bob"), limit=5)) == 5

    async def test_the_next_client_has_its_turn_before_the_same_one_again(
        self, store: Store, busy: asyncio.Task[Percentiles]
    ) -> None:
        again = asyncio.create_task(store.percentiles(0, None, "bob"))
        others = asyncio.create_task(store.percentiles(0, None, "ada"))
        await asyncio.sleep(0)
        busy.cancel()
        assert (await others).completed == 0
        assert not again.done()
        again.cancel()
        await asyncio.wait([again])

    async def test_a_revival_does_not_wait_for_them(
        self, store: Store, busy: asyncio.Task[Percentiles]
    ) -> None:
        await asyncio.to_thread(store._database.revive)
        with pytest.raises(StorageError, match="opened anew"):
            await busy
        await store.commit([task_row(2)])
        assert await store.get(uid(2)) is not None
        assert (await store.percentiles(0, None, "ada")).completed == 0

    async def test_the_end_of_the_store_does_not_wait_for_them(
        self, store: Store, busy: asyncio.Task[Percentiles]
    ) -> None:
        await store.close()
        with pytest.raises(StorageError):
            await busy
        with pytest.raises(StorageError, match="closed"):
            await store.get(uid(1))

    async def test_they_have_their_time(self, tmp_path: Path, endless: None) -> None:
        clock = ManualClock()
        store = await Store.open(
            tmp_path / "other.duckdb",
            telemetry=Heard().telemetry,
            clock=clock,
            options=StoreOptions(scan_ms_max=700),
        )
        asked = asyncio.create_task(store.percentiles(0, None, "bob"))
        await asyncio.sleep(0)
        clock.advance(700 * NS_PER_MS)
        # The statement may not have begun when it was interrupted.
        while not (await asyncio.wait([asked], timeout=0.05))[0]:
            clock.advance(100 * NS_PER_MS)
        with pytest.raises(StorageError, match="longer than 700 ms"):
            await asked
        assert await unfinished(store) == []
        await store.close()


async def test_look_ups_of_one_asker_leave_places_for_others(store: Store) -> None:
    await store.commit([task_row(1)])
    # All are asked in one turn of the loop; one is under way, and so many may wait.
    asked = [
        asyncio.create_task(store.get(uid(1), asker="bob"))
        for _ in range(LOOKUPS_PER_ASKER_MAX + 2)
    ]
    others = asyncio.create_task(store.get(uid(1), asker="ada"))
    found = await asyncio.gather(*asked, others, return_exceptions=True)
    assert [isinstance(each, Overloaded) for each in found].count(True) == 1
    assert isinstance(found[LOOKUPS_PER_ASKER_MAX + 1], Overloaded)
    assert not isinstance(await others, Overloaded)
