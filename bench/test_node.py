"""The node's latencies over real sockets: ``POST /tasks`` to ``202``, engine step to client frame.

The engine is a script that stamps each token with the time of its step, so that the path is
measured and not a model. Percentiles of the raw samples are in ``extra_info`` and printed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from pytest_benchmark.fixture import BenchmarkFixture


@asynccontextmanager
async def scripted_node(data_dir: Path, rate: int, slots: int) -> AsyncIterator[str]:
    """The URL of a node on a scripted engine of `rate` steps a second."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.scripted_node", str(data_dir), str(rate), str(slots)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().split()[1]
    finally:
        process.kill()
        await process.communicate()


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
    async with scripted_node(data_dir, 1000, 16) as url, aiohttp.ClientSession() as http:

        async def one() -> None:
            started_ns = time.monotonic_ns()
            async with http.post(f"{url}/tasks", json={"prompt": "x", "max_tokens": 1}) as answer:
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


async def frames(data_dir: Path, tasks: int, tokens: int) -> list[float]:
    """Times from the engine's step to the client having the frame, 20 steps a second."""
    samples_ms: list[float] = []
    async with scripted_node(data_dir, 20, tasks) as url, aiohttp.ClientSession() as http:

        async def follow() -> None:
            body = {"prompt": "x", "max_tokens": tokens}
            async with http.post(f"{url}/tasks", json=body) as answer:
                task_id = (await answer.json())["task_id"]
            async with http.ws_connect(f"{url}/socket/websocket?vsn=2.0.0") as socket:
                join = ["1", "1", f"task:{task_id}", "phx_join", {}]
                await socket.send_str(json.dumps(join))
                async for message in socket:
                    heard_ns = time.monotonic_ns()
                    _, _, _, event, payload = json.loads(message.data)
                    if event == "progress" and payload["delta"]:
                        step_ns = int(payload["delta"].split()[-1])
                        samples_ms.append((heard_ns - step_ns) / 1e6)
                    elif event == "phx_close":
                        return

        async with asyncio.TaskGroup() as group:
            for _ in range(tasks):
                group.create_task(follow())
    return samples_ms


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


@pytest.mark.parametrize("tasks", [10, 100])
def test_step_to_frame(benchmark: BenchmarkFixture, tmp_path: Path, tasks: int) -> None:
    tokens = 200 if benchmark.enabled else 5
    name = f"engine step to client frame, {tasks} tasks in one step, 20 steps a second"
    measure(benchmark, lambda: frames(tmp_path, tasks, tokens), name)
