"""phoenix.js against a node whose connection fails in every way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
import pytest_asyncio

from tests.conformance.js.calls import get_text, submit
from tests.conformance.js.client import PhoenixJs, phoenix_client
from tests.conformance.js.proxy import Proxy, proxied
from tests.support.node import RunningNode, joined
from tests.support.scripted_node import start_scripted_node

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(
    installed: object, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningNode]:
    """One node for the whole file."""
    running = await start_scripted_node(
        tmp_path_factory.mktemp("node"), *("--rate", "200", "--stamps", "--unicode")
    )
    yield running
    await running.kill()


@pytest_asyncio.fixture(loop_scope="module")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest_asyncio.fixture(loop_scope="module")
async def proxy(node: RunningNode) -> AsyncIterator[Proxy]:
    async with proxied(node.url) as proxy:
        yield proxy


async def ended(http: aiohttp.ClientSession, url: str, task_id: str) -> None:
    """Waits until a client beside has seen the end of the task."""
    async with joined(http, url, task_id) as witness:
        while not witness.closed:
            assert await witness.hear()


async def test_plain(phoenix_js: PhoenixJs, node: RunningNode, http: aiohttp.ClientSession) -> None:
    task_id = await submit(http, node.url, 60)
    async with phoenix_client(phoenix_js, node.url, task_id) as client:
        text = await client.text()
    assert text == await get_text(http, node.url, task_id)
    assert [line["event"] for line in client.lines[:2]] == ["open", "joined"]
    assert client.of("progress")
    (completed,) = client.of("completed")
    assert completed["payload"]["result"]["text"] == text


@pytest.mark.parametrize("torn", [False, True], ids=["between", "within"])
@pytest.mark.parametrize(
    "frames_max",
    [lambda number: number, lambda _number: 2, lambda _number: 1],
    ids=["one_more_each_time", "after_each_update", "after_each_reply"],
)
async def test_cut_at_every_frame(
    phoenix_js: PhoenixJs,
    node: RunningNode,
    http: aiohttp.ClientSession,
    proxy: Proxy,
    frames_max: Callable[[int], int],
    torn: bool,
) -> None:
    task_id = await submit(http, node.url, 100)
    proxy.frames_max, proxy.torn = frames_max, torn
    cuts = 0

    async def relent() -> None:
        nonlocal cuts
        await ended(http, node.url, task_id)
        cuts = len(proxy.passed) - 1  # the last of them may have been under way
        proxy.frames_max = lambda _number: None

    async with phoenix_client(phoenix_js, proxy.url, task_id) as client:
        text, _ = await asyncio.gather(client.text(), relent())
    assert text == await get_text(http, node.url, task_id)
    assert proxy.passed[:cuts] == [frames_max(number) for number in range(cuts)]
    assert cuts > 5


async def test_half_open(
    phoenix_js: PhoenixJs, node: RunningNode, http: aiohttp.ClientSession, proxy: Proxy
) -> None:
    """Nobody is told that the connection is dead; the client's heartbeat finds out."""
    task_id = await submit(http, node.url, 400)
    async with phoenix_client(phoenix_js, proxy.url, task_id, heartbeatIntervalMs=200) as client:
        await client.until("progress", "joined", chars=100)
        proxy.freeze()
        assert len(client.of("open")) == 1
        await client.until("open")
        text = await client.text()
    assert text == await get_text(http, node.url, task_id)
    assert len(client.of("joined")) == 2


async def test_end_while_away(
    phoenix_js: PhoenixJs, node: RunningNode, http: aiohttp.ClientSession, proxy: Proxy
) -> None:
    task_id = await submit(http, node.url, 400)
    async with phoenix_client(phoenix_js, proxy.url, task_id) as client:
        await client.until("progress", chars=1)
        proxy.target = None
        proxy.cut()
        await client.until("lost")
        assert not client.of("completed")
        await ended(http, node.url, task_id)
        proxy.target = node.url
        text = await client.text()
    assert text == await get_text(http, node.url, task_id)
    reply = client.of("joined")[-1]["reply"]
    assert reply["task"]["state"] == "completed"
    assert reply["task"]["result"]["text"] == text
    (completed,) = client.of("completed")
    assert completed["payload"]["result"] == reply["task"]["result"]


async def test_push_before_the_join(
    phoenix_js: PhoenixJs, node: RunningNode, http: aiohttp.ClientSession, proxy: Proxy
) -> None:
    """The client keeps the push until it has joined; the node takes it then."""
    task_id = await submit(http, node.url, 4_000)
    proxy.target = None
    async with phoenix_client(phoenix_js, proxy.url, task_id) as client:
        assert not (await client.push("cancel"))["sent"]
        proxy.target = node.url
        answered = await client.until("answered")
        text = await client.text()
    assert answered["status"] == "ok"
    assert answered["response"]["task"]["task_id"] == task_id
    assert [line["event"] for line in client.lines].index("joined") < client.lines.index(answered)
    assert len(client.of("cancelled")) == 1
    assert text == await get_text(http, node.url, task_id)


async def test_push_while_away(
    phoenix_js: PhoenixJs, node: RunningNode, http: aiohttp.ClientSession, proxy: Proxy
) -> None:
    task_id = await submit(http, node.url, 4_000)
    async with phoenix_client(phoenix_js, proxy.url, task_id) as client:
        await client.until("progress", chars=1)
        proxy.target = None
        proxy.cut()
        await client.until("lost")
        assert not (await client.push("cancel"))["sent"]
        proxy.target = node.url
        answered = await client.until("answered")
        text = await client.text()
    assert answered["status"] == "ok"
    assert len(client.of("cancelled")) == 1
    assert text == await get_text(http, node.url, task_id)


async def test_unknown_task_and_unknown_event(
    phoenix_js: PhoenixJs, node: RunningNode, http: aiohttp.ClientSession
) -> None:
    async with phoenix_client(phoenix_js, node.url, "no-such-task") as client:
        assert (await client.until("refused"))["reason"] == "not found"
    task_id = await submit(http, node.url, 4_000)
    async with phoenix_client(phoenix_js, node.url, task_id) as client:
        await client.until("joined")
        await client.push("dance")
        answered = await client.until("answered")
        assert answered["status"] == "error"
        assert answered["response"] == {"reason": "unhandled event"}
        await client.push("cancel")
        assert (await client.until("answered"))["status"] == "ok"
        await client.text()


async def test_several_clients_see_the_same(
    installed: dict[str, PhoenixJs], node: RunningNode, http: aiohttp.ClientSession, proxy: Proxy
) -> None:
    """Both versions, one of them on a bad line, and one that comes when all is over."""
    task_id = await submit(http, node.url, 100)
    proxy.frames_max = lambda number: 5 if number < 8 else None
    new, old = installed.values()
    async with (
        phoenix_client(new, node.url, task_id) as first,
        phoenix_client(old, node.url, task_id) as second,
        phoenix_client(new, proxy.url, task_id) as third,
    ):
        texts = await asyncio.gather(first.text(), second.text(), third.text())
    async with phoenix_client(old, node.url, task_id) as late:
        assert [*texts, await late.text()] == [await get_text(http, node.url, task_id)] * 4
