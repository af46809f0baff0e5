"""The whole node: real model, real database, real sockets, a real process that is killed."""

from __future__ import annotations

import asyncio
import io
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import orjson
import pytest

from tests.support.node import RunningNode, joined, serving, start_node

STORY = {"prompt": "Write a story about a brave little fox", "ignore_eos": True}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[RunningNode]:
    async with serving(tmp_path) as running:
        yield running


async def submit(http: aiohttp.ClientSession, node: RunningNode, **body: Any) -> dict[str, Any]:
    async with http.post(f"{node.url}/tasks", json=body) as response:
        answer: dict[str, Any] = await response.json(content_type=None)
        assert response.status == 202, answer
        assert response.headers["Location"] == f"/tasks/{answer['task_id']}"
        return answer


async def get(http: aiohttp.ClientSession, node: RunningNode, path: str) -> tuple[int, Any]:
    async with http.get(node.url + path) as response:
        return response.status, await response.json(content_type=None)


async def test_a_task_is_watched_to_its_end(http: aiohttp.ClientSession, node: RunningNode) -> None:
    accepted = await submit(http, node, **STORY, max_tokens=40)
    assert accepted["durable"] is True
    async with joined(http, node.url, accepted["task_id"]) as channel:
        await channel.until("completed")
        await channel.until("phx_close")
    status, task = await get(http, node, f"/tasks/{accepted['task_id']}")
    assert status == 200
    assert task["state"] == "completed"
    assert task["result"]["text"] == channel.text
    assert task["result"]["finish_reason"] == "length"
    assert task["result"]["usage"]["completion_tokens"] == 40
    assert task["result"]["source"] == "model"
    for (_, before), (after, _) in zip(channel.seqs, channel.seqs[1:], strict=False):
        assert after == before + 1, "events are gapless in their order"


async def test_a_client_that_comes_back_reads_on_where_it_left(
    http: aiohttp.ClientSession, node: RunningNode
) -> None:
    accepted = await submit(http, node, **STORY, max_tokens=100)
    async with joined(http, node.url, accepted["task_id"]) as first:
        while len(first.text) < 40:
            await first.hear()
    # The connection is gone in the middle of the generation.
    async with joined(http, node.url, accepted["task_id"], first.text) as second:
        await second.until("completed", "phx_close")
    _, task = await get(http, node, f"/tasks/{accepted['task_id']}")
    assert second.text == task["result"]["text"]


async def test_sixteen_tasks_run_side_by_side(
    http: aiohttp.ClientSession, node: RunningNode
) -> None:
    answers = await asyncio.gather(*(submit(http, node, **STORY, max_tokens=40) for _ in range(16)))
    order: list[str] = []

    async def follow(task_id: str) -> None:
        async with joined(http, node.url, task_id) as channel:
            while await channel.hear() not in ("completed", "phx_close"):
                order.append(task_id)

    await asyncio.gather(*(follow(answer["task_id"]) for answer in answers))
    first_ended = min(len(order) - order[::-1].index(answer["task_id"]) for answer in answers)
    assert len(set(order[:first_ended])) == 16, "all had begun before the first ended"


