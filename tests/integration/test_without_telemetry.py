"""Telemetry is for looking on: a node that tells nobody anything does all of its work."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from edge.node import Node, Started
from edge.services.keeping.janitor import ROWS_BETWEEN
from edge.settings import load
from edge.telemetry import Telemetry
from tests.support.node import joined
from tests.support.node_inside import QUICK, Script


class Mute(Telemetry):
    """Tells no handler anything."""

    def attach(self, handler: object, names: Iterable[str] = ()) -> Callable[[], None]:
        return lambda: None


@asynccontextmanager
async def mute_node(
    data_dir: Path, *flags: str, **settings: object
) -> AsyncIterator[tuple[Node, Started, aiohttp.ClientSession]]:
    given = {name.replace("__", "."): value for name, value in settings.items()}
    chosen = load(environment={}, flags=QUICK | {"data.dir": str(data_dir)} | given)
    node = Node(chosen, telemetry=Mute(), engine_command=Script(*flags))
    started = await node.start()
    try:
        async with aiohttp.ClientSession() as http:
            yield node, started, http
    finally:
        await node.stop(drain=False)


async def submit(http: aiohttp.ClientSession, url: str, prompt: str) -> str:
    async with http.post(f"{url}/tasks", json={"prompt": prompt}) as response:
        assert response.status == 202
        return str((await response.json())["task_id"])


async def test_it_is_ready_counts_its_ends_and_its_tokens(tmp_path: Path) -> None:
    async with mute_node(tmp_path, "--rate", "200") as (node, started, http):
        async with http.get(f"{started.url}/readyz") as response:
            assert (response.status, (await response.json())["status"]) == (200, "ok")
        task_id = await submit(http, started.url, "count 5")
        async with joined(http, started.url, task_id) as channel:
            if not channel.closed and channel.reply["task"]["result"] is None:
                assert await channel.until("completed", "phx_close")
        assert node._parts is not None
        figures = node._parts._figures.read()
        assert figures["ended"] == {"completed": 1, "cancelled": 0, "discarded": 0}
        assert figures["engine_memory_bytes"] > 1_000_000
        async with http.get(f"{started.url}/readyz") as response:
            assert response.status == 200


async def test_many_rows_have_it_pruned(tmp_path: Path) -> None:
    async with mute_node(tmp_path) as (node, _, _http):
        store = node._store
        assert store is not None
        pruned = asyncio.Event()
        prune = store.prune

        async def heard(**how: int) -> object:
            pruned.set()
            return await prune(**how)

        store.prune = heard  # type: ignore[method-assign, assignment]  # to hear when it begins
        assert store.on_committed is not None
        store.on_committed(ROWS_BETWEEN)
        await pruned.wait()


async def test_a_drain_ends_when_the_last_end_is_told(tmp_path: Path) -> None:
    async with mute_node(tmp_path, "--rate", "200", server__drain_ms=600_000) as (
        node,
        started,
        http,
    ):
        task_id = await submit(http, started.url, json.dumps("a story"))
        async with joined(http, started.url, task_id) as channel:
            await channel.until("progress")
            stop = asyncio.ensure_future(node.stop())
            assert await channel.until("completed", "failed", "cancelled") == "completed"
            assert await stop == 0
