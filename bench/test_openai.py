"""What OpenAI's interface costs: its chunks beside the channel's frames, and tokens a second.

The first stands on the scripted engine, whose words are the times of their steps: the same tasks
are read once through streams of ``/v1/chat/completions`` and once through channels, and the
distance between both is the interface's own. The second has the real model.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from pytest_benchmark.fixture import BenchmarkFixture

from bench.scripted_node import scripted_node
from tests.support.node import joined, start_node
from tests.support.smollm2 import smollm2

CLIENTS = 16
STEPS_PER_SECOND = 20
TOKENS = 120
STAMP = re.compile(r"\d{12,}")

Ages = list[float]
Read = Callable[[aiohttp.ClientSession, str], Awaitable[Ages]]


def ages_ms(text: str) -> Ages:
    """How old the stamps of a piece of text are."""
    now_ns = time.monotonic_ns()
    return [(now_ns - int(each)) / 1e6 for each in STAMP.findall(text)]


async def read_stream(http: aiohttp.ClientSession, url: str) -> Ages:
    """A chat's stream; how old each stamp was when its chunk came."""
    found: Ages = []
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": TOKENS, "stream": True}
    async with http.post(f"{url}/v1/chat/completions", json=body) as response:
        assert response.status == 200
        async for line in response.content:
            found += ages_ms(line.decode())
    return found


async def read_channel(http: aiohttp.ClientSession, url: str) -> Ages:
    """The same of a task's channel."""
    found: Ages = []
    async with http.post(f"{url}/tasks", json={"prompt": "hi", "max_tokens": TOKENS}) as response:
        task_id = (await response.json())["task_id"]
    async with joined(http, url, task_id) as channel:
        while await channel.hear() not in ("completed", "phx_close"):
            if channel.events[-1] == "progress":
                found += ages_ms(channel.last["delta"])
    return found


async def side_by_side(folder: Path, read: Read) -> Ages:
    """So many clients at once; the ages of all that they read."""
    async with (
        scripted_node(folder, STEPS_PER_SECOND, CLIENTS, "--staggered") as node,
        aiohttp.ClientSession() as http,
    ):
        await asyncio.gather(*(read(http, node.url) for _ in range(CLIENTS)))
        several = await asyncio.gather(*(read(http, node.url) for _ in range(CLIENTS)))
    return [age for ages in several for age in ages]


def test_a_chunk_beside_a_frame(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    def measure() -> dict[str, float]:
        figures = {}
        for name, read in (("channel", read_channel), ("openai", read_stream)):
            ages = sorted(uvloop.run(side_by_side(tmp_path / name, read)))
            assert len(ages) >= CLIENTS * TOKENS * 0.9
            figures[f"{name}_p50_ms"] = statistics.median(ages)
            figures[f"{name}_p99_ms"] = ages[len(ages) * 99 // 100]
        figures["overhead_p50_ms"] = figures["openai_p50_ms"] - figures["channel_p50_ms"]
        return figures

    figures = benchmark.pedantic(measure, rounds=1)  # type: ignore[no-untyped-call]  # it has none
    benchmark.extra_info.update(figures)


async def tokens_per_second(folder: Path, clients: int) -> float:
    """Of chats that all begin together, from the first to the last word: prompts are read, too."""
    node = await start_node(folder, "--model", str(smollm2()))
    try:
        async with aiohttp.ClientSession() as http:
            await ask(http, node.url, 0)
            begun_s = time.perf_counter()
            asked = (ask(http, node.url, number) for number in range(1, clients + 1))
            tokens = await asyncio.gather(*asked)
            return sum(tokens) / (time.perf_counter() - begun_s)
    finally:
        node.process.kill()
        await node.process.communicate()


async def ask(http: aiohttp.ClientSession, url: str, number: int) -> int:
    """Reads a chat's stream; how many tokens it had."""
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": f"{number}: tell me of the sea."}],
        "max_tokens": 96, "stream": True, "ignore_eos": True, "temperature": 0.8,
        "seed": number, "stream_options": {"include_usage": True},
    }  # fmt: skip
    async with http.post(f"{url}/v1/chat/completions", json=body) as response:
        data = await response.text()
    found = re.search(r'"completion_tokens":(\d+)', data)
    assert found is not None, data
    return int(found[1])


@pytest.mark.parametrize("clients", [1, 8, 16])
def test_tokens_a_second(benchmark: BenchmarkFixture, tmp_path: Path, clients: int) -> None:
    rate = benchmark.pedantic(  # type: ignore[no-untyped-call]  # it has no types
        lambda: uvloop.run(tokens_per_second(tmp_path / "data", clients)), rounds=1
    )
    benchmark.extra_info["tokens_per_second"] = rate
