"""Server-Sent Events over a real connection, with tasks on a manual clock."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from edge.clock import NS_PER_MS
from edge.errors import InvalidRequest
from edge.gateway import problems
from edge.gateway.access import Access
from edge.gateway.events import KEEP_ALIVE_MS, EventStreams, event, read_event_id
from edge.gateway.facts import NodeFacts
from edge.gateway.tasks_api import TasksApi
from edge.inference.pool import Pool
from edge.phoenix import Message
from edge.services.watchers.task_channel import TaskChannel
from edge.settings import Settings
from tests.support.rows import uid
from tests.support.workshop import Workshop

BYTES_MAX = 1 << 20


class Page:
    """What a client reads, event by event."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self) -> tuple[str, Any, str | None]:
        """Name, data and id of the next event; ``("", None, None)`` at the end."""
        fields: dict[str, str] = {}
        while line := (await self.response.content.readline()).decode():
            if line == "\n":
                if fields:
                    break
                continue
            name, _, value = line.rstrip("\n").partition(": ")
            fields[name or "comment"] = value
        data = json.loads(fields["data"]) if "data" in fields else None
        return fields.get("event", fields.get("comment", "")), data, fields.get("id")


class Site:
    """The workshop behind HTTP."""

    def __init__(self, shop: Workshop, client: Any, streams: EventStreams) -> None:
        self.shop = shop
        self.client = client
        self.streams = streams

    async def open(self, number: int = 1, last_event_id: str | None = None) -> Page:
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        return Page(await self.client.get(f"/tasks/{uid(number)}/events", headers=headers))


@asynccontextmanager
async def serving(bytes_max: int = BYTES_MAX) -> AsyncIterator[Site]:
    shop = Workshop(pumped=True)
    streams = EventStreams(lambda: TaskChannel(shop.tasks), shop.channels, shop.clock, bytes_max)
    app = web.Application()
    api = TasksApi(
        shop.tasks, Access({"ada": "secret"}), Settings(), cast(NodeFacts, None), streams,
        cast(Pool, None),
    )  # fmt: skip
    app.router.add_get("/tasks/{task_id}/events", api.events)
    app.middlewares.append(problems.middleware)
    async with TestClient(TestServer(app), headers={"Authorization": "Bearer secret"}) as client:
        yield Site(shop, client, streams)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as site:
        yield site


async def test_a_task_from_its_first_word_to_its_end(site: Site) -> None:
    await site.shop.submit(1)
    page = await site.open()
    assert page.response.headers["Content-Type"] == "text/event-stream"
    name, data, event_id = await page.next()
    assert (name, data["delta"], event_id) == ("task", "", "0")
    site.shop.output(1, "Once\n")
    name, data, event_id = await page.next()
    assert (name, data["delta"], data["offset"], event_id) == ("progress", "Once\n", 0, "5")
    site.shop.finish(1)
    name, data, event_id = await page.next()
    assert (name, data["result"]["text"], event_id) == ("completed", "Once\n", "end")
    assert await page.next() == ("", None, None)


async def test_it_goes_on_where_the_client_left(site: Site) -> None:
    await site.shop.submit(1)
    site.shop.output(1, "Once upon")
    page = await site.open(last_event_id="5")
    _, data, event_id = await page.next()
    assert (data["delta"], data["offset"], event_id) == ("upon", 5, "9")


async def test_who_has_read_the_end_stays_away(site: Site) -> None:
    await site.shop.submit(1)
    assert (await site.open(last_event_id="end")).response.status == 200
    site.shop.finish(1)
    assert (await site.open(last_event_id="end")).response.status == 204


async def test_who_comes_after_the_end_hears_it_once(site: Site) -> None:
    await site.shop.submit(1)
    site.shop.output(1, "Once")
    site.shop.finish(1)
    page = await site.open(last_event_id="2")
    _, data, _ = await page.next()
    assert (data["delta"], data["task"]["state"]) == ("ce", "completed")
    name, _, event_id = await page.next()
    assert (name, event_id) == ("completed", "end")
    assert await page.next() == ("", None, None)


