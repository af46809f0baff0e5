"""The line as those see it who wait in it: places, users, limits, pages, pauses; over real sockets.

The engine has one slot and makes a token a second, so that what runs goes on running.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import Channel
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
            status, shown = (
                await node.call("GET", f"/tasks/{batch[0]}") if not settings else (0, {})
            )
            assert status == 0 or shown["user"] == "batch"


# ---- limits


@asynccontextmanager
async def commanded(
    node: ScriptedNode, task_id: str
) -> AsyncIterator[Callable[[str], Awaitable[Any]]]:
    """Somebody on the task's channel: its commands, and what they are answered."""
    url = f"{node.url}/socket/websocket?vsn=2.0.0"
    async with node.http.ws_connect(url) as socket:
        topic = f"task:{task_id}"
        await socket.send_json(["1", "1", topic, "phx_join", {"stay": True}])

        async def replied(ref: str) -> Any:
            while True:
                _, of, _, event, payload = await socket.receive_json(timeout=30)
                if event == "phx_reply" and of == ref:
                    return payload

        async def command(event: str) -> Any:
            await socket.send_json(["1", "2", topic, event, {}])
            return await replied("2")

        assert (await replied("1"))["status"] == "ok"
        yield command


async def many(node: ScriptedNode, count: int = 50, **fields: Any) -> list[tuple[int, Any, int]]:
    """So many submissions in one moment."""
    return await asyncio.gather(*(post(node, **fields) for _ in range(count)))


def statuses(answers: list[tuple[int, Any, int]]) -> dict[int, int]:
    told = [status for status, _, _ in answers]
    return {status: told.count(status) for status in set(told)}


async def test_so_many_wait_and_no_more_however_many_come_at_once(tmp_path: Path) -> None:
    async with busy_node(tmp_path, tasks__queue_max=5) as node:
        answers = await many(node)
        assert statuses(answers) == {202: 5, 503: 45}
        assert (await node.call("GET", "/healthz"))[1]["queued"] == 5
        for status, problem, wait_s in answers:
            if status == 503:
                assert problem["type"] == "urn:elwift:problem:overloaded"
                assert wait_s > 0


