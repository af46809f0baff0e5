"""``DELETE`` on a real database that is slow, by HTTP and on a channel."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.storage.database import Database
from tests.support.node_inside import scripted_node


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The database takes rows while this is set."""
    open_gate, append = threading.Event(), Database.append
    open_gate.set()

    def slow(self: Database, rows: object) -> None:
        open_gate.wait()
        append(self, rows)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(Database, "append", slow)
    yield open_gate
    open_gate.set()


async def test_who_cancels_hears_that_it_is_cancelled(
    tmp_path: Path, disk: threading.Event
) -> None:
    async with scripted_node(tmp_path) as node:
        task_id = await node.submit("a", max_tokens=100_000)
        disk.clear()
        first = asyncio.create_task(node.call("DELETE", f"/tasks/{task_id}"))
        second = asyncio.create_task(node.call("DELETE", f"/tasks/{task_id}"))
        for answer in (first, second):
            status, document = await answer
            assert (status, document["state"], document["result"]) == (202, "cancelling", None)
        assert (await node.task(task_id))["state"] != "cancelled"
        third = asyncio.create_task(node.call("DELETE", f"/tasks/{task_id}"))
        async with node.watch(task_id) as channel:
            disk.set()
            await channel.until("phx_close")
        status, document = await third
        assert (status, document["state"]) == (200, "cancelled")
        assert (await node.task(task_id))["state"] == "cancelled"
        status, problem = await node.call("DELETE", f"/tasks/{task_id}")
        assert (status, "is cancelled" in problem["detail"]) == (409, True)
    # The next node has it, too.
    async with scripted_node(tmp_path) as node:
        assert (await node.task(task_id))["state"] == "cancelled"


async def test_a_push_is_answered_with_the_end(tmp_path: Path, disk: threading.Event) -> None:
    async with scripted_node(tmp_path) as node:
        task_id = await node.submit("a", schedule_in_ms=600_000)
        topic = f"task:{task_id}"
        url = f"{node.url}/socket/websocket?vsn=2.0.0"
        async with node.http.ws_connect(url) as socket:
            await socket.send_str(json.dumps(["1", "1", topic, "phx_join", {}]))
            await socket.receive_str(timeout=10)
            disk.clear()
            heard = []
            for ref in ("2", "3"):
                await socket.send_str(json.dumps(["1", ref, topic, "cancel", {}]))
                *_, payload = json.loads(await socket.receive_str(timeout=10))
                heard.append((payload["status"], payload["response"]["task"]["state"]))
                disk.set()
            assert heard == [("ok", "cancelling"), ("ok", "cancelled")]
            events = [json.loads(await socket.receive_str(timeout=10))[3] for _ in range(2)]
            assert events == ["cancelled", "phx_close"]
