"""phoenix.js on a connection that fails in every way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
import pytest_asyncio

from tests.conformance.js.calls import get_text, submit
from tests.conformance.js.client import Client, PhoenixJs, phoenix_client
from tests.conformance.js.proxy import Proxy, proxied
from tests.support.node import RunningNode, joined
from tests.support.scripted_node import start_scripted_node

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENDLESS = 4_000
"""Tokens of a task that is cancelled before it has them."""


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


@pytest_asyncio.fixture(loop_scope="module")
async def client(phoenix_js: PhoenixJs, proxy: Proxy) -> AsyncIterator[Client]:
    """A client behind the proxy."""
    async with phoenix_client(phoenix_js, proxy.url) as client:
        yield client


async def ended(http: aiohttp.ClientSession, url: str, task_id: str) -> None:
    """Waits until a client beside has seen the end of the task."""
    async with joined(http, url, task_id) as witness:
        while not witness.closed:
            assert await witness.hear()


async def lose(client: Client, proxy: Proxy) -> None:
    """Cuts the connection once there is some text, and lets the client not come back."""
    await client.until("progress", chars=1)
    proxy.target = None
    proxy.cut()
    await client.until("lost")


async def test_plain(client: Client, node: RunningNode, http: aiohttp.ClientSession) -> None:
    task_id = await submit(http, node.url, 60)
    client.join(task_id)
    text = await client.text()
    assert text == await get_text(http, node.url, task_id)
    assert [line["event"] for line in client.lines[:3]] == ["ready", "open", "joined"]
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
    client: Client,
    node: RunningNode,
    http: aiohttp.ClientSession,
    proxy: Proxy,
    frames_max: Callable[[int], int],
    torn: bool,
) -> None:
    proxy.frames_max, proxy.torn = frames_max, torn
    task_id = await submit(http, node.url, 100)
    client.join(task_id)
    cuts = 0

    async def relent() -> None:
        nonlocal cuts
        await ended(http, node.url, task_id)
        cuts = len(proxy.passed) - 1  # the last of them may be under way
        proxy.frames_max = lambda _number: None

    text, _ = await asyncio.gather(client.text(), relent())
    assert text == await get_text(http, node.url, task_id)
    assert proxy.passed[:cuts] == [frames_max(number) for number in range(cuts)]
    assert cuts > 3


async def test_half_open(
    phoenix_js: PhoenixJs, node: RunningNode, http: aiohttp.ClientSession, proxy: Proxy
) -> None:
    """Nobody is told that the connection is dead; the client's heartbeat finds out."""
    async with phoenix_client(phoenix_js, proxy.url, heartbeatIntervalMs=200) as client:
        task_id = await submit(http, node.url, 400)
        client.join(task_id)
        await client.until("progress", chars=100)
        proxy.freeze()
        await client.until("open")
        text = await client.text()
    assert text == await get_text(http, node.url, task_id)
    assert len(client.of("joined")) > 1


async def test_end_while_away(
    client: Client, node: RunningNode, http: aiohttp.ClientSession, proxy: Proxy
) -> None:
    task_id = await submit(http, node.url, 200)
    client.join(task_id)
    await lose(client, proxy)
    assert not client.of("completed")
    await ended(http, node.url, task_id)
    proxy.target = node.url
    text = await client.text()
    assert text == await get_text(http, node.url, task_id)
    reply = client.of("joined")[-1]["reply"]
    assert reply["task"]["state"] == "completed"
    (completed,) = client.of("completed")
    assert completed["payload"]["result"] == reply["task"]["result"]


async def test_push_before_the_join(
    client: Client, node: RunningNode, http: aiohttp.ClientSession, proxy: Proxy
) -> None:
    """The client keeps the push until it has joined; the node takes it then."""
    task_id = await submit(http, node.url, ENDLESS)
    proxy.target = None
    client.join(task_id)
    assert not (await client.push("cancel"))["sent"]
    proxy.target = node.url
    answered = await client.until("answered")
    assert client.of("joined")
    text = await client.text()
    assert answered["status"] == "ok"
    assert answered["response"]["task"]["task_id"] == task_id
    assert len(client.of("cancelled")) == 1
    assert text == await get_text(http, node.url, task_id)


async def test_push_while_away(
    client: Client, node: RunningNode, http: aiohttp.ClientSession, proxy: Proxy
) -> None:
    task_id = await submit(http, node.url, ENDLESS)
    client.join(task_id)
    await lose(client, proxy)
    assert not (await client.push("cancel"))["sent"]
    proxy.target = node.url
    answered = await client.until("answered")
    text = await client.text()
    assert answered["status"] == "ok"
    assert len(client.of("cancelled")) == 1
    assert text == await get_text(http, node.url, task_id)


async def test_unknown_task(client: Client) -> None:
    client.join("no-such-task")
    assert (await client.until("refused"))["reason"] == "not found"


async def test_unknown_event(
    client: Client, node: RunningNode, http: aiohttp.ClientSession
) -> None:
    client.join(await submit(http, node.url, ENDLESS))
    await client.until("joined")
    await client.push("dance")
    answered = await client.until("answered")
    assert (answered["status"], answered["response"]) == ("error", {"reason": "unhandled event"})
    await client.push("cancel")
    assert (await client.until("answered"))["status"] == "ok"
    await client.text()


async def test_several_clients_see_the_same(
    installed: dict[str, PhoenixJs], node: RunningNode, http: aiohttp.ClientSession, proxy: Proxy
) -> None:
    """Both versions, one of them on a bad line, and one that comes when all is over."""
    proxy.frames_max = lambda number: 5 if number < 8 else None
    new, old = installed.values()
    async with (
        phoenix_client(new, node.url) as first,
        phoenix_client(old, node.url) as second,
        phoenix_client(new, proxy.url) as third,
        phoenix_client(old, node.url) as late,
    ):
        task_id = await submit(http, node.url, 100)
        for client in (first, second, third):
            client.join(task_id)
        texts = await asyncio.gather(first.text(), second.text(), third.text())
        late.join(task_id)
        assert {*texts, await late.text()} == {await get_text(http, node.url, task_id)}
