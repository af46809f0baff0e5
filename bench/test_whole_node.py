"""The whole node's tokens a second, beside those of a raw loop: HTTP, queue, snapshots and all.

Clients ask over HTTP for one answer after the other and watch each by its events, as many as there
are slots at most. As in `bench.test_clients` answers are equally long, or from 16 to 128 tokens,
and the raw loop has the same to do, prompts included.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
import pytest
import uvloop
from pytest_benchmark.fixture import BenchmarkFixture

from bench.test_clients import LENGTHS, WARM_UP_S, WINDOW_S, WORDS
from bench.test_engine import CONTEXT_TOKENS, SLOTS, THREADS, Raw
from tests.support.node import RunningNode, start_module
from tests.support.smollm2 import smollm2

SHAPE: Final = (
    *("--slots", str(SLOTS), "--context", str(CONTEXT_TOKENS), "--threads", str(THREADS)),
)
# The raw loop guesses nothing.
ENVIRONMENT: Final = {"ELWIFT_MODEL__SPECULATION": "false"}


@asynccontextmanager
async def running(data_dir: Path) -> AsyncIterator[RunningNode]:
    """A node that answers by the real model."""
    where = ("--port", "0", "--data-dir", str(data_dir), "--model", str(smollm2()))
    node = await start_module("edge.cli.main", "serve", *where, *SHAPE, environment=ENVIRONMENT)
    try:
        yield node
    finally:
        node.process.kill()
        await node.process.communicate()


async def safe_mode_of(http: aiohttp.ClientSession, url: str) -> bool:
    """Whether its engine runs in the safe setting, which the raw loop has to do then, too."""
    async with http.get(f"{url}/healthz") as answer:
        return bool((await answer.json())["safe_mode"])


class Clients:
    """So many of them at one node, and what they have heard."""

    def __init__(self, http: aiohttp.ClientSession, url: str, lengths: tuple[int, int]) -> None:
        self._http = http
        self._url = url
        self._lengths = lengths
        self._random = random.Random(7)
        self._number = 0
        self.heard = 0
        """Tokens that were generated, as far as somebody was told of them."""
        self.prompt_tokens = 0

    async def run(self, clients: int) -> float:
        """Tokens a second in the window."""
        await self._ask(self._prompt(), 1)  # to know how long prompts are
        runners = [asyncio.create_task(self._ask_for_ever()) for _ in range(clients)]
        await asyncio.sleep(WARM_UP_S)
        before, start_s = self.heard, time.perf_counter()
        await asyncio.sleep(WINDOW_S)
        rate = (self.heard - before) / (time.perf_counter() - start_s)
        for runner in runners:
            runner.cancel()
        ends = await asyncio.gather(*runners, return_exceptions=True)
        for end in ends:
            if not isinstance(end, asyncio.CancelledError):
                raise AssertionError("a client has ended by itself") from end
        return rate

    async def _ask_for_ever(self) -> None:
        while True:
            await self._ask(self._prompt(), self._random.randint(*self._lengths))

    def _prompt(self) -> str:
        self._number += 1
        return " ".join([str(self._number), *self._random.choices(WORDS, k=20)])

    async def _ask(self, prompt: str, max_tokens: int) -> None:
        asked = {"prompt": prompt, "max_tokens": max_tokens, "ignore_eos": True, "seed": 1}
        async with self._http.post(f"{self._url}/tasks", json=asked) as answer:
            assert answer.status == 202
            task_id = (await answer.json())["task_id"]
        tokens = 0
        async with self._http.get(f"{self._url}/tasks/{task_id}/events") as events:
            async for line in events.content:
                if not line.startswith(b"data: "):
                    continue
                payload: dict[str, Any] = orjson.loads(line[6:])
                result = payload.get("result")
                if result is not None:
                    self.prompt_tokens = result["usage"]["prompt_tokens"]
                now = result["usage"]["completion_tokens"] if result else payload.get("tokens", 0)
                self.heard += max(0, now - tokens)
                tokens = max(now, tokens)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("clients", [1, 4, 8, 16, 32])
@pytest.mark.parametrize("shape", LENGTHS)
def test_whole_node(benchmark: BenchmarkFixture, tmp_path: Path, shape: str, clients: int) -> None:
    async def node() -> tuple[float, int, bool]:
        async with (
            running(tmp_path) as node,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        ):
            each = Clients(http, node.url, LENGTHS[shape])
            rate = await each.run(clients)
            return rate, each.prompt_tokens, await safe_mode_of(http, node.url)

    def turn() -> dict[str, float]:
        rate, prompt_tokens, safe_mode = uvloop.run(node())
        raw = Raw(smollm2(), safe=safe_mode)
        bare = raw.serve(clients, LENGTHS[shape], prompt_tokens, WARM_UP_S, WINDOW_S)
        raw.close()
        return {
            "raw_tokens_s": round(bare, 1),
            "node_tokens_s": round(rate, 1),
            "ratio": round(rate / bare, 3),
        }

    rates = benchmark.pedantic(turn, rounds=1)  # type: ignore[no-untyped-call]  # no types
    benchmark.extra_info.update(rates)
    sys.stderr.write(f"\n{clients} clients, {shape}: {rates}")