async def test_silence_is_broken_now_and_then(site: Site) -> None:
    await site.shop.submit(1)
    page = await site.open()
    await page.next()
    site.shop.clock.advance(KEEP_ALIVE_MS * NS_PER_MS)
    assert (await page.response.content.readline()) == b": keep-alive\n"


async def test_what_waits_for_a_slow_client_is_merged_and_bounded() -> None:
    async with serving(bytes_max=100_000) as site:
        await site.shop.submit(1)
        page = await site.open()
        await page.next()
        # In one turn of the loop: nothing can be written in between.
        for _ in range(10):
            site.shop.output(1, "x" * 100)
        _, data, _ = await page.next()
        assert len(data["delta"]) == 1_000
        assert data["seq"] - data["from_seq"] == 9
        # More than may wait: the rest stays with its task until the client has taken this.
        for _ in range(40):
            site.shop.output(1, "x" * 1_000)
        text = ""
        while len(text) < 40_000:
            _, data, event_id = await page.next()
            assert len(data["delta"]) < 20_000
            text += data["delta"]
            assert event_id == str(1_000 + len(text))


async def test_long_text_comes_in_pages() -> None:
    async with serving(bytes_max=100_000) as site:
        await site.shop.submit(1)
        site.shop.output(1, "x" * 30_000)
        page = await site.open(last_event_id="7")
        text, ids = "", []
        while len(text) < 30_000 - 7:
            _, data, event_id = await page.next()
            assert len(data["delta"]) <= 100_000 // 4 // 6
            text += data["delta"]
            ids.append(event_id)
        assert ids[-1] == "30000"
        site.shop.finish(1)
        name, data, _ = await page.next()
        assert (name, data["result"]["text"]) == ("completed", None)


async def test_who_cannot_be_bounded_is_cut_off(site: Site) -> None:
    await site.shop.submit(1)
    page = await site.open()
    await page.next()
    (stream,) = site.streams._open
    # What no channel can put off, in one turn of the loop.
    for _ in range(BYTES_MAX // 100_000 + 1):
        stream._perform([Message("1", None, "task:1", "x", {"long": "x" * 100_000})])
    with pytest.raises(aiohttp.ClientError):
        await page.next()


async def test_the_node_stops(site: Site) -> None:
    await site.shop.submit(1)
    page = await site.open()
    await page.next()
    site.streams.end_all()
    assert await page.next() == ("", None, None)
    site.shop.work()
    assert not [name for name in site.shop.system.actors if str(name).startswith("channel")]


async def test_a_foreign_task_is_not_found(site: Site) -> None:
    await site.shop.submit(1, "bob")
    assert (await site.open()).response.status == 404


@pytest.mark.parametrize("given", ["-1", "x", "1.5", "9" * 16, "\N{SUPERSCRIPT TWO}"])
def test_an_event_id_that_is_none(given: str) -> None:
    with pytest.raises(InvalidRequest):
        read_event_id(given)


def test_event_ids() -> None:
    assert read_event_id(None) == read_event_id("") == read_event_id("0") == 0
    assert read_event_id("12") == 12
    assert read_event_id("end") is None


def test_an_event_is_one_line_of_data() -> None:
    assert (
        event("x", b'{"text":"a\\nb\\r"}', "3") == b'event: x\nid: 3\ndata: {"text":"a\\nb\\r"}\n\n'
    )


async def test_a_refusal_ends_the_stream(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.services.task.audience.WATCHERS_MAX", 0)
    await site.shop.submit(1)
    page = await site.open()
    name, data, event_id = await page.next()
    assert (name, data["reason"], event_id) == ("refused", "too many watch this task", None)
    assert await page.next() == ("", None, None)
