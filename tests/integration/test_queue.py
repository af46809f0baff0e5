"""The line as those see it who wait in it: places, users, limits, pages, pauses; over real sockets.

The engine has one slot and makes a token a second, so that what runs goes on running.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.node_inside import ScriptedNode, scripted_node

SLOW = ("--rate", "1", "--slots", "1")
TOKENS = {"ada": "a secret of ada's own", "bob": "a secret of bob's own"}


def of(client: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[client]}"}


@asynccontextmanager
async def busy_node(folder: Path, **settings: Any) -> AsyncIterator[ScriptedNode]:
    """A node whose slot is taken by a task of the first client's."""
    async with scripted_node(folder, *SLOW, **settings) as node:
        headers = of("ada") if "server__tokens" in settings else None
        await node.submit("long", max_tokens=1_000, headers=headers)
        await node.heard.next("task.started")
        yield node


async def post(
    node: ScriptedNode, headers: dict[str, str] | None = None, **fields: Any
) -> tuple[int, Any, int]:
    """Submits; the status, the answer, and after how many seconds to come back."""
    body = {"prompt": "hi"} | fields
    async with node.http.post(f"{node.url}/tasks", json=body, headers=headers) as response:
        wait_s = int(response.headers.get("Retry-After", 0))
        return response.status, await response.json(content_type=None), wait_s


async def places(node: ScriptedNode, tasks: list[str]) -> list[int]:
    return [(await node.task(task_id))["position"] for task_id in tasks]


async def test_who_submits_at_once_is_told_a_place_of_its_own(tmp_path: Path) -> None:
    async with busy_node(tmp_path) as node:
        answers = [
            answer for _, answer, _ in await asyncio.gather(*(post(node) for _ in range(20)))
        ]
        assert sorted(each["position"] for each in answers) == list(range(1, 21))
        told = [each["position"] for each in answers]
        assert await places(node, [each["task_id"] for each in answers]) == told
        waits = [each["eta_ms"] for each in sorted(answers, key=lambda each: each["position"])]
        assert waits == sorted(waits)
        assert waits[0] < waits[-1]


async def test_places_are_told_apart_whatever_the_priorities(tmp_path: Path) -> None:
    async with busy_node(tmp_path) as node:
        tried = [post(node, priority=9 - number % 10) for number in range(20)]
        answers = [answer for _, answer, _ in await asyncio.gather(*tried)]
        before = [each["position"] for each in answers]
        assert len(set(before)) == 20


async def test_who_need_not_wait_is_told_so(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, *SLOW) as node:
        _, answer, _ = await post(node, max_tokens=1_000)
        assert (answer["position"], answer["eta_ms"]) == (0, 0)


async def test_one_users_batch_does_not_push_out_anothers_chat(tmp_path: Path) -> None:
    """Also of those who come through the same token, or from the same address."""
    for name, settings in (("open", {}), ("tokens", {"server__tokens": TOKENS})):
        async with busy_node(tmp_path / name, **settings) as node:
            headers = of("ada") if settings else None
            batch = [
                (await post(node, headers, user="batch", max_tokens=500))[1]["task_id"]
                for _ in range(5)
            ]
            _, chat, _ = await post(node, headers, user="chat")
            assert chat["position"] <= 2
            status, shown = await node.call("GET", f"/tasks/{batch[0]}") if not settings else (0, {})
            assert status == 0 or shown["user"] == "batch"
