"""phoenix.js against a node whose connection fails in every way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.conformance.js.client import Client, PhoenixJs, phoenix_client
from tests.conformance.js.proxy import Proxy, proxied
from tests.support.node import RunningNode, joined
from tests.support.scripted_node import start_scripted_node

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningNode]:
    """One node for the whole file, a hundred steps a second."""
    running = await start_scripted_node(
        tmp_path_factory.mktemp("node"), *("--rate", "100", "--stamps", "--unicode")
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


async def submit(http: aiohttp.ClientSession, url: str, tokens: int) -> str:
    body = {"prompt": "Tell me", "max_tokens": tokens}
    async with http.post(f"{url}/tasks", json=body) as response:
        answer: dict[str, Any] = await response.json(content_type=None)
        assert response.status == 202, answer
        return str(answer["task_id"])


async def get_text(http: aiohttp.ClientSession, url: str, task_id: str) -> str:
    """The text of the task as the node has it, which has ended."""
    async with http.get(f"{url}/tasks/{task_id}") as response:
        document = await response.json(content_type=None)
    return str(document["result"]["text"])


async def test_plain(
    phoenix_js: PhoenixJs, node: RunningNode, http: aiohttp.ClientSession
) -> None:
    task_id = await submit(http, node.url, 30)
    async with phoenix_client(phoenix_js, node.url, task_id) as client:
        text = await client.text()
    assert text == await get_text(http, node.url, task_id)
    assert [line["event"] for line in client.lines[:2]] == ["open", "joined"]
    (completed,) = client.of("completed")
    assert completed["payload"]["result"]["text"] == text
    assert len(client.of("progress")) > 10
    assert "👩\u200d🚀" not in text  # cut by the stamp
