"""The node's latency over HTTP: from ``POST /tasks`` to ``202``, which means a commit.

Percentiles of the raw samples are in ``extra_info`` and printed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from pytest_benchmark.fixture import BenchmarkFixture

from bench.scripted_node import scripted_node


def percentiles(samples_ms: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99 of the samples, in milliseconds."""
    ordered = sorted(samples_ms)
    return {
        name: round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 4)
        for name, share in (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99))
    }


async def submissions(data_dir: Path, count: int, pause_s: float) -> list[float]:
    """Times from sending ``POST /tasks`` to having read the ``202``."""
    samples_ms: list[float] = []
    async with scripted_node(data_dir, 1000, 16) as node, aiohttp.ClientSession() as http:

        async def one() -> None:
            started_ns = time.monotonic_ns()
            async with http.post(
                f"{node.url}/tasks", json={"prompt": "x", "max_tokens": 1}
            ) as answer:
                body = await answer.json()
            samples_ms.append((time.monotonic_ns() - started_ns) / 1e6)
            assert answer.status == 202
            assert body["durable"] is True

        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                runner = group.create_task(one())
                await asyncio.sleep(pause_s)
                if pause_s == 0:
                    await runner
    return samples_ms[count // 10 :]


def measure(benchmark: BenchmarkFixture, run: Any, name: str) -> None:
    """Runs the coroutine function once on uvloop and keeps its percentiles."""
    samples_ms = benchmark.pedantic(  # type: ignore[no-untyped-call]  # the plugin has no types
        lambda: uvloop.run(run()), rounds=1, iterations=1
    )
    assert samples_ms
    benchmark.extra_info |= percentiles(samples_ms) | {"samples": len(samples_ms)}
    sys.stdout.write(f"\n{name}: {percentiles(samples_ms)} of {len(samples_ms)} samples\n")


@pytest.mark.parametrize("per_second", [0, 200])
def test_post_to_202(benchmark: BenchmarkFixture, tmp_path: Path, per_second: int) -> None:
    count = 1_000 if benchmark.enabled else 20
    pause_s = 1 / per_second if per_second else 0.0
    name = f"POST /tasks to 202, durable, {per_second or 'one after another'} a second"
    measure(benchmark, lambda: submissions(tmp_path, count, pause_s), name)
