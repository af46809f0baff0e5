"""Prompts that kill the engine are told from those that only stand beside them."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.node_inside import ScriptedNode, heard_text, scripted_node


async def codes(node: ScriptedNode, task_id: str) -> list[str]:
    return [error["code"] for error in (await node.task(task_id))["errors"]]


# Dead at once, or in the middle of its text.
@pytest.mark.parametrize("prompt", ["die SIGSEGV", "die SIGABRT 3"])
async def test_the_guilty_are_discarded_and_the_innocent_not_charged(
    tmp_path: Path, prompt: str
) -> None:
    # A budget that would be spent by a single death that were held against the engine.
    limits: dict[str, Any] = {"model__deaths_max": 2, "model__slots": 8}
    async with scripted_node(tmp_path, "--slots", "8", **limits) as node:
        before = [await node.submit("a story", max_tokens=60) for _ in range(4)]
        poison = [await node.submit(prompt, max_attempts=3) for _ in range(3)]
        behind = [await node.submit("a story", max_tokens=20) for _ in range(4)]
        for task_id in poison:
            task = await node.ended(task_id)
            assert task["state"] == "discarded", "and answered in no other way"
            assert task["attempt"] == 3
            assert await codes(node, task_id) == ["engine_died"] * 3
        for task_id, tokens in [(each, 60) for each in before] + [(each, 20) for each in behind]:
            task = await node.ended(task_id)
            assert (task["state"], task["attempt"], task["errors"]) == ("completed", 1, [])
            assert task["result"]["text"] == "word " * tokens
        assert node.heard.of("engine.given_up") == []


async def test_kills_from_outside_are_nobodys_fault_and_spend_no_budget(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, model__deaths_max=1) as node:
        task_id = await node.submit("a story", max_tokens=300)
        async with node.watch(task_id) as channel:
            for round_ in range(4):
                while len(channel.text) < 100 * (round_ + 1):
                    await channel.hear()
                await node.kill_engine()
            await channel.until("completed")
        task = await node.task(task_id)
        assert task["result"]["text"] == channel.text == "word " * 300
        assert (task["attempt"], task["errors"]) == (1, [])
        assert len(node.heard.of("engine.died")) == 4
        assert "rewind" not in channel.events


@pytest.mark.skipif(sys.platform != "linux", reason="who stopped it is known on Linux alone")
async def test_who_was_alone_in_an_engine_that_somebody_stopped_is_not_charged(
    tmp_path: Path,
) -> None:
    limits: dict[str, Any] = {"model__stall_report_ms": 100, "model__stall_kill_ms": 300}
    async with scripted_node(tmp_path, **limits) as node:
        task_id = await node.submit("a story", max_tokens=100)
        async with node.watch(task_id) as channel:
            await heard_text(channel, 50)
            await node.kill_engine(signal.SIGSTOP)
            await channel.until("completed")
        task = await node.task(task_id)
        assert (task["attempt"], task["errors"]) == (1, [])
        assert "no step" in str(node.heard.of("engine.died")[0].fields["reason"])


async def test_a_hanging_prompt_is_found_out_too(tmp_path: Path) -> None:
    limits: dict[str, Any] = {"model__stall_report_ms": 100, "model__stall_kill_ms": 300}
    async with scripted_node(tmp_path, **limits) as node:
        good, bad = await asyncio.gather(
            node.submit("a story", max_tokens=100), node.submit("hang", max_attempts=2)
        )
        assert (await node.ended(bad))["state"] == "discarded"
        assert (await node.ended(good))["attempt"] == 1
        assert node.heard.of("engine.stalled")
