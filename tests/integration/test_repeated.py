"""A request that is submitted again: the same body is the same task, another body is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.node_inside import ScriptedNode, scripted_node

LATER: dict[str, Any] = {"schedule_in_ms": 600_000}
OTHERS: list[dict[str, Any]] = [
    {"prompt": "b"}, {"metadata": {"a": 1}}, {"priority": 3}, {"max_tokens": 7},
    {"schedule_in_ms": 600_001}, {"fallback": False},
]  # fmt: skip
TOKENS = {"ada": "the secret of ada", "bob": "the secret of bob"}


async def post(
    node: ScriptedNode, key: str | None = None, token: str | None = None, **fields: Any
) -> tuple[int, Any]:
    headers = {"Idempotency-Key": key} if key else {}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    body = {"prompt": "a"} | fields
    async with node.http.post(f"{node.url}/tasks", json=body, headers=headers) as response:
        return response.status, await response.json(content_type=None)


async def check_repeats(node: ScriptedNode, own_id: str, key: str, **fields: Any) -> None:
    """Both ways of saying the same again, and something else."""
    for named in ({"task_id": own_id}, {"task_id": own_id.upper()}):
        status, answer = await post(node, **named, **fields)
        assert (status, answer["task_id"]) == (202, own_id), answer
    status, answer = await post(node, key, **fields)
    assert status == 202, answer
    by_key = answer["task_id"]
    for other in OTHERS:
        status, problem = await post(node, task_id=own_id, **(fields | other))
        assert (status, problem["type"]) == (409, "urn:elwift:problem:task_id_reused")
        assert (problem["field"], own_id in problem["detail"]) == ("task_id", True)
        status, problem = await post(node, key, **(fields | other))
        assert (status, problem["type"]) == (422, "urn:elwift:problem:idempotency_key_reused")
        assert (problem["field"], by_key in problem["detail"]) == ("Idempotency-Key", True)
    # A key goes before an id.
    for task_id in (own_id, str(uuid4())):
        status, answer = await post(node, key, task_id=task_id, **fields)
        assert (status, answer["task_id"]) == (202, by_key), answer
    # The same body with a key that is new is still the same id.
    status, answer = await post(node, str(uuid4()), task_id=own_id, **fields)
    assert (status, answer["task_id"]) == (202, own_id)


async def test_while_it_waits_and_after_a_restart(tmp_path: Path) -> None:
    own_id = str(uuid4())
    async with scripted_node(tmp_path) as node:
        await check_repeats(node, own_id, "k", **LATER)
    async with scripted_node(tmp_path) as node:
        await check_repeats(node, own_id, "k", **LATER)
        assert len((await node.call("GET", "/tasks"))[1]["tasks"]) == 2


async def test_once_it_has_ended_and_only_the_store_has_it(tmp_path: Path) -> None:
    own_id = str(uuid4())
    async with scripted_node(tmp_path, tasks__finished_keep_ms=0) as node:
        await check_repeats(node, own_id, "k", max_tokens=1)
        for task in (await node.call("GET", "/tasks"))[1]["tasks"]:
            await node.ended(task["task_id"])
            await node.actor_gone(task["topic"])
        await check_repeats(node, own_id, "k", max_tokens=1)
    # The defaults are part of the task, and not of what was submitted.
    async with scripted_node(tmp_path, tasks__max_attempts=7) as node:
        await check_repeats(node, own_id, "k", max_tokens=1)
        assert len((await node.call("GET", "/tasks"))[1]["tasks"]) == 2


@pytest.mark.parametrize("way", ["key", "id"])
async def test_while_the_first_is_being_accepted(tmp_path: Path, way: str) -> None:
    """All at once: one is accepted, those that say the same are it, the others are refused."""
    named: dict[str, Any] = {"key": "k"} if way == "key" else {"task_id": str(uuid4())}
    async with scripted_node(tmp_path) as node:
        answers = await asyncio.gather(
            *(post(node, prompt=f"{number % 2}", **named, **LATER) for number in range(20))
        )
    accepted = [(number % 2, answer) for number, (_, answer) in enumerate(answers)]
    ids = {answer["task_id"] for _, answer in accepted if "task_id" in answer}
    assert len(ids) == 1
    (winner,) = {odd for odd, answer in accepted if "task_id" in answer}
    refused = 422 if way == "key" else 409
    assert [status for status, _ in answers] == [
        202 if number % 2 == winner else refused for number in range(20)
    ]


async def test_a_key_is_its_clients_own_and_an_id_is_the_nodes(tmp_path: Path) -> None:
    ada, bob = TOKENS.values()
    own_id = str(uuid4())
    async with scripted_node(tmp_path, server__tokens=TOKENS) as node:
        _, first = await post(node, "k", ada, **LATER)
        status, second = await post(node, "k", bob, prompt="b", **LATER)
        assert status == 202
        assert first["task_id"] != second["task_id"]
        assert (await post(node, None, ada, task_id=own_id, **LATER))[0] == 202
        for prompt in ("a", "b"):
            status, problem = await post(node, None, bob, task_id=own_id, prompt=prompt, **LATER)
            assert (status, problem["type"]) == (404, "urn:elwift:problem:not_found")


async def test_a_key_is_free_once_its_task_has_been_pruned(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"tasks__finished_keep_ms": 0, "data__keep_tasks_max": 0}
    async with scripted_node(tmp_path, data__prune_every_ms=1_000, **settings) as node:
        _, first = await post(node, "k", max_tokens=1)
        await node.heard.next("task.finished")
        await node.actor_gone(first["topic"])
        await node.heard.next("store.pruned")
        status, second = await post(node, "k", prompt="b", max_tokens=1)
        assert status == 202, second
        assert second["task_id"] != first["task_id"]
