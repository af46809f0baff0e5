"""A whole node in this process, with a real database and real sockets, on scripted engines."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from edge.actors import Reason, Ref
from edge.node import Node, Started
from edge.settings import load
from tests.support import scripted_engine
from tests.support.node import Channel, joined
from tests.support.rows import Heard
from tests.support.storyteller import STORYTELLER

QUICK: dict[str, Any] = {
    "server.port": 0,
    "model.name": STORYTELLER,
    "server.drain_ms": 0,
    "data.snapshot_ms": 50,
    "tasks.retry_base_ms": 10,
    "model.restart_base_ms": 10,
    # The node shares its process with the tests, whose heap and whose work stop its loop, too: how
    # late it is says nothing of the node. `test_readiness.py` holds that it is told.
    "health.lag_max_ms": 60_000,
}


class Script:
    """The command line of the engines to come; ``flags`` may be changed between two of them."""

    def __init__(self, *flags: str) -> None:
        self.flags = flags

    def __call__(self, safe: bool) -> tuple[str, ...]:
        return scripted_engine.command(*self.flags, *(("--safe",) if safe else ()))


class _Watcher:
    def __init__(self, gone: asyncio.Event) -> None:
        self._gone = gone

    def down(self, _ref: Ref, _reason: Reason) -> None:
        self._gone.set()


class ScriptedNode:
    """A node that serves, and what it tells of itself."""

    def __init__(
        self,
        node: Node,
        started: Started,
        heard: Heard,
        http: aiohttp.ClientSession,
        script: Script,
    ) -> None:
        self.node = node
        self.started = started
        self.heard = heard
        self.http = http
        self.script = script
        self.url = started.url

    def begin_anew(self) -> None:
        """Forgets what was heard, but for which engine runs: for the next test on a shared node."""
        started = self.heard.of("engine.started")[-1:]
        self.heard.events[:] = started

    async def submit(self, prompt: str, **fields: Any) -> str:
        """Submits; the id of the accepted task."""
        headers = fields.pop("headers", None)
        body = {"prompt": prompt, **fields}
        async with self.http.post(f"{self.url}/tasks", json=body, headers=headers) as response:
            answer = await response.json(content_type=None)
            assert response.status == 202, answer
            return str(answer["task_id"])

    async def call(self, method: str, path: str) -> tuple[int, Any]:
        async with self.http.request(method, self.url + path) as response:
            return response.status, await response.json(content_type=None)

    async def task(self, task_id: str) -> dict[str, Any]:
        status, document = await self.call("GET", f"/tasks/{task_id}")
        assert status == 200, document
        return dict(document)

    async def ended(self, task_id: str) -> dict[str, Any]:
        """The task once it has ended."""
        async with joined(self.http, self.url, task_id) as channel:
            if not channel.closed and channel.reply["task"]["result"] is None:
                await channel.until("completed", "failed", "cancelled", "phx_close")
        return await self.task(task_id)

    def watch(self, task_id: str) -> Any:
        """The task's channel, as a context manager (`tests.support.node.Channel`)."""
        return joined(self.http, self.url, task_id)

    async def kill_engine(self, number: int = signal.SIGKILL) -> None:
        """Sends a signal to the engine that runs now."""
        pids = [event.fields["pid"] for event in self.heard.of("engine.started")]
        os.kill(int(str(pids[-1])), number)

    async def second(self, name: str, count: int = 1) -> dict[str, Any]:
        """The fields of the `count`-th such event of the fallback's engine, once it is there."""
        number = 1
        while True:
            event = await self.heard.next("fallback.engine", number)
            count -= event.fields["event"] == name
            if not count:
                fields: Any = event.fields["fields"]
                return dict(fields)
            number += 1

    async def actor_gone(self, name: str) -> None:
        """Waits for the end of the actor of this name."""
        ref = self.node.system.registry.whereis(name)
        if ref is not None:
            gone = asyncio.Event()
            ref.add_watcher(_Watcher(gone))
            await gone.wait()

    async def kill_second_engine(self) -> None:
        os.kill((await self.second("engine.started"))["pid"], signal.SIGKILL)


async def heard_text(channel: Channel, chars: int) -> None:
    """Hears until there is so much text."""
    while len(channel.text) < chars:
        assert await channel.hear()


@asynccontextmanager
async def scripted_node(
    data_dir: Path, *flags: str, fallback: Script | None = None, real: bool = False, **settings: Any
) -> AsyncIterator[ScriptedNode]:
    """A node for the time of the block, on a real engine if that is wanted. Settings are given as
    ``section__name``."""
    given = {name.replace("__", "."): value for name, value in settings.items()}
    chosen = load(environment={}, flags=QUICK | {"data.dir": str(data_dir)} | given)
    heard, script = Heard(), Script("--rate", "200", *flags)
    node = Node(
        chosen,
        telemetry=heard.telemetry,
        engine_command=None if real else script,
        fallback_command=fallback,
    )
    started = await node.start()
    try:
        async with aiohttp.ClientSession() as http:
            yield ScriptedNode(node, started, heard, http, script)
    finally:
        await node.stop(drain=False)
