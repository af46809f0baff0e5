"""Calls over real connections, with tasks on a manual clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from edge.clock import NS_PER_MS
from edge.gateway.budget import Budget
from edge.gateway.calls import errors
from edge.gateway.calls.calls import EARLY_MS, GRACE_MS, Calls, Held, end_of
from edge.gateway.calls.connection import KEEP_ALIVE_MS
from edge.gateway.calls.following import Surroundings
from edge.gateway.calls.forms import Ended, Head
from edge.gateway.length import LengthCheck
from edge.gateway.openai.errors import middleware
from edge.gateway.openai.forms import ChatChunks
from edge.services.watchers.task_channel import TaskChannel
from tests.support.rows import uid
from tests.support.workshop import Workshop

BYTES_MAX = 100_000


class Site:
    """The workshop behind HTTP: ``/stream/1-2`` and ``/whole/1`` answer with these tasks."""

    def __init__(self, shop: Workshop, calls: Calls) -> None:
        self.shop = shop
        self.calls = calls
        self.client: Any = None
        self.how: dict[str, Any] = {}

    def _held(self, request: web.Request) -> Held:
        task_ids = tuple(uid(int(each)) for each in request.match_info["tasks"].split("-"))
        return Held("ada", task_ids, "req_1", choices=len(task_ids), **self.how)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        head = Head(uid(1), 7, "tiny")
        return await self.calls.stream(request, self._held(request), ChatChunks(head))

    async def whole(self, request: web.Request) -> web.StreamResponse:
        return await self.calls.whole(
            request, self._held(request), lambda ended: {"texts": [each.text for each in ended]}
        )

    def pass_ms(self, ms: int) -> None:
        self.shop.clock.advance(ms * NS_PER_MS)
        self.shop.work()

    async def until(self, done: Callable[[], bool]) -> None:
        """Lets connections and handlers work until this is so."""
        while not done():  # noqa: ASYNC110  # no event tells when a handler has begun
            await asyncio.sleep(0)

    def state(self, number: int) -> str:
        return str(self.shop.tasks._live_tasks[uid(number)].task.state)


@asynccontextmanager
async def serving(budget: Budget | None = None) -> AsyncIterator[Site]:
    shop = Workshop(pumped=True)
    around = Surroundings.of(lambda: TaskChannel(shop.tasks), shop.channels, BYTES_MAX, budget)
    site = Site(shop, Calls(shop.tasks, around, shop.clock, cast(LengthCheck, None)))
    app = web.Application(middlewares=[middleware])
    app.router.add_get("/v1/stream/{tasks}", site.stream)
    app.router.add_get("/v1/whole/{tasks}", site.whole)
    async with TestClient(TestServer(app)) as client:
        site.client = client
        yield site


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as site:
        yield site


async def chunk(response: aiohttp.ClientResponse) -> Any:
    """The next event of a stream; None at its end."""
    line = await response.content.readline()
    assert await response.content.readline() in (b"\n", b"")
    data = line.removeprefix(b"data: ")
    return None if data in (b"", b"[DONE]\n") else orjson.loads(data)


def delta(said: Any) -> Any:
    return said["choices"][0]["delta"]


async def test_a_stream_from_its_role_to_its_end(site: Site) -> None:
    await site.shop.submit(1)
    response = await site.client.get("/v1/stream/1")
    assert response.headers["X-Task-Id"] == uid(1)
    assert delta(await chunk(response)) == {"role": "assistant", "content": ""}
    site.shop.output(1, "Once")
    assert delta(await chunk(response)) == {"content": "Once"}
    site.shop.finish(1)
    last = await chunk(response)
    assert (delta(last), last["choices"][0]["finish_reason"]) == ({}, "stop")
    assert await chunk(response) is None


async def test_6_silence_is_broken_by_an_empty_delta(site: Site) -> None:
    await site.shop.submit(1)
    response = await site.client.get("/v1/stream/1")
    await chunk(response)
    for _ in range(2):
        site.pass_ms(KEEP_ALIVE_MS)
        assert delta(await chunk(response)) == {"content": ""}


async def test_no_empty_delta_follows_an_end(site: Site) -> None:
    for number in (1, 2):
        await site.shop.submit(number)
    response = await site.client.get("/v1/stream/1-2")
    await chunk(response)
    await chunk(response)
    site.shop.finish(1)
    assert (await chunk(response))["choices"][0]["finish_reason"] == "stop"
    site.pass_ms(KEEP_ALIVE_MS)
    assert (await chunk(response))["choices"][0]["index"] == 1


async def test_text_is_never_taken_back(site: Site) -> None:
    await site.shop.submit(1)
    response = await site.client.get("/v1/stream/1")
    await chunk(response)
    site.shop.output(1, "Once upon")
    text = delta(await chunk(response))["content"]
    site.shop.crash(1)
    site.shop.work()
    site.shop.output(1, " a time and longer")
    while "longer" not in text:
        text += delta(await chunk(response))["content"]
    assert text.startswith("Once upon")
    site.shop.finish(1)


async def test_a_slow_reader_gets_all_and_the_node_keeps_little(site: Site) -> None:
    await site.shop.submit(1)
    response = await site.client.get("/v1/stream/1")
    await chunk(response)
    (following,) = site.calls._open
    for _ in range(40):
        # In one turn of the loop: nothing can be written in between.
        site.shop.output(1, "x" * 1_000)
        assert following.held_bytes() < BYTES_MAX
    text = ""
    while len(text) < 40_000:
        text += delta(await chunk(response))["content"]
    site.shop.finish(1)
    assert text == "x" * 40_000


async def test_who_keeps_most_is_cut_off() -> None:
    async with serving(Budget(1_000)) as site:
        await site.shop.submit(1)
        response = await site.client.get("/v1/stream/1")
        await chunk(response)
        site.shop.output(1, "x" * 10_000)
        with pytest.raises(aiohttp.ClientError):
            await response.content.read()


async def test_a_whole_answer(site: Site) -> None:
    await site.shop.submit(1)
    asked = site.client.get("/v1/whole/1")
    site.shop.output(1, "Once")
    site.shop.finish(1)
    response = await asked
    assert await response.json() == {"texts": ["Once"]}
    assert response.headers["x-request-id"] == "req_1"


async def test_a_late_one_begins_with_white_space(site: Site) -> None:
    await site.shop.submit(1)
    asked = asyncio.create_task(site.client.get("/v1/whole/1"))
    await site.until(lambda: bool(site.calls._open))
    site.pass_ms(EARLY_MS)
    response = await asked
    assert await response.content.readexactly(1) == b" "
    site.shop.output(1, "Once")
    site.shop.finish(1)
    assert orjson.loads(await response.read()) == {"texts": ["Once"]}


async def test_one_that_fails_late_is_cut(site: Site) -> None:
    await site.shop.submit(1)
    asked = asyncio.create_task(site.client.get("/v1/whole/1"))
    await site.until(lambda: bool(site.calls._open))
    site.pass_ms(EARLY_MS)
    response = await asked
    site.shop.ask("cancel", 1)
    with pytest.raises(aiohttp.ClientError):
        await response.read()


async def test_one_that_fails_early_has_its_status(site: Site) -> None:
    await site.shop.submit(1)
    asked = asyncio.create_task(site.client.get("/v1/whole/1"))
    await site.until(lambda: bool(site.calls._open))
    site.shop.ask("cancel", 1)
    response = await asked
    assert response.status == 500
    assert response.headers["x-should-retry"] == "false"


async def test_who_may_repeat_has_a_moment_to_do_so(site: Site) -> None:
    await site.shop.submit(1)
    held = Held("ada", (uid(1),), "req_1", again=b"key")
    with site.calls._reading(held):
        site.calls._leave(held, answered=False)
    site.pass_ms(GRACE_MS - 1)
    assert site.state(1) == "executing"
    site.pass_ms(1)
    await asyncio.gather(*site.calls._runners)
    assert site.state(1) == "cancelled"
    assert await site.calls.rejoin("ada", b"key") == (uid(1),)
    assert site.state(1) != "cancelled", "it runs again for who came late"


async def test_a_foreign_task_is_not_found(site: Site) -> None:
    await site.shop.submit(1, "bob")
    response = await site.client.get("/v1/whole/1")
    assert response.status == 404


async def test_the_node_stops(site: Site) -> None:
    await site.shop.submit(1)
    response = await site.client.get("/v1/stream/1")
    await chunk(response)
    site.calls.end_all()
    assert (await chunk(response))["error"]["code"] == "overloaded"
    assert site.state(1) == "executing"


def test_what_a_document_has_no_answer_of() -> None:
    with pytest.raises(errors.TaskFailed, match="cancelled"):
        end_of({"state": "cancelled"})
    with pytest.raises(errors.TaskFailed, match="x"):
        end_of({"state": "discarded", "errors": [{"code": "c", "message": "x"}]})
    usage = {
        "prompt_tokens": 1, "cached_tokens": 0, "completion_tokens": 1, "reasoning_tokens": 0,
    }  # fmt: skip
    result: dict[str, Any] = {
        "text": "a", "finish_reason": "stop", "usage": usage, "logprobs": None, "message": None,
    }  # fmt: skip
    result["timings"] = timings = {"queued_ms": 1.0}
    ended = end_of({"state": "completed", "result": result})
    assert ended == Ended("a", "stop", usage, None, timings)
