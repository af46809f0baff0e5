"""Prompts that kill the engine are told from those that only stand beside them."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.node_inside import ScriptedNode, heard_text, scripted_node
from tests.support.random_gguf import write_random_gguf


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


# ---- prompts that are measured before they are accepted


async def post(node: ScriptedNode, prompt: str) -> tuple[int, dict[str, Any], str | None]:
    async with node.http.post(f"{node.url}/tasks", json={"prompt": prompt}) as response:
        answer = dict(await response.json(content_type=None))
        return response.status, answer, response.headers.get("Retry-After")


def long(prompt: str) -> str:
    """The same to the scripted engine, and so long that it may not fit."""
    return prompt + " " * 5_000


async def test_a_prompt_that_ends_the_engine_while_it_is_measured_does_so_once(
    tmp_path: Path,
) -> None:
    # A budget that would be spent by a single death that were held against the engine.
    async with scripted_node(tmp_path, model__deaths_max=0) as node:
        # Alone in the engine, so that it would be the cause.
        beside = await node.submit("a story", max_tokens=200)
        status, answer, retry_after = await post(node, long("die SIGSEGV"))
        assert (status, retry_after) == (503, "1")
        assert "has to be measured first" in answer["detail"]
        assert "SIGSEGV" not in answer["detail"]
        died = await node.heard.next("engine.died")
        reason = str(died.fields["reason"])
        assert "SIGSEGV" in reason
        assert reason.endswith("while it measured a prompt of 5011 characters")
        await node.heard.next("engine.ready", 2)
        for _ in range(3):
            status, answer, retry_after = await post(node, long("die SIGSEGV"))
            assert (status, answer["type"]) == (503, "urn:elwift:problem:engine_error")
            assert "not measured again" in answer["detail"]
            assert retry_after is not None
            assert 0 < int(retry_after) <= 600
        assert (await post(node, long("a story")))[0] == 202
        task = await node.ended(beside)
        assert (task["state"], task["attempt"], task["errors"]) == ("completed", 1, [])
        assert len(node.heard.of("engine.died")) == 1
        assert node.heard.of("engine.given_up") == []


async def test_a_long_prompt_is_not_accepted_while_there_is_no_engine(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, model__restart_base_ms=600_000) as node:
        await node.kill_engine()
        await node.heard.next("engine.died")
        status, answer, retry_after = await post(node, long("a story"))
        assert (status, retry_after) == (503, "1")
        assert "being restarted" in answer["detail"]
        assert (await post(node, "a short story"))[0] == 202


async def test_what_was_accepted_before_is_answered_without_an_engine(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, model__restart_base_ms=600_000) as node:
        key = {"headers": {"Idempotency-Key": "once"}}
        task_id = await node.submit(long("a story"), **key)
        await node.kill_engine()
        await node.heard.next("engine.died")
        assert await node.submit(long("a story"), **key) == task_id
        assert (await post(node, long("a story")))[0] == 503


async def test_who_was_measured_when_it_was_killed_from_outside_may_try_again(
    tmp_path: Path,
) -> None:
    async with scripted_node(tmp_path) as node:
        for round_ in (1, 2):
            waiting = asyncio.ensure_future(post(node, long("mute")))
            # What is measured is with the engine before what came after it is done.
            await node.ended(await node.submit("a story", max_tokens=20))
            assert not waiting.done()
            await node.kill_engine()
            assert (await waiting)[0] == 503
            await node.heard.next("engine.ready", round_ + 1)


async def test_what_cannot_fit_is_refused_at_the_door(tmp_path: Path) -> None:
    """By a real engine, which says how long its longest token is, and is asked nothing."""
    async with scripted_node(tmp_path, real=True, model__slots=1) as node:
        status, answer, _ = await post(node, "a" * 900_000)
        assert (status, answer["field"]) == (422, "prompt")
        assert "900000 bytes" in answer["detail"]
        assert answer["type"] == "urn:elwift:problem:prompt_too_long"


async def test_a_run_that_a_pattern_recurses_on_is_measured_like_any_other(tmp_path: Path) -> None:
    """60,000 letters in a row ended the engine, and were accepted."""
    model = write_random_gguf(tmp_path / "nano.gguf", context_tokens=16_384, pre="tekken")
    limits: dict[str, Any] = {
        "model__name": str(model), "model__slots": 1, "model__context_tokens": 16_384,
    }  # fmt: skip
    async with scripted_node(tmp_path, real=True, **limits) as node:
        for char in ("a", "1", "\x00"):
            status, answer, _ = await post(node, char * 60_000)
            assert status == 422
            assert "16384" in answer["detail"]
            assert "60019 tokens" in answer["detail"]
        assert (await post(node, "the quick brown fox " * 300))[0] == 202
        assert node.heard.of("engine.died") == []