# Two starts of a node and four stories: more than a minute on a busy machine.
@pytest.mark.timeout(240)
async def test_a_killed_node_finishes_what_it_had_accepted(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    node = await start_node(tmp_path, "--slots", "2")
    try:
        answers = [await submit(http, node, **STORY, max_tokens=60) for _ in range(4)]
        async with joined(http, node.url, answers[0]["task_id"]) as channel:
            while len(channel.text) < 20:
                await channel.hear()
    finally:
        await node.kill()
    async with serving(tmp_path, "--slots", "2") as again:
        for answer in answers:
            known = channel.text if answer is answers[0] else ""
            async with joined(http, again.url, answer["task_id"], known) as rest:
                while not rest.closed:
                    assert await rest.hear()
            _, task = await get(http, again, f"/tasks/{answer['task_id']}")
            assert task["state"] == "completed"
            assert rest.text == task["result"]["text"]


async def test_the_engine_may_die_and_nothing_is_said_twice(
    http: aiohttp.ClientSession, node: RunningNode
) -> None:
    accepted = await submit(http, node, **STORY, max_tokens=100)
    async with joined(http, node.url, accepted["task_id"]) as channel:
        while len(channel.text) < 40:
            await channel.hear()
        killer = await asyncio.create_subprocess_exec(
            *("pkill", "-KILL", "-P", str(node.process.pid), "-f", "edge.engine.worker")
        )
        assert await killer.wait() == 0
        await channel.until("completed")
    _, task = await get(http, node, f"/tasks/{accepted['task_id']}")
    assert channel.text == task["result"]["text"]
    assert task["result"]["usage"]["completion_tokens"] == 100


async def test_a_task_is_cancelled(http: aiohttp.ClientSession, node: RunningNode) -> None:
    accepted = await submit(http, node, **STORY, max_tokens=400)
    async with joined(http, node.url, accepted["task_id"]) as channel:
        await channel.until("progress")
        async with http.delete(f"{node.url}/tasks/{accepted['task_id']}") as response:
            assert response.status == 200
        await channel.until("cancelled")
        await channel.until("phx_close")
    async with http.delete(f"{node.url}/tasks/{accepted['task_id']}") as response:
        assert response.status == 409


async def test_the_same_submission_is_the_same_task(
    http: aiohttp.ClientSession, node: RunningNode
) -> None:
    own_id = str(uuid4())
    answers = await asyncio.gather(
        *(submit(http, node, prompt="Hello", task_id=own_id, max_tokens=5) for _ in range(5))
    )
    assert {answer["task_id"] for answer in answers} == {own_id}
    status, page = await get(http, node, "/tasks")
    assert status == 200
    assert len(page["tasks"]) == 1


BAD_BODIES: tuple[tuple[bytes, int, str | None], ...] = (
    (b"{", 400, None),
    (b"[]", 400, None),
    (b"{}", 422, "prompt"),
    (b'{"prompt": ""}', 422, "prompt"),
    (b'{"prompt": 5}', 422, "prompt"),
    (b'{"prompt": "x", "colour": 1}', 422, "colour"),
    (b'{"prompt": "x", "temperature": 9}', 422, "temperature"),
    (b'{"prompt": "x", "max_tokens": 0}', 422, "max_tokens"),
    (b'{"prompt": "' + b"word " * 2000 + b'"}', 422, "prompt"),
    (b'{"prompt": "' + b"x" * 2_000_000 + b'"}', 413, None),
)


async def test_bad_input_is_a_problem_document(
    http: aiohttp.ClientSession, node: RunningNode
) -> None:
    typed = {"Content-Type": "application/json"}
    for body, status, field in BAD_BODIES:
        async with http.post(f"{node.url}/tasks", data=io.BytesIO(body), headers=typed) as response:
            assert response.status == status, body[:60]
            assert response.content_type == "application/problem+json"
            problem = await response.json(content_type=None)
        assert problem["status"] == status
        assert problem.get("field") == field
        assert problem["type"].startswith("urn:elwift:problem:")
    status, problem = await get(http, node, f"/tasks/{uuid4()}")
    assert (status, problem["field"]) == (404, "task_id")


async def test_a_stop_is_orderly(tmp_path: Path) -> None:
    node = await start_node(tmp_path)
    assert await node.kill(signal.SIGTERM) == 0


async def test_server_sent_events_go_on_where_they_were_cut(
    http: aiohttp.ClientSession, node: RunningNode
) -> None:
    accepted = await submit(http, node, **STORY, max_tokens=60)
    url = f"{node.url}/tasks/{accepted['task_id']}/events"
    text, last_id = "", ""
    while last_id != "end":
        async with http.get(url, headers={"Last-Event-ID": last_id}) as response:
            assert response.status == 200
            # Three events, then the connection is gone.
            for _ in range(3):
                fields = await _next_event(response)
                last_id = fields.get("id", last_id)
                data = orjson.loads(fields["data"])
                if fields["event"] in ("task", "progress"):
                    text = text[: data["offset"]] + data["delta"]
                if last_id == "end":
                    break
    async with http.get(url, headers={"Last-Event-ID": "end"}) as response:
        assert response.status == 204
    _, task = await get(http, node, f"/tasks/{accepted['task_id']}")
    assert text == task["result"]["text"]


async def _next_event(response: aiohttp.ClientResponse) -> dict[str, str]:
    fields: dict[str, str] = {}
    while (line := (await response.content.readline()).decode().rstrip("\n")) or not fields:
        name, _, value = line.partition(": ")
        fields[name] = value
    return fields


async def test_all_tasks_of_a_client_in_one_channel(
    http: aiohttp.ClientSession, node: RunningNode
) -> None:
    first = await submit(http, node, **STORY, max_tokens=40)
    texts: dict[str, str] = {}
    ended: set[str] = set()
    async with http.ws_connect(f"{node.url}/socket/websocket?vsn=2.0.0") as socket:
        await socket.send_str('["1","1","tasks:mine","phx_join",{}]')
        second = await submit(http, node, **STORY, max_tokens=40)
        tasks = {first["task_id"], second["task_id"]}
        while ended != tasks:
            _, _, _, event, payload = orjson.loads((await socket.receive(timeout=30)).data)
            for entry in payload["updates"] if event == "updates" else []:
                if "delta" in entry:
                    known = texts.get(entry["task_id"], "")[: entry["offset"]]
                    texts[entry["task_id"]] = known + entry["delta"]
                if entry["event"] == "completed":
                    ended.add(entry["task_id"])
    for task_id in tasks:
        _, task = await get(http, node, f"/tasks/{task_id}")
        assert texts[task_id] == task["result"]["text"]


async def test_a_chats_next_turn_after_a_restart_reads_only_what_is_new(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    said = [{"role": "user", "content": "Tell me of a fox. " * 20}]

    async def turn(node: RunningNode) -> dict[str, Any]:
        task = await submit(http, node, messages=said, max_tokens=8, ignore_eos=True)
        async with joined(http, node.url, task["task_id"]) as channel:
            await channel.until("completed")
        _, ended = await get(http, node, f"/tasks/{task['task_id']}")
        result: dict[str, Any] = ended["result"]
        return result

    async with serving(tmp_path) as node:
        first = await turn(node)
        assert await node.kill(signal.SIGTERM) == 0
    assert first["usage"]["cached_tokens"] == 0
    said += [
        {"role": "assistant", "content": first["text"]},
        {"role": "user", "content": "And of a hen."},
    ]
    async with serving(tmp_path) as node:
        second = await turn(node)
    new = second["usage"]["prompt_tokens"] - second["usage"]["cached_tokens"]
    assert second["usage"]["cached_tokens"] >= first["usage"]["prompt_tokens"] - 8
    assert new < 50
