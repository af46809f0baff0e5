from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from edge.clock import ManualClock
from edge.errors import StartupError
from edge.storage import AuditRow, Store, TaskRow
from edge.telemetry import Telemetry


def row(task_id: str, version: int = 1, state: str = "available", created_ns: int = 1) -> TaskRow:
    return TaskRow(
        task_id, version, "c", state, 0, "m", 0, created_ns, None, None, None, None, None, 0,
        f"key-{task_id}", None, b"spec" if version == 1 else None, f"{version} 🙂".encode(),
    )  # fmt: skip


def content(path: str) -> bytes:
    return Path(path).read_bytes()


async def opened(path: Path) -> Store:
    return await Store.open(path, telemetry=Telemetry(), clock=ManualClock())


async def test_what_is_committed_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "edge.duckdb"
    store = await opened(path)
    await store.commit([row("a"), row("b", created_ns=2), AuditRow("a", 1, "x", "y", "z", None)])
    await store.commit([row("b", 2, "completed", 2)])
    with pytest.raises(StartupError, match="in use"):
        await opened(path)
    await store.close()
    store = await opened(path)
    try:
        assert [each.task_id for each in await store.unfinished()] == ["a"]
        found = await store.get("b")
        assert found is not None
        assert (found.version, found.spec, found.snapshot) == (2, b"spec", "2 🙂".encode())
        assert await store.get("none") is None
        assert [each.task_id for each in await store.history()] == ["b", "a"]
        assert [each.task_id for each in await store.history(before="b")] == ["a"]
        assert [each.task_id for each in await store.history(state="completed")] == ["b"]
        assert await store.history(client="d") == []
        assert await store.find_idempotent("c", "key-a") == "a"
        assert await store.find_idempotent("d", "key-a") is None
    finally:
        await store.close()


async def test_an_unreadable_file_is_kept_aside(tmp_path: Path) -> None:
    path = tmp_path / "edge.duckdb"
    path.write_bytes(b"garbage" * 1_000)
    store = await opened(path)
    await store.close()
    assert store.quarantined is not None
    assert content(store.quarantined) == b"garbage" * 1_000


async def test_a_later_versions_file_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "edge.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE migrations (number BIGINT, applied_at TIMESTAMP)")
        connection.execute("INSERT INTO migrations VALUES (999, NULL)")
    with pytest.raises(StartupError, match="later version"):
        await opened(path)
    assert path.exists()
