"""Thousands of tasks that come due in one instant, in a real node whose clock stands still until
the test moves it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from uuid import UUID

import aiohttp
import pytest
from aiohttp import web

from edge.actors import System
from edge.clock import NS_PER_MS, ManualClock
from edge.inference import ModelFile
from edge.parts import Outside, Parts, mailbox_messages_max
from edge.settings import Settings
from edge.storage import Store
from edge.tasks.task import Options, Request
from tests.support.node_inside import Script
from tests.support.rows import Heard

TASKS = 12_000
"""Fewer than there may be connections, and more than half of what fits a mailbox if each of them
says two things."""
DUE_MS = 60_000


@asynccontextmanager
async def standing_node(folder: Path, heard: Heard, clock: ManualClock) -> AsyncIterator[Parts]:
    """All of a node but its own clock; ends without a drain."""
    loop = asyncio.get_running_loop()
    settings = Settings()
    settings.fallback.enabled = False
    store = await Store.open(folder / "db", telemetry=heard.telemetry, clock=clock)
    outside = Outside(
        system=System(
            clock,
            loop.call_soon,
            mailbox_messages_max=mailbox_messages_max(settings),
            on_event=heard.telemetry.emit,
        ),
        store=store,
        telemetry=heard.telemetry,
        rng=Random(1),
        model=ModelFile("scripted", folder / "no.gguf", 0, 0),
        command=Script("--rate", "1"),  # so that none ends meanwhile
    )
    parts = Parts(settings, outside)
    try:
        await parts.begin()
        yield parts
    finally:
        await parts.dismiss(drain=False)
        await parts.end()
        await store.close()


def request(number: int) -> Request:
    return Request(
        task_id=str(UUID(int=number, version=4)), client="local", prompt=f"prompt {number}",
        messages=None, model=None, options=Options(), priority=0, max_attempts=1, timeout_ms=None,
        idempotency_key=None,
    )  # fmt: skip


async def at_rest(parts: Parts) -> None:
    """Returns when no actor has a message."""
    for _ in range(1_000_000):
        if not parts.system.run_queue:
            return
        await asyncio.sleep(0)
    pytest.fail("the actors do not come to rest")


@asynccontextmanager
async def socket_to(parts: Parts) -> AsyncIterator[aiohttp.ClientWebSocketResponse[bool]]:
    runner = web.AppRunner(parts.application(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(
                f"http://{host}:{port}/socket/websocket?vsn=2.0.0", max_msg_size=0
            ) as socket,
        ):
            yield socket
    finally:
        await runner.cleanup()


async def submit_all(parts: Parts, schedule_in_ms: int) -> None:
    """As if each came over a connection of its own, all in one moment."""
    await asyncio.gather(
        *(
            parts.tasks.submit(request(number), own_id=False, schedule_in_ms=schedule_in_ms)
            for number in range(TASKS)
        )
    )


async def follow(socket: aiohttp.ClientWebSocketResponse[bool]) -> int:
    """Joins ``tasks:mine``; how many tasks there are."""
    await socket.send_str(json.dumps(["1", "1", "tasks:mine", "phx_join", {}]))
    joined = json.loads((await socket.receive()).data)
    assert joined[4]["status"] == "ok"
    tasks: int = joined[4]["response"]["tasks"]
    return tasks


async def test_more_tasks_than_fit_a_mailbox_come_due_in_one_instant(tmp_path: Path) -> None:
    heard, clock = Heard(), ManualClock()
    async with standing_node(tmp_path, heard, clock) as parts, socket_to(parts) as socket:
        await submit_all(parts, DUE_MS)
        assert await follow(socket) == TASKS
        clock.advance(DUE_MS * NS_PER_MS)
        await at_rest(parts)
        assert not heard.of("supervisor.restarted")
        assert parts.turns.waiting + parts.turns.busy == TASKS
        assert not heard.of("actor.overflowed")
        assert not heard.of("channel.crashed")
        assert not socket.closed


async def test_more_tasks_than_fit_a_mailbox_are_accepted_at_once(tmp_path: Path) -> None:
    heard, clock = Heard(), ManualClock()
    async with standing_node(tmp_path, heard, clock) as parts, socket_to(parts) as socket:
        assert await follow(socket) == 0
        await submit_all(parts, 0)
        await at_rest(parts)
        assert not heard.of("actor.overflowed")
        assert not heard.of("supervisor.restarted")
        assert parts.turns.waiting + parts.turns.busy == TASKS
        assert not heard.of("channel.crashed")
        assert not socket.closed
