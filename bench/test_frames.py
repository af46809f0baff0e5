"""From the engine's step to the client's frame, with many tasks streaming on as many sockets.

Engine, node and clients are processes of their own on one machine and share its monotonic clock.
Every task gets 20 tokens a second, in one of two shapes: each task at its own moment, as tasks that
tick by themselves do, or all in one step, as a model's batch gives them; then the last frame waits
for all the others, however fast each is. Beside each run stands what this machine takes without a
node (`bench.bare_loop`): only the distance from that is the node's own.
"""

from __future__ import annotations

import asyncio
import sys
import time
from array import array
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from pytest_benchmark.fixture import BenchmarkFixture

from bench.bare_loop import measure
from bench.scripted_node import ScriptedNode, scripted_node

STEPS_PER_SECOND = 20
WARM_UP_S = 1.5
SHAPES = {"staggered": ("--staggered",), "in one step": ()}


@asynccontextmanager
async def watchers(url: str, tasks: int, file: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that watches so many tasks; it has joined them all."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.watcher", url, str(tasks), str(file)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"joined\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def stream(folder: Path, tasks: int, clients: int, shape: str, window_s: float) -> Any:
    """One run: what was measured in the window, as a flat table."""
    ages_ns = array("q")
    async with (
        scripted_node(folder, STEPS_PER_SECOND, tasks, *SHAPES[shape]) as node,
        aiohttp.ClientSession() as http,
        AsyncExitStack() as stack,
    ):
        files = [folder / f"ages-{number}" for number in range(clients)]
        processes = [
            await stack.enter_async_context(watchers(node.url, tasks // clients, file))
            for file in files
        ]
        start_ns = time.monotonic_ns() + int(WARM_UP_S * 1e9)
        end_ns = start_ns + int(window_s * 1e9)
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(f"{start_ns} {end_ns}\n".encode())
        before = await _figures(node, http, start_ns)
        after = await _figures(node, http, end_ns)
        frames = 0
        for process, file in zip(processes, files, strict=True):
            assert process.stdout is not None
            frames += int(await process.stdout.readline())
            ages_ns.frombytes(file.read_bytes())
    seconds = after["at_s"] - before["at_s"]
    cpu_s = after["cpu_s"] - before["cpu_s"]
    written = {name: after[name] - before[name] for name in ("frames", "writes", "merges")}
    return percentiles(ages_ns) | {
        "samples": len(ages_ns),
        "frames_per_second": round(frames / window_s),
        "node_cpu_us_per_frame": round(cpu_s * 1e6 / max(1, written["frames"]), 1),
        "node_cpu_share": round(cpu_s / seconds, 3),
        # Of 2,000 and 3,000 tasks it is asked for more than one core can write alone.
        "updates_per_second": round(len(ages_ns) / window_s),
        "frames_saved_by_merging": written["merges"],
        "writes_saved": written["frames"] - written["writes"],
    }


async def _figures(node: ScriptedNode, http: aiohttp.ClientSession, at_ns: int) -> dict[str, Any]:
    await asyncio.sleep(max(0, at_ns - time.monotonic_ns()) / 1e9)
    cpu_s, at_s = node.cpu_s(), time.monotonic()
    figures: dict[str, Any] = (await node.figures(http))["sockets"]
    return figures | {"cpu_s": cpu_s, "at_s": at_s}


def percentiles(ages_ns: array[int]) -> dict[str, float]:
    """p50, p95, p99 and the worst, in milliseconds."""
    ordered = sorted(ages_ns)
    cuts = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "max_ms": 1.0}
    return {
        name: round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e6, 3)
        for name, share in cuts.items()
    }


@pytest.mark.parametrize("tasks", [16, 100, 1_000, 2_000, 3_000])
@pytest.mark.parametrize("shape", SHAPES)
def test_step_to_frame(benchmark: BenchmarkFixture, tmp_path: Path, shape: str, tasks: int) -> None:
    window_s = 8.0
    clients = 1 if tasks < 1_000 else 2
    measured = benchmark.pedantic(  # type: ignore[no-untyped-call]  # the plugin has no types
        lambda: uvloop.run(stream(tmp_path, tasks, clients, shape, window_s)),
        rounds=1,
        iterations=1,
    )
    assert measured["samples"] > 0
    benchmark.extra_info |= measured
    cells = " ".join(f"{name}={value}" for name, value in measured.items())
    sys.stdout.write(f"\n{tasks} tasks, {shape}: {cells}\n")
    ages_ns, cpu_us = measure(tasks, STEPS_PER_SECOND, staggered="--staggered" in SHAPES[shape])
    bare = percentiles(ages_ns)
    cells = " ".join(
        f"{name}={value} ({measured[name] / value:.1f}x)" for name, value in bare.items()
    )
    sys.stdout.write(f"  without a node: {cells} cpu_us_per_frame={cpu_us:.1f}\n")
