from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import duckdb
import pytest

from edge.errors import StorageError
from edge.storage import ExportFormat, Percentiles, Store, Wanted
from tests.support.rows import open_store, task_row, uid


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
    assert await store.percentiles(0) == Percentiles(0, 0, 0, None, None)
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
