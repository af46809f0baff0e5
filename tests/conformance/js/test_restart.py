"""phoenix.js, both versions side by side, on a node that is killed or stopped and started again."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.conformance.js.calls import get_text, submit
from tests.conformance.js.client import Client, PhoenixJs, phoenix_client
from tests.conformance.js.proxy import Proxy, proxied
from tests.support.node import RunningNode, joined
from tests.support.scripted_node import start_scripted_node

TOKENS = 400
"""Seconds on a node's first life, so that it is ended in the middle; less than one on its second.
The engine's stamps let no text come out twice: what was lost is lost."""


class House:
    """A data directory, the node on it, and the one address under which clients find it."""

    def __init__(
        self, data_dir: Path, proxy: Proxy, http: aiohttp.ClientSession, versions: list[PhoenixJs]
    ) -> None:
        self.http = http
        self._data_dir = data_dir
        self._proxy = proxy
        self._versions = versions
        self._node: RunningNode | None = None

    @property
    def url(self) -> str:
        """The node's own address."""
        assert self._node is not None
        return self._node.url

    async def start(self, rate: int, settings: dict[str, int] | None = None) -> None:
        """Starts the node; clients do not find it before `open`."""
        chosen = {path: str(value) for path, value in (settings or {}).items()}
        engine = ("--rate", str(rate), "--stamps", "--unicode")
        self._node = await start_scripted_node(self._data_dir, *engine, settings=chosen)

    def open(self) -> None:
        """Lets clients through to the node."""
        self._proxy.target = self.url

    async def end(self, number: int = signal.SIGKILL) -> int:
        """Ends the node with this signal; its exit code."""
        self._proxy.target = None
        assert self._node is not None
        return await self._node.kill(number)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[tuple[str, list[Client]]]:
        """A task and a client of each version, once they have read some of it."""
        async with AsyncExitStack() as stack:
            url = self._proxy.url
            clients = [
                await stack.enter_async_context(phoenix_client(each, url))
                for each in self._versions
            ]
            task_id = await submit(self.http, self.url, TOKENS)
            for client in clients:
                client.join(task_id)
            for client in clients:
                await client.until("progress", chars=600)
            yield task_id, clients


@pytest.fixture
async def house(installed: dict[str, PhoenixJs], tmp_path: Path) -> AsyncIterator[House]:
    async with proxied(None) as proxy, aiohttp.ClientSession() as http:
        house = House(tmp_path, proxy, http, list(installed.values()))
        yield house
        await house.end()


@pytest.mark.parametrize("snapshot_ms", [50, 60_000])
async def test_killed(house: House, snapshot_ms: int) -> None:
    await house.start(100, {"data.snapshot_ms": snapshot_ms})
    house.open()
    async with house.watched() as (task_id, clients):
        await house.end()
        await house.start(1_000)
        house.open()
        texts = [await client.text(restarted=True) for client in clients]
    assert texts == [await get_text(house.http, house.url, task_id)] * 2
    for client in clients:
        rewound = [line["chars"] for line in client.of("rewind")]
        if snapshot_ms == 60_000:
            assert rewound == [0], "nothing but the beginning was written down"
        else:
            assert all(chars > 0 for chars in rewound)


@pytest.mark.parametrize("finished_keep_ms", [0, 60_000], ids=["in_store", "in_memory"])
async def test_killed_and_away_until_the_end(house: House, finished_keep_ms: int) -> None:
    """By then the task has as many characters as the clients, but they are not the same."""
    await house.start(100, {"data.snapshot_ms": 60_000})
    house.open()
    async with house.watched() as (task_id, clients):
        await house.end()
        await house.start(1_000, {"tasks.finished_keep_ms": finished_keep_ms})
        async with joined(house.http, house.url, task_id) as witness:
            while not witness.closed:
                assert await witness.hear()
        house.open()
        texts = [await client.text(restarted=True) for client in clients]
    assert texts == [witness.text] * 2 == [await get_text(house.http, house.url, task_id)] * 2
    for client in clients:
        assert [line["chars"] for line in client.of("rewind")] == [0]


async def test_stopped(house: House) -> None:
    """An orderly stop closes with 1012 and loses nothing."""
    await house.start(100, {"server.drain_ms": 0})
    house.open()
    async with house.watched() as (task_id, clients):
        assert await house.end(signal.SIGTERM) == 0
        for client in clients:
            assert (await client.until("lost"))["code"] == 1012
        await house.start(1_000)
        house.open()
        texts = [await client.text() for client in clients]
    assert texts == [await get_text(house.http, house.url, task_id)] * 2
    assert not [line for client in clients for line in client.of("rewind")]
