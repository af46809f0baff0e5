"""phoenix.js against a node that is killed or stopped under it, and started again."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.conformance.js.calls import get_text, submit
from tests.conformance.js.client import PhoenixJs, phoenix_client
from tests.conformance.js.proxy import Proxy, proxied
from tests.support.node import RunningNode, joined
from tests.support.scripted_node import start_scripted_node

ENGINE = ("--rate", "100", "--stamps", "--unicode")
"""With stamps no text comes out twice: what was lost is lost."""


class House:
    """A data directory, the node on it, and the one address under which clients find it."""

    def __init__(self, data_dir: Path, proxy: Proxy, http: aiohttp.ClientSession) -> None:
        self.proxy = proxy
        self.http = http
        self._data_dir = data_dir
        self._node: RunningNode | None = None

    async def start(self, **settings: int) -> None:
        """Starts the node, unseen by clients until `open`. Settings by path, ``_`` for the dot."""
        self._node = await start_scripted_node(
            self._data_dir,
            *ENGINE,
            settings={k.replace("__", "."): str(v) for k, v in settings.items()},
        )

    @property
    def url(self) -> str:
        assert self._node is not None
        return self._node.url

    def open(self) -> None:
        self.proxy.target = self.url

    async def kill(self, number: int = signal.SIGKILL) -> int:
        assert self._node is not None
        code = await self._node.kill(number)
        self.proxy.target = None
        return code


@pytest.fixture
async def house(installed: object, tmp_path: Path) -> AsyncIterator[House]:
    async with proxied(None) as proxy, aiohttp.ClientSession() as http:
        house = House(tmp_path, proxy, http)
        yield house
        await house.kill()


@pytest.mark.parametrize("snapshot_ms", [50, 60_000])
async def test_killed(phoenix_js: PhoenixJs, house: House, snapshot_ms: int) -> None:
    await house.start(data__snapshot_ms=snapshot_ms)
    house.open()
    task_id = await submit(house.http, house.url, 120)
    async with phoenix_client(phoenix_js, house.proxy.url, task_id) as client:
        await client.until("progress", chars=800)
        await house.kill()
        await house.start()
        house.open()
        text = await client.text(restarted=True)
    assert text == await get_text(house.http, house.url, task_id)
    rewinds = [line["chars"] for line in client.of("rewind")]
    if snapshot_ms == 60_000:
        assert rewinds == [0], "nothing was written down but the beginning"
    else:
        assert all(chars > 0 for chars in rewinds)


@pytest.mark.parametrize("finished_keep_ms", [0, 60_000])
async def test_killed_and_away_until_the_end(
    phoenix_js: PhoenixJs, house: House, finished_keep_ms: int
) -> None:
    """By then the task has as many characters as the client, but they are not the same."""
    await house.start(data__snapshot_ms=60_000)
    house.open()
    task_id = await submit(house.http, house.url, 80)
    async with phoenix_client(phoenix_js, house.proxy.url, task_id) as client:
        await client.until("progress", chars=800)
        await house.kill()
        await house.start(tasks__finished_keep_ms=finished_keep_ms)
        async with joined(house.http, house.url, task_id) as witness:
            while not witness.closed:
                assert await witness.hear()
        house.open()
        text = await client.text(restarted=True)
    assert text == witness.text == await get_text(house.http, house.url, task_id)
    assert [line["chars"] for line in client.of("rewind")] == [0]


async def test_stopped(phoenix_js: PhoenixJs, house: House) -> None:
    """An orderly stop closes with 1012 and loses nothing."""
    await house.start(server__drain_ms=0)
    house.open()
    task_id = await submit(house.http, house.url, 120)
    async with phoenix_client(phoenix_js, house.proxy.url, task_id) as client:
        await client.until("progress", chars=400)
        assert await house.kill(signal.SIGTERM) == 0
        assert (await client.until("lost"))["code"] == 1012
        await house.start()
        house.open()
        text = await client.text()
    assert text == await get_text(house.http, house.url, task_id)
    assert not client.of("rewind")