@pytest.mark.parametrize("fields", [{}, {"schedule_in_ms": 600_000}])
async def test_a_client_has_so_many_and_no_more_whatever_they_wait_for(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    async with busy_node(tmp_path, tasks__queue_per_client_max=5) as node:
        answers = await many(node, **fields)
        assert statuses(answers) == {202: 4, 429: 46}, "one runs"
        for status, problem, wait_s in answers:
            if status == 429:
                assert problem["type"] == "urn:elwift:problem:limit_reached"
                assert "of yours" in problem["detail"]
                assert wait_s > 0
        mine = next(answer["task_id"] for status, answer, _ in answers if status == 202)
        assert (await node.call("DELETE", f"/tasks/{mine}"))[0] == 200
        assert statuses(await many(node, **fields)) == {202: 1, 429: 49}


async def test_the_limit_of_one_client_is_not_anothers(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"server__tokens": TOKENS, "tasks__queue_per_client_max": 2}
    async with busy_node(tmp_path, **settings) as node:
        told = [(await post(node, of("ada"), user=str(number)))[0] for number in range(3)]
        assert told == [202, 429, 429], "whichever users it names"
        assert (await post(node, of("bob")))[0] == 202


async def test_a_client_has_so_many_tokens_in_flight(tmp_path: Path) -> None:
    limit = 1_000 // 2 + 3 * 1_000 // 2 + 500
    async with busy_node(tmp_path, tasks__tokens_per_client_max=limit) as node:
        answers = await many(node, max_tokens=1_000)
        assert statuses(answers) == {202: 3, 429: 47}
        refused = next(answer for status, answer, _ in answers if status == 429)
        assert "in flight" in refused["detail"]
        assert (await post(node, max_tokens=10))[0] == 202


async def test_a_client_submits_so_many_a_second(tmp_path: Path) -> None:
    settings = {"tasks__submissions_per_second_max": 1, "tasks__submissions_burst_max": 3}
    async with busy_node(tmp_path, **settings) as node:
        answers = await many(node)
        assert statuses(answers).keys() == {202, 429}
        # The busy node's own was the first of the burst; a slow machine may give one drop more.
        assert statuses(answers)[202] in (2, 3)
        assert {wait_s for status, _, wait_s in answers if status == 429} <= {1, 2}


async def test_what_was_accepted_before_is_no_submission_more(tmp_path: Path) -> None:
    settings = {"tasks__submissions_per_second_max": 1, "tasks__submissions_burst_max": 2}
    async with busy_node(tmp_path, tasks__queue_per_client_max=2, **settings) as node:
        key = {"Idempotency-Key": "one"}
        told = [await post(node, key) for _ in range(5)]
        assert [status for status, _, _ in told] == [202] * 5
        assert len({answer["task_id"] for _, answer, _ in told}) == 1


async def test_who_runs_again_has_to_have_room(tmp_path: Path) -> None:
    """Over HTTP and over the channel, however many want to at once."""
    async with busy_node(tmp_path, tasks__queue_per_client_max=5) as node:
        ended = []
        for _ in range(10):
            _, answer, _ = await post(node)
            ended.append(answer["task_id"])
            assert (await node.call("DELETE", f"/tasks/{ended[-1]}"))[0] == 200
        told = await asyncio.gather(
            *(node.call("POST", f"/tasks/{task_id}/retry") for task_id in ended)
        )
        assert sorted(status for status, _ in told) == [202] * 4 + [429] * 6
        (left, *_) = [each for each, (status, _) in zip(ended, told, strict=True) if status == 429]
        async with commanded(node, left) as command:
            reply = await command("retry")
            assert reply["status"] == "error"
            assert "of yours" in reply["response"]["reason"]
        running = next(each for each, (status, _) in zip(ended, told, strict=True) if status == 202)
        status, problem = await node.call("POST", f"/tasks/{running}/retry")
        assert (status, problem["type"]) == (409, "urn:elwift:problem:conflict")
        assert (await node.call("DELETE", f"/tasks/{running}"))[0] == 200
        assert (await node.call("POST", f"/tasks/{left}/retry"))[0] == 202


async def test_the_limits_hold_over_a_restart(tmp_path: Path) -> None:
    async with busy_node(tmp_path, tasks__queue_per_client_max=3) as node:
        assert statuses(await many(node, 3)) == {202: 2, 429: 1}
    async with scripted_node(tmp_path, *SLOW, tasks__queue_per_client_max=3) as node:
        assert (await post(node))[0] == 429


# ---- pages and pauses


async def queue(node: ScriptedNode, query: str = "", client: str | None = None) -> Any:
    headers = of(client) if client else None
    async with node.http.get(f"{node.url}/queue{query}", headers=headers) as response:
        assert response.status == 200
        return await response.json()


async def test_the_queue_is_shown_page_by_page(tmp_path: Path) -> None:
    async with busy_node(tmp_path) as node:
        waiting = [(await post(node, user="u"))[1]["task_id"] for _ in range(5)]
        page = await queue(node, "?limit=3")
        totals = [page[name] for name in ("paused", "waiting", "running", "slots")]
        assert totals == [False, 5, 1, 1]
        assert [row["position"] for row in page["tasks"]] == [None, 1, 2]
        rest = await queue(node, f"?limit=3&after={page['next']}")
        assert rest["next"] is None
        rows = page["tasks"][1:] + rest["tasks"]
        assert [row["task_id"] for row in rows] == waiting
        assert {(row["client"], row["user"], row["priority"]) for row in rows} == {
            ("local", "u", 5)
        }
        waits = [row["eta_ms"] for row in rows]
        assert waits == sorted(waits)
        # Who comes now is behind all of them; only they are told of those who may pass them.
        assert page["eta_ms"] > waits[-2]


async def test_foreign_tasks_have_no_names_in_the_queue(tmp_path: Path) -> None:
    async with busy_node(tmp_path, server__tokens=TOKENS) as node:
        await post(node, of("ada"), user="a user of ada's")
        _, own, _ = await post(node, of("bob"))
        page = await queue(node, client="bob")
        shown = [row["task_id"] for row in page["tasks"]]
        assert sorted(filter(None, shown)) == [own["task_id"]]
        assert len(shown) == 3
        assert "ada" not in str(page)
        async with node.http.get(f"{node.url}/queue") as response:
            assert response.status == 401


async def test_a_queue_that_is_paused_accepts_and_gives_no_turns(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, "--rate", "100", "--slots", "1") as node:
        for _ in range(2):
            status, told = await node.call("POST", "/queue/pause")
            assert (status, told["paused"], told["eta_ms"]) == (200, True, None)
        assert len(node.heard.of("queue.paused")) == 1
        _, answer, _ = await post(node, max_tokens=2)
        assert (answer["state"], answer["position"], answer["eta_ms"]) == ("available", 1, None)
        assert (await node.task(answer["task_id"]))["eta_ms"] is None
        (row,) = (await queue(node))["tasks"]
        assert (row["state"], row["eta_ms"]) == ("available", None)
        status, report = await node.call("GET", "/readyz")
        assert (status, report["status"]) == (200, "degraded")
        assert "the queue is paused" in " ".join(report["reasons"])
        status, told = await node.call("POST", "/queue/resume")
        assert (status, told["paused"]) == (200, False)
        assert (await node.ended(answer["task_id"]))["state"] == "completed"
        assert "paused" not in " ".join((await node.call("GET", "/readyz"))[1]["reasons"])


async def test_a_pause_lets_end_what_runs_and_is_forgotten_by_a_start(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, "--rate", "50", "--slots", "1") as node:
        running = await node.submit("a story", max_tokens=20)
        await node.heard.next("task.started")
        waiting = await node.submit("another", max_tokens=2)
        await node.call("POST", "/queue/pause")
        assert (await node.ended(running))["state"] == "completed"
        assert (await node.task(waiting))["state"] == "available"
    async with scripted_node(tmp_path, "--rate", "50", "--slots", "1") as node:
        assert (await queue(node))["paused"] is False
        assert (await node.ended(waiting))["state"] == "completed"


async def until_told(channel: Channel, *, paused: bool) -> None:
    """Hears its place, until that comes with an estimate or without one."""
    while True:
        await channel.until("queued")
        assert channel.last["position"] == 1
        if (channel.last["eta_ms"] is None) is paused:
            return


async def test_who_watches_is_told_of_a_pause(tmp_path: Path) -> None:
    async with busy_node(tmp_path, tasks__position_push_ms=10) as node:
        _, answer, _ = await post(node)
        async with node.watch(answer["task_id"]) as channel:
            await node.call("POST", "/queue/pause")
            await until_told(channel, paused=True)
            await node.call("POST", "/queue/resume")
            await until_told(channel, paused=False)


async def test_a_stranger_pauses_nothing(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, server__tokens=TOKENS) as node:
        for path in ("pause", "resume"):
            assert (await node.call("POST", f"/queue/{path}"))[0] == 401
        url = f"{node.url}/queue/pause"
        async with node.http.post(url, headers=of("bob")) as response:
            assert response.status == 200
