"""How long the garbage collector stops a node with ten thousand waiting tasks, while they come."""

from __future__ import annotations

import gc
import sys
import time

import uvloop
from pytest_benchmark.fixture import BenchmarkFixture

from edge.collector import Collector
from tests.support.workshop import Workshop

WAITING = 10_000


async def longest_pause_ms() -> float:
    """While so many tasks are accepted, and wait."""
    shop = Workshop()
    shop.turns.waiting_max = 2 * WAITING
    pauses_ns, started_ns = [0], 0

    def hear(phase: str, _info: dict[str, int]) -> None:
        nonlocal started_ns
        if phase == "start":
            started_ns = time.perf_counter_ns()
        else:
            pauses_ns.append(time.perf_counter_ns() - started_ns)

    collector = Collector()
    collector.start()
    gc.callbacks.append(hear)
    try:
        for number in range(WAITING):
            await shop.submit(number + 1, f"client {number % 50}")
    finally:
        gc.callbacks.remove(hear)
        collector.stop()
    return max(pauses_ns) / 1e6


def test_pause(benchmark: BenchmarkFixture) -> None:
    measured_ms = benchmark.pedantic(  # type: ignore[no-untyped-call]  # the plugin has no types
        lambda: uvloop.run(longest_pause_ms()), rounds=1, iterations=1
    )
    benchmark.extra_info["longest_pause_ms"] = measured_ms
    assert measured_ms > 0
    sys.stdout.write(f"\n{WAITING} waiting tasks: longest pause {measured_ms:.2f} ms\n")
