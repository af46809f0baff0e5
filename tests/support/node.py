"""A real node in a process of its own, and a real client of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.storyteller import STORYTELLER


class RunningNode:
    """A node process that is ready."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    async def kill(self, number: int = signal.SIGKILL) -> int:
        """Sends the signal and waits for the end; the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.process.wait()


async def start_node(data_dir: Path, *flags: str) -> RunningNode:
    """Starts `elwift serve` and waits for its line; a model among the flags takes the place of the
    storyteller."""
    common = ("--port", "0", "--data-dir", str(data_dir), "--model", STORYTELLER)
    return await start_module("edge.cli.main", "serve", *common, *flags)


async def start_module(
    *command: str,
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
    ulimit: str | None = None,
) -> RunningNode:
    """Starts ``python -m …``, which serves a node, and waits for its line. ``log`` gets what it
    writes to standard error; ``ulimit`` is what the shell's command of this name sets before."""
    argv = [sys.executable, "-m", *command]
    if ulimit is not None:
        argv = ["sh", "-c", f'ulimit {ulimit} && exec "$@"', "sh", *argv]
    with open(log or os.devnull, "ab") as errors:  # noqa: ASYNC230  # opened once, at the start
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=environment and {**os.environ, **environment},
        )
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    assert line.startswith("ready "), f"the node did not start: {line!r}"
    return RunningNode(process, line.split()[1])


@asynccontextmanager
async def serving(data_dir: Path, *flags: str) -> AsyncIterator[RunningNode]:
    """A node for the time of the block."""
    node = await start_node(data_dir, *flags)
    try:
        yield node
    finally:
        await node.kill()


class Channel:
    """One joined topic on a socket of its own; folds what it hears into ``text``."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[Any]) -> None:
        self._socket = socket
        self.text = ""
        self.events: list[str] = []
        self.seqs: list[tuple[int, int]] = []
        self.reply: dict[str, Any] = {}
        self.closed = False
        self.last: dict[str, Any] = {}

    async def hear(self) -> str:
        """The next event's name; ``""`` when the socket is over."""
        message = await self._socket.receive(timeout=30)
        if message.type is not aiohttp.WSMsgType.TEXT:
            return ""
        _, _, _, event, payload = json.loads(message.data)
        if event == "phx_reply":
            self.reply = payload["response"]
            assert payload["status"] == "ok", payload
            self.text = self.text[: self.reply["offset"]] + self.reply["delta"]
        elif event == "progress":
            assert payload["offset"] == len(self.text), "no gap and no repeat"
            self.text += payload["delta"]
        elif event == "rewind":
            self.text = self.text[: payload["offset"]]
        elif event == "phx_close":
            self.closed = True
        if "seq" in payload:
            self.seqs.append((payload.get("from_seq", payload["seq"]), payload["seq"]))
        self.events.append(event)
        self.last = payload
        return str(event)

    async def until(self, *events: str) -> str:
        """Hears until one of these events."""
        while (event := await self.hear()) not in events:
            assert event, f"the socket ended before any of {events}"
        return event


@asynccontextmanager
async def joined(
    http: aiohttp.ClientSession, url: str, task_id: str, text: str = ""
) -> AsyncIterator[Channel]:
    """Joins the task's channel with the offset of the text that is known."""
    async with http.ws_connect(f"{url}/socket/websocket?vsn=2.0.0", max_msg_size=0) as socket:
        join = ["1", "1", f"task:{task_id}", "phx_join", {"offset": len(text)}]
        await socket.send_str(json.dumps(join))
        channel = Channel(socket)
        channel.text = text
        await channel.until("phx_reply")
        yield channel
