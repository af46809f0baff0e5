"""What clients are told of their waits, over real sockets, a real database and a real process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.node_inside import ScriptedNode, scripted_node

SLOW = ("--rate", "20", "--slots", "2")


async def eta_ms(node: ScriptedNode, task_id: str) -> int:
    document = await node.task(task_id)
    assert document["state"] == "available"
    assert document["eta_ms"] is not None
    return int(document["eta_ms"])


async def fill(node: ScriptedNode, most: int) -> list[str]:
    """Two tasks that run, and two that wait."""
    ids = [await node.submit("hello", max_tokens=most) for _ in range(4)]
    await node.heard.next("task.started", len(node.heard.of("task.started")) or 2)
    return ids


async def test_what_was_learnt_is_known_after_a_restart(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, *SLOW) as node:
        for _ in range(4):
            await node.ended(await node.submit("hello", max_tokens=8))
        *_, last = await fill(node, 1_000)
        before_ms = await eta_ms(node, last)
        for task_id in [each["task_id"] for each in (await node.call("GET", "/tasks"))[1]["tasks"]]:
            await node.call("DELETE", f"/tasks/{task_id}")
    async with scripted_node(tmp_path, *SLOW) as node:
        *_, last = await fill(node, 1_000)
        # Of an engine that is not known yet less than half of it would be expected.
        assert await eta_ms(node, last) == pytest.approx(before_ms, rel=0.25)
        assert before_ms == pytest.approx(1_000 * 50, rel=0.25)
        assert not node.heard.of("estimates.forgotten")


async def test_an_engine_that_is_down_delays_and_does_not_multiply(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, *SLOW, model__restart_base_ms=20_000) as node:
        for _ in range(4):
            await node.ended(await node.submit("hello", max_tokens=8))
        *_, last = await fill(node, 1_000)
        before_ms = await eta_ms(node, last)
        async with node.watch(last) as channel:
            await node.kill_engine()
            await node.heard.next("engine.backoff")
            while not (channel.events[-1:] == ["queued"] and channel.last["waits_for"]):
                await channel.hear()
            assert channel.last["waits_for"].startswith("the engine is restarting: ")
            told_ms = channel.last["eta_ms"]
        assert before_ms < told_ms < before_ms + 40_000
        document = await node.task(last)
        assert document["waits_for"] == channel.last["waits_for"]
        _, answer = await node.call("GET", "/queue")
        assert answer["eta_ms"] >= told_ms - 5_000
