"""Actors that break: a task's, the node's own, and what is left when their budgets are spent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge.actors import Crash, Ref
from edge.cli import serve
from edge.node import Node, Started
from edge.settings import Settings, load
from tests.support.node_inside import QUICK, Script, ScriptedNode, heard_text, scripted_node


def actor(node: Node, name: str) -> Ref:
    ref = node.system.registry.whereis(name)
    assert ref is not None
    return ref


async def crash(node: Node, name: str) -> None:
    """Breaks the actor of this name and waits until its supervisor has done what it does."""
    ended = asyncio.Event()

    class Watcher:
        def down(self, _ref: Ref, _reason: object) -> None:
            ended.set()

    ref = actor(node, name)
    ref.add_watcher(Watcher())
    ref.kill(Crash(RuntimeError("asked to")))
    await ended.wait()


async def test_a_task_whose_actor_breaks_goes_on_and_its_client_reads_on(tmp_path: Path) -> None:
    async with scripted_node(tmp_path) as node:
        task_id = await node.submit("a story", max_tokens=200)
        async with node.watch(task_id) as channel:
            for chars in (100, 300):
                await heard_text(channel, chars)
                await crash(node.node, f"task:{task_id}")
            await channel.until("completed")
        task = await node.task(task_id)
        assert task["result"]["text"] == channel.text == "word " * 200
        assert task["attempt"] == 1
        numbers = [last for _, last in channel.seqs]
        assert numbers == sorted(numbers)


async def test_a_task_whose_actor_breaks_again_and_again_is_discarded_alone(
    tmp_path: Path,
) -> None:
    async with scripted_node(tmp_path) as node:
        good = await node.submit("a story", max_tokens=100)
        bad = await node.submit("a story", max_tokens=100_000)
        for _ in range(4):
            await crash(node.node, f"task:{bad}")
        task = await node.ended(bad)
        assert task["state"] == "discarded"
        assert [error["code"] for error in task["errors"]] == ["internal_error"]
        assert (await node.ended(good))["state"] == "completed"


@pytest.mark.parametrize("name", ["follower", "engine", "fallback", "outage", "standby"])
async def test_a_service_that_breaks_is_brought_back_and_all_tasks_end(
    tmp_path: Path, name: str
) -> None:
    async with scripted_node(tmp_path, "--slots", "2") as node:
        tasks = [await node.submit("a story", max_tokens=100) for _ in range(4)]
        async with node.watch(tasks[0]) as channel:
            await heard_text(channel, 50)
            await crash(node.node, name)
            await channel.until("completed")
        for task_id in tasks:
            assert (await node.ended(task_id))["result"]["text"] == "word " * 100


@pytest.mark.parametrize("name", ["fallback", "outage", "standby", "status"])
async def test_what_is_not_needed_may_break_for_good(tmp_path: Path, name: str) -> None:
    async with scripted_node(tmp_path) as node:
        for _ in range(4):
            await crash(node.node, name)
        assert node.node.system.registry.whereis(name) is None
        assert (await node.ended(await node.submit("a story", max_tokens=3)))["result"]


async def break_for_good(node: ScriptedNode, name: str) -> str:
    for _ in range(4):
        if node.node.system.registry.whereis(name) is not None:
            await crash(node.node, name)
    return await node.node.failed()


@pytest.mark.parametrize("name", ["engine", "follower", "tasks"])
async def test_a_node_that_cannot_go_on_says_so_and_keeps_all_tasks(
    tmp_path: Path, name: str
) -> None:
    async with scripted_node(tmp_path) as node:
        task_id = await node.submit("a story", max_tokens=300)
        async with node.watch(task_id) as channel:
            await heard_text(channel, 50)
            assert f"restarts used up by {name}" in await break_for_good(node, name)
    async with scripted_node(tmp_path) as node:
        assert (await node.ended(task_id))["result"]["text"] == "word " * 300


async def test_serve_ends_with_a_sentence_and_not_with_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Doomed(Node):
        def __init__(self, settings: Settings) -> None:
            super().__init__(settings, engine_command=Script())

        async def start(self) -> Started:
            started = await super().start()
            actor(self, "node").kill()
            return started

    monkeypatch.setattr(serve, "Node", Doomed)
    assert await serve.run(load(environment={}, flags=QUICK | {"data.dir": str(tmp_path)})) == 1
    assert "elwift: the node cannot go on (killed), which is a defect" in capsys.readouterr().err
