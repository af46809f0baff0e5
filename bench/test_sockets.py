"""What sockets cost that are joined and idle: memory, and the answer to their heartbeats."""

from __future__ import annotations

import asyncio
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import orjson
import pytest
import uvloop
from pytest_benchmark.fixture import BenchmarkFixture

from bench.scripted_node import ScriptedNode, scripted_node

TOPICS = 100
SINGLE = 2_000
ROUNDS = 5
DAY_MS = 86_400_000


class Idlers:
    """The client process; see `bench.idler`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin = process.stdin
        self._stdout = process.stdout

    async def ask(self, line: str) -> Any:
        """Its answer to one line."""
        self._stdin.write(f"{line}\n".encode())
        return orjson.loads(await self._stdout.readline())


@asynccontextmanager
async def idlers(url: str, sockets: int, topics: list[str]) -> AsyncIterator[Idlers]:
    """A process with so many joined sockets."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.idler", url, str(sockets), *topics),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"joined\n"
        yield Idlers(process)
    finally:
        process.kill()
        await process.communicate()


async def waiting_topics(node: ScriptedNode, http: aiohttp.ClientSession) -> list[str]:
    """Channels of tasks that will not start today."""
    topics = []
    for _ in range(TOPICS):
        body = {"prompt": "x", "schedule_in_ms": DAY_MS}
        async with http.post(f"{node.url}/tasks", json=body) as answer:
            topics.append((await answer.json())["topic"])
    return topics


async def sit(folder: Path, sockets: int) -> dict[str, float]:
    """One run, as a flat table."""
    async with scripted_node(folder, 20, 1) as node, aiohttp.ClientSession() as http:
        topics = await waiting_topics(node, http)
        # What the first socket loads into memory is not what the others cost.
        async with idlers(node.url, 10, topics[:10]):
            before_bytes = node.process.memory_info().rss
        async with idlers(node.url, sockets, topics) as clients:
            after_bytes = node.process.memory_info().rss
            trips_us = sorted(await clients.ask(f"single {SINGLE}"))
            before_s = node.cpu_s()
            rounds_ms, client_ms = zip(
                *[await clients.ask("all") for _ in range(ROUNDS)], strict=True
            )
            node_ms = (node.cpu_s() - before_s) * 1e3 / ROUNDS
    return {
        "resident_kb_per_socket": round((after_bytes - before_bytes) / sockets / 1024, 1),
        "heartbeat_p50_ms": round(trips_us[len(trips_us) // 2] / 1e3, 3),
        "heartbeat_p99_ms": round(trips_us[len(trips_us) * 99 // 100] / 1e3, 3),
        "all_heartbeats_best_ms": round(min(rounds_ms), 1),
        "all_heartbeats_median_ms": round(median(rounds_ms), 1),
        # Where the two share a processor, the wait is of both.
        "of_that_the_node_worked_ms": round(node_ms, 1),
        "and_its_clients_worked_ms": round(median(client_ms), 1),
    }


@pytest.mark.parametrize("sockets", [1_000, 10_000])
@pytest.mark.timeout(180)
def test_idle_sockets(benchmark: BenchmarkFixture, tmp_path: Path, sockets: int) -> None:
    files_max, hard_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard_max < sockets + 200:
        pytest.skip(f"this machine allows a process {hard_max} open files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(files_max, sockets + 200), hard_max))
    measured = benchmark.pedantic(  # type: ignore[no-untyped-call]  # the plugin has no types
        lambda: uvloop.run(sit(tmp_path, sockets)), rounds=1, iterations=1
    )
    benchmark.extra_info |= measured
    cells = " ".join(f"{name}={value}" for name, value in measured.items())
    sys.stdout.write(f"\n{sockets} idle sockets: {cells}\n")
