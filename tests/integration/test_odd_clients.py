"""A whole node, in a process of its own, and clients that are odd, silent or many."""

from __future__ import annotations

import signal
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import psutil  # type: ignore[import-untyped]  # it ships no types

from tests.support.node import RunningNode, joined
from tests.support.odd_requests import ALL, LOOK
from tests.support.raw import raw, request
from tests.support.scripted_node import start_scripted_node

REQUEST = request(LOOK)


async def test_odd_requests_leave_no_trace(tmp_path: Path) -> None:
    log = tmp_path / "log"
    node = await start_scripted_node(tmp_path / "data", log=log)
    try:
        for odd in ALL:
            async with raw(node.url) as client:
                await client.send(odd.data)
                client.half_close()
                assert (await client.answer()).status == odd.status, odd.name
        async with raw(node.url) as client:
            await client.send(REQUEST)
            assert (await client.answer()).status == 200
    finally:
        await node.kill(signal.SIGTERM)
    assert log.read_text() == ""


async def test_silent_connections_lock_nobody_out(tmp_path: Path) -> None:
    node = await start_scripted_node(tmp_path, "--rate", "200", descriptors_max=128)
    try:
        async with AsyncExitStack() as stack:
            for _ in range(140):
                await stack.enter_async_context(raw(node.url))
            await served(node)
            for _ in range(140):
                await stack.enter_async_context(raw(node.url))
            engines = psutil.Process(node.process.pid).children()
            assert len(engines) == 1
            engines[0].kill()
            assert await completes(node)
            (successor,) = psutil.Process(node.process.pid).children()
            assert successor.pid != engines[0].pid
    finally:
        await node.kill()


async def served(node: RunningNode) -> None:
    """Asks until there is a place: for a second after they came nobody is put out."""
    while True:
        async with raw(node.url) as client:
            await client.send(REQUEST)
            status = (await client.answer()).status
        if status == 200:
            return
        assert status == 503


async def completes(node: RunningNode) -> bool:
    """Whether the node still does what it is for."""
    await served(node)
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{node.url}/tasks", json={"prompt": "hi"}) as response:
            assert response.status == 202
            task_id = (await response.json())["task_id"]
        async with joined(http, node.url, task_id) as channel:
            return channel.closed or await channel.until("completed", "failed") == "completed"
