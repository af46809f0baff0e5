"""Many long texts to clients that read fast, slowly, or not at all: a real node, real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.node_inside import ScriptedNode, scripted_node

TASKS = 40
TOKENS = 20
WORD_CHARS = 3_000
TEXT_CHARS = TOKENS * (WORD_CHARS + 1)
LONGEST_WORD_CHARS = 100_000
LONGEST_TOKENS = 90
"""A text of 9 MB: more than the kernels at both ends take by themselves."""
LIMITS = {"socket__outbox_bytes_max": 524_288, "socket__write_ms": 3_000}
ENGINE = ("--rate", "100", "--says", "x" * WORD_CHARS)


class Follower:
    """A client of ``tasks:mine``, or of ``task:{id}``."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse[Any]) -> None:
        self.ws = ws
        self.chars = TEXT_CHARS
        self.texts: dict[str, str] = {}
        self.ended: set[str] = set()

    async def join(self, topic: str, payload: dict[str, Any]) -> None:
        await self.ws.send_str(json.dumps(["1", topic, topic, "phx_join", payload]))

    async def hear(self) -> None:
        message = await self.ws.receive(timeout=50)
        assert message.type is aiohttp.WSMsgType.TEXT, f"thrown out: {message}"
        assert len(message.data.encode()) < 512 * 1024
        _, _, topic, event, payload = json.loads(message.data)
        if event == "updates":
            for entry in payload["updates"]:
                self._fold(entry["task_id"], entry["event"], entry)
        elif event == "phx_reply":
            assert payload["status"] == "ok", payload
            if "task" in payload["response"]:
                self._fold(topic.removeprefix("task:"), "task", payload["response"])
        else:
            self._fold(topic.removeprefix("task:"), event, payload)

    def _fold(self, task_id: str, event: str, payload: dict[str, Any]) -> None:
        if "delta" in payload:
            known = self.texts.get(task_id, "")
            assert payload["offset"] <= len(known), "no gap"
            self.texts[task_id] = known[: payload["offset"]] + payload["delta"]
        if event == "completed" or (event == "task" and payload["task"]["result"] is not None):
            self.ended.add(task_id)

    async def read(self, ids: list[str], node: ScriptedNode | None = None) -> None:
        """Reads until it has all; with ``node`` it takes its time in between."""
        heard = 0
        while not self.has_all(ids):
            await self.hear()
            heard += 1
            if node is not None and heard % 4 == 0:
                assert (await node.call("GET", "/healthz"))[0] == 200

    def has_all(self, ids: list[str]) -> bool:
        """Of all these tasks the whole text and the end."""
        return all(
            len(self.texts.get(task_id, "")) == self.chars and task_id in self.ended
            for task_id in ids
        )


@asynccontextmanager
async def following(node: ScriptedNode, *, receive_bytes: int = 0) -> AsyncIterator[Follower]:
    """A socket; with ``receive_bytes`` its kernel takes no more than that by itself."""

    def small(address: Any) -> socket.socket:
        family, kind, proto, _, _ = address
        made = socket.socket(family, kind, proto)
        if receive_bytes:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        return made

    connector = aiohttp.TCPConnector(socket_factory=small)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        http.ws_connect(
            f"{node.url}/socket/websocket?vsn=2.0.0", max_msg_size=0, autoclose=False
        ) as ws,
    ):
        yield Follower(ws)


@asynccontextmanager
async def written(data_dir: Path, **settings: Any) -> AsyncIterator[tuple[ScriptedNode, list[str]]]:
    """A node that has written so many long texts, 60 KB each."""
    async with scripted_node(data_dir, *ENGINE, **LIMITS | settings) as node:
        ids = [await node.submit("write", max_tokens=TOKENS) for _ in range(TASKS)]
        await node.heard.next("task.finished", TASKS)
        yield node, ids


@pytest.mark.parametrize("keep_ms", [60_000, 0], ids=["in memory", "from the store"])
async def test_all_tasks_at_once(tmp_path: Path, keep_ms: int) -> None:
    async with written(tmp_path, tasks__finished_keep_ms=keep_ms) as (node, ids):
        running = [await node.submit("on and on", max_tokens=100_000) for _ in range(2)]
        offsets = {"offsets": dict.fromkeys(ids, 0)}
        async with (
            following(node) as fast,
            following(node, receive_bytes=4_096) as slow,
        ):
            for follower in (slow, fast):
                await follower.join("tasks:mine", offsets)
            reading = asyncio.ensure_future(slow.read(ids, node))
            await fast.read(ids)
            # Those that run are followed beside it.
            while not all(fast.texts.get(task_id) for task_id in running):
                await fast.hear()
            for task_id in running:
                await node.call("DELETE", f"/tasks/{task_id}")
            await reading
            assert not node.heard.of("socket.closed")


@pytest.mark.parametrize("keep_ms", [60_000, 0], ids=["in memory", "from the store"])
async def test_one_very_long_text(tmp_path: Path, keep_ms: int) -> None:
    settings: dict[str, Any] = LIMITS | {"tasks__finished_keep_ms": keep_ms}
    word = "x" * LONGEST_WORD_CHARS
    async with scripted_node(tmp_path, "--says", word, **settings) as node:
        task_id = await node.submit("write", max_tokens=LONGEST_TOKENS)
        await node.heard.next("task.finished")
        async with (
            following(node) as fast,
            following(node, receive_bytes=4_096) as stopped,
            following(node, receive_bytes=4_096) as stopped_too,
        ):
            await stopped.join(f"task:{task_id}", {"offset": 0})
            await stopped_too.join("tasks:mine", {"offsets": {task_id: 0}})
            await fast.join(f"task:{task_id}", {"offset": 0})
            fast.chars = LONGEST_TOKENS * (LONGEST_WORD_CHARS + 1)
            await fast.read([task_id])
            for number in (1, 2):
                closed = await node.heard.next("socket.closed", number)
                assert closed.fields["code"] == 1013


async def test_one_topic_each(tmp_path: Path) -> None:
    """As many joins at once as there are tasks: none is refused, or waits for the others' text."""
    async with (
        written(tmp_path) as (node, ids),
        following(node) as fast,
        following(node, receive_bytes=4_096) as slow,
    ):
        for follower in (slow, fast):
            for task_id in ids:
                await follower.join(f"task:{task_id}", {"offset": 0})
        await asyncio.gather(fast.read(ids), slow.read(ids, node))
        assert not node.heard.of("channel.crashed")


async def test_as_server_sent_events(tmp_path: Path) -> None:
    async with written(tmp_path) as (node, ids):
        text, event = "", ""
        async with node.http.get(f"{node.url}/tasks/{ids[0]}/events") as response:
            async for line in response.content:
                assert len(line) < 256 * 1024
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "event":
                    event = value
                elif name == "data" and event in ("task", "progress"):
                    payload = json.loads(value)
                    text = text[: payload["offset"]] + payload["delta"]
        assert event == "completed"
        assert len(text) == TEXT_CHARS
