"""A whole node, in a process of its own, and clients that are odd, silent or many."""

from __future__ import annotations

import signal
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import orjson
import psutil  # type: ignore[import-untyped]  # it ships no types

from tests.support.node import RunningNode, joined
from tests.support.odd_requests import ALL, KEY, LOOK, SOCKET, TASK, UPGRADE
from tests.support.raw import length, post, raw, request
from tests.support.scripted_node import start_scripted_node

REQUEST = request(LOOK)


async def test_odd_requests_leave_no_trace(tmp_path: Path) -> None:
    log = tmp_path / "log"
    node = await start_scripted_node(tmp_path / "data", log=log)
    try:
        for odd in ALL:
            async with raw(node.url) as client:
                await client.send(odd.data)
                client.half_close()
                assert (await client.answer()).status == odd.status, odd.name
        async with raw(node.url) as client:
            await client.send(REQUEST)
            assert (await client.answer()).status == 200
    finally:
        await node.kill(signal.SIGTERM)
    assert log.read_text() == ""


async def test_silent_connections_lock_nobody_out(tmp_path: Path) -> None:
    node = await start_scripted_node(tmp_path, "--rate", "200", ulimit="-n 128")
    try:
        async with AsyncExitStack() as stack:
            for _ in range(140):
                await stack.enter_async_context(raw(node.url))
            assert await served(node)
            for _ in range(140):
                await stack.enter_async_context(raw(node.url))
            engines = psutil.Process(node.process.pid).children()
            assert len(engines) == 1
            engines[0].kill()
            assert await completes(node)
            (successor,) = psutil.Process(node.process.pid).children()
            assert successor.pid != engines[0].pid
    finally:
        await node.kill()


async def test_the_soft_limit_on_open_files_is_raised(tmp_path: Path) -> None:
    node = await start_scripted_node(tmp_path, ulimit="-Sn 128")
    try:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(raw(node.url)) for _ in range(140)]
            for client in clients:
                await client.send(REQUEST)
                assert (await client.answer()).status == 200
    finally:
        await node.kill()


async def test_deadlines_are_those_of_the_settings(tmp_path: Path) -> None:
    short = {f"server.{name}_ms": "200" for name in ("header", "body", "idle")}
    node = await start_scripted_node(tmp_path, settings=short)
    try:
        async with raw(node.url) as silent:
            assert await silent.over()
        async with raw(node.url) as idle:
            await idle.send(REQUEST)
            assert (await idle.answer()).status == 200
            assert await idle.over()
        for half in (
            REQUEST[:9],
            request(SOCKET, *UPGRADE, KEY)[:-2],
            post(TASK[:3], length(TASK)),
        ):
            async with raw(node.url) as client:
                await client.send(half)
                assert (await client.answer()).status == 408
                assert await client.over()
    finally:
        await node.kill()


async def test_a_client_that_has_ended_its_side_hears_the_end_of_its_task(tmp_path: Path) -> None:
    node = await start_scripted_node(tmp_path, "--rate", "200")
    try:
        async with raw(node.url) as client:
            task = orjson.dumps({"prompt": "hi", "max_tokens": 40})
            await client.send(post(task, length(task)))
            task_id = (await client.answer()).json()["task_id"]
            await client.send(request(f"GET /tasks/{task_id}/events HTTP/1.1"))
            client.half_close()
            assert b"event: completed" in await client.rest()
    finally:
        await node.kill()


async def test_a_body_is_asked_for_only_from_who_may_send_it(tmp_path: Path) -> None:
    token = "a-secret-of-some-length"
    node = await start_scripted_node(tmp_path, settings={"server.tokens": f"ada={token}"})
    expects = b"Expect: 100-continue"
    try:
        async with raw(node.url) as stranger:
            await stranger.send(post(b"", length(TASK), expects))
            assert (await stranger.answer()).status == 401
            assert await stranger.over()
        bearer = b"Authorization: Bearer " + token.encode()
        async with raw(node.url) as client:
            await client.send(post(b"", b"Content-Length: 99999999", expects, bearer))
            assert (await client.answer()).status == 413
            assert await client.over()
        async with raw(node.url) as client:
            await client.send(post(b"", length(TASK), expects, bearer))
            assert (await client.answer()).status == 100
            await client.send(TASK)
            assert (await client.answer()).status == 202
    finally:
        await node.kill()


async def served(node: RunningNode) -> bool:
    async with raw(node.url) as client:
        await client.send(REQUEST)
        return (await client.answer()).status == 200


async def completes(node: RunningNode) -> bool:
    """Whether the node still does what it is for."""
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{node.url}/tasks", json={"prompt": "hi"}) as response:
            assert response.status == 202
            task_id = (await response.json())["task_id"]
        async with joined(http, node.url, task_id) as channel:
            return channel.closed or await channel.until("completed", "failed") == "completed"
