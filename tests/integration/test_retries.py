"""Attempts, schedules, cancels and submissions that are one: over HTTP, on a whole node."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.node_inside import Script, ScriptedNode, heard_text, scripted_node

TOKENS = {"ada": "a secret of ada's own", "bob": "a secret of bob's own"}
ENDLESS: dict[str, Any] = {"max_tokens": 100_000, "fallback": False}


async def test_attempts_fail_by_their_time_and_waits_grow(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, tasks__retry_base_ms=40, tasks__retry_max_ms=100) as node:
        task_id = await node.submit("a story", **ENDLESS, timeout_ms=200, max_attempts=4)
        async with node.watch(task_id) as channel:
            waits = []
            while await channel.until("retrying", "failed") == "retrying":
                waits.append(channel.last["in_ms"])
                assert channel.last["max_attempts"] == 4
                assert channel.last["error"]["code"] == "timeout"
        # 40, 80 and the cap of 100, and a tenth of it at most by chance.
        for wait_ms, steady_ms in zip(waits, (40, 80, 100), strict=True):
            assert steady_ms <= wait_ms <= steady_ms * 1.1
        task = await node.task(task_id)
        assert (task["state"], task["attempt"]) == ("discarded", 4)
        assert [error["attempt"] for error in task["errors"]] == [1, 2, 3, 4]
        assert channel.events.count("rewind") == 0, "what there is of the text is kept"


async def test_a_manual_retry_begins_at_the_first_character(tmp_path: Path) -> None:
    async with scripted_node(tmp_path) as node:
        task_id = await node.submit("a story", max_tokens=5)
        first = await node.ended(task_id)
        status, again = await node.call("POST", f"/tasks/{task_id}/retry")
        assert (status, again["result"]) == (202, None)
        second = await node.ended(task_id)
        assert second["result"]["text"] == first["result"]["text"] == "word " * 5
        assert second["attempt"] == 2


async def test_a_discarded_task_may_be_tried_again(tmp_path: Path) -> None:
    async with scripted_node(tmp_path) as node:
        task_id = await node.submit("a story", **ENDLESS, timeout_ms=50, max_attempts=1)
        assert (await node.ended(task_id))["state"] == "discarded"
        status, again = await node.call("POST", f"/tasks/{task_id}/retry")
        assert (status, again["max_attempts"]) == (202, 2)
        assert (await node.ended(task_id))["attempt"] == 2
        status, _ = await node.call("DELETE", f"/tasks/{task_id}")
        assert status == 409


async def test_a_schedule_survives_a_restart(tmp_path: Path) -> None:
    async with scripted_node(tmp_path) as node:
        soon = await node.submit("a story", max_tokens=2, schedule_in_ms=300)
        late = await node.submit("a story", max_tokens=2, schedule_in_ms=3_600_000)
        task = await node.task(soon)
        assert (task["state"], task["position"]) == ("scheduled", None)
    async with scripted_node(tmp_path) as node:
        assert (await node.ended(soon))["state"] == "completed"
        assert (await node.task(late))["state"] == "scheduled"


async def test_a_retry_that_waits_survives_a_restart(tmp_path: Path) -> None:
    waits: dict[str, Any] = {"tasks__retry_base_ms": 3_600_000, "tasks__retry_max_ms": 3_600_000}
    fields: dict[str, Any] = {"timeout_ms": 200, "max_attempts": 2}
    async with scripted_node(tmp_path, **waits) as node:
        task_id = await node.submit("a story", **ENDLESS, **fields)
        async with node.watch(task_id) as channel:
            await channel.until("retrying")
        before = await node.task(task_id)
    async with scripted_node(tmp_path, **waits) as node:
        after = await node.task(task_id)
        same = ("state", "attempt", "scheduled_at", "errors", "tokens")
        assert [after[name] for name in same] == [before[name] for name in same]
        assert after["state"] == "retryable"


async def bring_to(node: ScriptedNode, state: str) -> str:
    """A task in this state."""
    if state == "scheduled":
        return await node.submit("a story", schedule_in_ms=3_600_000)
    if state == "retryable":
        task_id = await node.submit("a story", **ENDLESS, timeout_ms=1)
        async with node.watch(task_id) as channel:
            if channel.reply["task"]["state"] != state:
                await channel.until("retrying")
        return task_id
    running = await node.submit("a story", **ENDLESS)
    async with node.watch(running) as channel:
        await heard_text(channel, 10)
    return running if state == "executing" else await node.submit("another", max_tokens=2)


@pytest.mark.parametrize("state", ["scheduled", "available", "executing", "retryable"])
async def test_a_cancel_in_every_state(tmp_path: Path, state: str) -> None:
    limits: dict[str, Any] = {"tasks__retry_base_ms": 3_600_000, "tasks__retry_max_ms": 3_600_000}
    async with scripted_node(tmp_path, "--slots", "1", **limits) as node:
        task_id = await bring_to(node, state)
        assert (await node.task(task_id))["state"] == state
        async with node.watch(task_id) as channel:
            status, document = await node.call("DELETE", f"/tasks/{task_id}")
            assert (status, document["state"]) == (200, "cancelled")
            await channel.until("cancelled")
            await channel.until("phx_close")
        task = await node.task(task_id)
        assert (task["state"], task["result"]["finish_reason"]) == ("cancelled", "cancelled")
        status, problem = await node.call("DELETE", f"/tasks/{task_id}")
        assert (status, problem["type"]) == (409, "urn:elwift:problem:conflict")
        # Its slot, if it had one, is free for others.
        if state != "available":
            assert (await node.ended(await node.submit("next", max_tokens=2)))["result"]


async def test_a_task_in_a_turn_of_the_fallback_can_be_cancelled(tmp_path: Path) -> None:
    slow = Script("--hangs-loading")
    flags = ("--dies-loading", "3")
    async with scripted_node(
        tmp_path, *flags, fallback=slow, model__deaths_max=0, fallback__slots=1
    ) as node:
        task_id = await node.submit("a story")
        await node.second("engine.started")
        assert (await node.task(task_id))["state"] == "executing"
        status, _ = await node.call("DELETE", f"/tasks/{task_id}")
        assert status == 200
        other = await node.submit("a story", fallback=False)
        assert (await node.task(other))["state"] == "available"
        assert not node.node.tasks or not node.node.tasks.turns.on_fallback


KEYED: dict[str, Any] = {"headers": {"Idempotency-Key": "k"}}


async def test_concurrent_duplicates_are_one_task(tmp_path: Path) -> None:
    async with scripted_node(tmp_path) as node:
        own_id = str(uuid4())
        by_id = [node.submit("a story", task_id=own_id, max_tokens=5) for _ in range(10)]
        by_key = [node.submit("a story", max_tokens=5, **KEYED) for _ in range(10)]
        # A key goes before an id: these are one task too, whatever their ids.
        both = [
            node.submit("a story", task_id=str(uuid4()), max_tokens=5,
                        headers={"Idempotency-Key": "both"})
            for _ in range(10)
        ]  # fmt: skip
        ids = await asyncio.gather(*by_id, *by_key, *both)
        assert set(ids[:10]) == {own_id}
        assert len(set(ids[10:20])) == len(set(ids[20:])) == 1
        _, page = await node.call("GET", "/tasks")
        assert len(page["tasks"]) == 3


async def test_duplicates_after_a_restart_are_one_task(tmp_path: Path) -> None:
    own_id = str(uuid4())

    async def submit_both(node: ScriptedNode) -> list[str]:
        return [
            await node.submit("a story", task_id=own_id, max_tokens=5),
            await node.submit("a story", max_tokens=5, **KEYED),
            await node.submit(
                "a story", schedule_in_ms=3_600_000, headers={"Idempotency-Key": "late"}
            ),
        ]

    async with scripted_node(tmp_path) as node:
        first = await submit_both(node)
        for task_id in first[:2]:
            assert (await node.ended(task_id))["state"] == "completed"
    async with scripted_node(tmp_path, tasks__finished_keep_ms=0) as node:
        assert await submit_both(node) == first
        _, page = await node.call("GET", "/tasks")
        assert len(page["tasks"]) == 3


async def test_a_foreign_id_is_nobodys(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, server__tokens=TOKENS) as node:
        own_id = str(uuid4())
        node.http.headers["Authorization"] = f"Bearer {TOKENS['ada']}"
        await node.submit("a story", task_id=own_id)
        node.http.headers["Authorization"] = f"Bearer {TOKENS['bob']}"
        async with node.http.post(
            f"{node.url}/tasks", json={"prompt": "mine", "task_id": own_id}
        ) as response:
            assert response.status == 404
