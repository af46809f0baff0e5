"""A task's id as clients write it, at every door of a node."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import aiohttp
import pytest

from edge.cli.client import NodeClient, task_path
from tests.support.node_inside import ScriptedNode, scripted_node

pytestmark = pytest.mark.asyncio(loop_scope="module")

NODE_SETTINGS: dict[str, Any] = {"tasks__finished_keep_ms": 0}
SPELLINGS: dict[str, Callable[[str], str]] = {
    "capitals": str.upper,
    "braces": lambda own_id: "{" + own_id + "}",
    "urn": lambda own_id: f"urn:uuid:{own_id}",
    "no dashes": lambda own_id: own_id.replace("-", ""),
    "all of it": lambda own_id: "{" + own_id.replace("-", "").upper() + "}",
}
NO_IDS = ("x", "8fd07545", "8fd0754_0a1b4c2d9e3f0123456789abc", "\u0661" * 32, "%00", "0" * 5_000)


class Frames:
    """A socket, frame by frame."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[Any]) -> None:
        self._socket = socket

    async def join(self, topic: str, payload: object) -> dict[str, Any]:
        """Joins; the payload of the reply. Everything heard is about that very topic."""
        self._topic = topic
        await self._socket.send_str(json.dumps(["1", "1", topic, "phx_join", payload]))
        event, reply = await self.next()
        assert event == "phx_reply"
        return reply

    async def next(self) -> tuple[str, dict[str, Any]]:
        _, _, topic, event, payload = json.loads(await self._socket.receive_str(timeout=10))
        assert topic == self._topic
        return event, payload

    async def until(self, wanted: str) -> dict[str, Any]:
        while True:
            event, payload = await self.next()
            if event == wanted:
                return payload


def socket(node: ScriptedNode) -> Any:
    return node.http.ws_connect(f"{node.url}/socket/websocket?vsn=2.0.0")


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_any_spelling_is_the_task(node: ScriptedNode, spelling: str) -> None:
    own_id = str(uuid4())
    written = SPELLINGS[spelling](own_id)
    assert await node.submit("a", task_id=written, schedule_in_ms=60_000) == own_id
    assert await node.submit("a", task_id=own_id, schedule_in_ms=60_000) == own_id
    path = f"/tasks/{quote(written, safe='')}"
    for method, suffix, expected in (
        ("GET", "", 200),
        ("GET", "/audit", 200),
        ("DELETE", "", 200),
        ("POST", "/retry", 202),
        ("DELETE", "", 200),
    ):
        status, document = await node.call(method, path + suffix)
        assert (status, document["task_id"]) == (expected, own_id), document
    later = await node.submit("b", schedule_in_ms=60_000)
    status, page = await node.call("GET", f"/tasks?before={quote(later.upper(), safe='')}")
    assert (status, page["tasks"][0]["task_id"]) == (200, own_id)


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_topic_stays_as_it_was_written(node: ScriptedNode, spelling: str) -> None:
    own_id = await node.submit("a", max_tokens=10)
    written = SPELLINGS[spelling](own_id)
    async with socket(node) as opened:
        frames = Frames(opened)
        reply = await frames.join(f"task:{written}", {"offset": 0})
        assert reply["response"]["task"]["task_id"] == own_id
        await frames.until("completed")
        await frames.until("phx_close")
        # Once the task has left the memory, too.
        await node.actor_gone(f"task:{own_id}")
        await frames.join(f"task:{written}", {"offset": 0})
        await frames.until("completed")


async def test_offsets_may_be_written_in_any_way_and_are_told_in_one(tmp_path: Path) -> None:
    """Of a task that is named twice, the smaller offset counts: its client has at least so much."""
    async with scripted_node(tmp_path, **NODE_SETTINGS) as node:
        running = await node.submit("a", max_tokens=100_000)
        ended = await node.submit("b")
        await node.ended(ended)
        await node.actor_gone(f"task:{ended}")
        offsets = {running.upper(): 0, ended.upper(): 3, "{" + ended + "}": 2, "x": 0}
        async with socket(node) as opened:
            frames = Frames(opened)
            assert (await frames.join("tasks:mine", {"offsets": offsets}))["status"] == "ok"
            told: dict[str, Any] = {}
            while len(told) < 3:
                for entry in (await frames.until("updates"))["updates"]:
                    if entry["event"] != "progress":
                        assert entry["task_id"] not in told
                        told[entry["task_id"]] = entry
        assert {task_id: entry["event"] for task_id, entry in told.items()} == {
            running: "task",
            ended: "task",
            "x": "unknown",
        }
        assert told[ended]["offset"] == 2


@pytest.mark.parametrize("no_id", NO_IDS)
async def test_what_is_no_id_is_nowhere(node: ScriptedNode, no_id: str) -> None:
    path = f"/tasks/{quote(no_id, safe='')}"
    for method, where in (
        ("GET", path),
        ("DELETE", path),
        ("GET", path + "/audit"),
        ("GET", path + "/events"),
        ("POST", path + "/retry"),
        ("GET", f"/tasks?before={quote(no_id, safe='')}"),
    ):
        status, problem = await node.call(method, where)
        assert (status, problem["type"]) == (404, "urn:elwift:problem:not_found"), where
    async with socket(node) as opened:
        reply = await Frames(opened).join(f"task:{no_id[:200]}", {})
        assert reply == {"status": "error", "response": {"reason": "not found"}}
    assert node.heard.of("channel.crashed") == node.heard.of("store.failed") == []


async def test_the_command_line_takes_an_id_as_swift_writes_it(node: ScriptedNode) -> None:
    own_id = await node.submit("a")
    async with NodeClient(node.url) as client:
        shown = await client.call("GET", task_path(own_id.upper()))
        assert shown["task_id"] == own_id
        events = [update.event async for update in client.watch(f"task:{own_id.upper()}")]
        assert events[-1] == "completed"
