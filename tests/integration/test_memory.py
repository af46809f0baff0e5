"""What a whole node holds on to: nothing of a task that is over, also of one that was there when it
started, which `gc.freeze` has hidden from the collector."""

from __future__ import annotations

import gc
import json
from collections import Counter
from pathlib import Path

import aiohttp

from edge.actors import Ref
from edge.actors.child import Child, ChildSpec
from edge.gateway.connection import Connection
from edge.gateway.events import EventStream
from edge.gateway.outbox import Outbox
from edge.phoenix import Socket
from edge.phoenix.effects import Subscription
from edge.services.task.actor import TaskActor
from edge.services.task.audience import Audience
from edge.services.task.live_task import LiveTask
from edge.services.watchers.task_channel import TaskChannel
from edge.tasks.task import Request, Snapshot, Task
from tests.support.census import alive, kept_by_the_house, without_collector
from tests.support.node_inside import ScriptedNode, scripted_node
from tests.support.scripted_node import start_scripted_node

TASKS = 60
ROUNDS = 10
OF_A_TASK = (TaskActor, LiveTask, Audience, Child, ChildSpec, Ref, Task, Snapshot, Request)
OF_A_CLIENT = (Connection, Outbox, Socket, EventStream, TaskChannel, Subscription)


async def over(node: ScriptedNode, task_id: str, number: int) -> None:
    """Watches the task to its end, by a socket or by events; every fifth is cancelled."""
    if number % 5 == 0:
        await node.call("DELETE", f"/tasks/{task_id}")
    if number % 2:
        await node.ended(task_id)
    else:
        async with node.http.get(f"{node.url}/tasks/{task_id}/events") as events:
            await events.read()


async def unfinished(folder: Path) -> list[str]:
    """Leaves tasks in the folder, as a node of another process that was killed."""
    node = await start_scripted_node(folder, "--rate", "1", "--slots", "2")
    try:
        async with aiohttp.ClientSession() as http:
            task_ids = []
            for _ in range(TASKS):
                body = {"prompt": "a story", "max_tokens": 20}
                async with http.post(f"{node.url}/tasks", json=body) as answer:
                    task_ids.append((await answer.json())["task_id"])
            return task_ids
    finally:
        await node.kill()


async def test_nothing_is_left_of_tasks_from_before_the_start(tmp_path: Path) -> None:
    task_ids = await unfinished(tmp_path)
    # What other tests of this process have left behind.
    gc.collect()
    before = alive(*OF_A_TASK, *OF_A_CLIENT)
    async with scripted_node(
        tmp_path, "--rate", "1000", tasks__finished_keep_ms=0, model__slots=4
    ) as node:
        assert node.started.recovered == TASKS
        with without_collector():
            tasks = node.node.tasks
            assert tasks is not None
            for number, task_id in enumerate(task_ids):
                await over(node, task_id, number)
            task_ids += [await node.submit("a story", max_tokens=20) for _ in range(TASKS)]
            for number, task_id in enumerate(task_ids[TASKS:]):
                await over(node, task_id, number)
            await node.heard.next("task.finished", 2 * TASKS)
            await node.heard.next("socket.closed", len(node.heard.of("socket.opened")))
            registry = node.node.system.registry
            for name in registry.names("task:") + registry.names("channel:"):
                await node.actor_gone(name)
            node.heard.events.clear()
            left = alive(*OF_A_TASK, *OF_A_CLIENT)
        # The house's own: its supervisors' children, and whoever else is an actor.
        actors = len(node.node.system.actors)
        house = Counter(Ref=actors, Child=actors, ChildSpec=actors)
        assert left - before - house == Counter()


async def live(node: ScriptedNode, number: int) -> None:
    """What clients do in the course of time, each with a name, a key or a topic of its own."""
    key = {"Idempotency-Key": f"key {number}"}
    task_id = await node.submit(f"story {number}", max_tokens=3, headers=key)
    await node.ended(task_id)
    async with node.http.get(f"{node.url}/tasks/{task_id}/events") as events:
        await events.read()
    for path in (f"/tasks/{task_id}/audit", "/tasks", "/tasks/export", "/stats", f"/{number}"):
        async with node.http.get(node.url + path) as answer:
            await answer.read()
    await node.call("POST", f"/tasks/{task_id}/retry")
    await node.ended(task_id)
    await node.ended(await node.submit("reject", max_tokens=3, max_attempts=2, fallback=False))
    running = await node.submit(f"endless {number}", max_tokens=100_000)
    async with node.watch(running):
        await node.call("DELETE", f"/tasks/{running}")
    async with node.http.ws_connect(f"{node.url}/socket/websocket?vsn=2.0.0") as socket:
        for topic in ("tasks:mine", "node:status", f"task:{task_id}", f"nothing:{number}"):
            await socket.send_str(json.dumps(["1", topic, topic, "phx_join", {}]))
            while json.loads((await socket.receive()).data)[1] != topic:
                pass
    for body in (b"", b"{", b"[" * 100, b'{"prompt": 1}'):
        async with node.http.post(f"{node.url}/tasks", data=body) as answer:
            assert answer.status < 500
    if number % 10 == 9:
        engines = len(node.heard.of("engine.ready"))
        await node.kill_engine()
        await node.heard.next("engine.ready", engines + 1)


WINDOWS = ("HealthActor._lags_ms", "Lengths.", "Distribution.")
"""What is learnt from the last so many; bounded, and not full after some rounds."""


async def at_rest(node: ScriptedNode) -> Counter[str]:
    """What is kept once all that was going on is over."""
    await node.heard.next("socket.closed", len(node.heard.of("socket.opened")))
    registry = node.node.system.registry
    for name in registry.names("task:") + registry.names("channel:"):
        await node.actor_gone(name)
    found = kept_by_the_house()
    # What the test itself has heard; and how many connections its client has open just now, with
    # the requests that these, and timers that were set for them, had last.
    others = ("Event", "HttpConnection", "Asked")
    return Counter({name: size for name, size in found.items() if not name.startswith(others)})


async def test_nothing_grows_with_time(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, "--rate", "1000", tasks__finished_keep_ms=0) as node:
        for number in range(ROUNDS):
            await live(node, number)
        before = await at_rest(node)
        for number in range(ROUNDS, 3 * ROUNDS):
            await live(node, number)
        grown = await at_rest(node) - before
        assert {
            name: by for name, by in grown.items() if by >= ROUNDS and not name.startswith(WINDOWS)
        } == {}
