"""The waiting line and its estimates: what each costs the loop, with as many waiting as there may
be, and with those who watch.

Each figure is the middle one of several rounds, in microseconds unless it is named otherwise.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from edge.services.task.position_news import PositionNews
from edge.tasks.line import Entry, Line
from tests.support.desk import PUSH_MS, Desk

CLIENTS = 100


def entry(number: int, level: int = 5) -> Entry:
    return Entry(f"task {number}", f"client {number % CLIENTS}", level, 100, 100, None)


def timed_us(what: Callable[[int], object], count: int) -> float:
    """The middle of five rounds of `count` calls each, for one call."""
    rounds = []
    for number in range(5):
        started_ns = time.perf_counter_ns()
        for each in range(count):
            what(number * count + each)
        rounds.append((time.perf_counter_ns() - started_ns) / count / 1_000)
    return statistics.median(rounds)


def report(benchmark: BenchmarkFixture, measure: Callable[[], dict[str, Any]], title: str) -> None:
    measured = benchmark.pedantic(measure, rounds=1, iterations=1)  # type: ignore[no-untyped-call]  # the plugin's gap
    benchmark.extra_info |= measured
    cells = " ".join(f"{name}={value}" for name, value in measured.items())
    sys.stdout.write(f"\n{title}: {cells}\n")


@pytest.mark.parametrize("waiting", [1_000, 100_000, 1_000_000])
def test_push_and_pop(benchmark: BenchmarkFixture, waiting: int) -> None:
    line = Line(step_ms=20_000)
    line.slots = 1
    for number in range(waiting):
        line.enqueue(entry(number), 0)

    def pop(_number: int) -> None:
        grant = line.grant(0)
        assert grant is not None
        granted.append(grant)
        line.slots += 1

    granted: list[Any] = []

    def measure() -> dict[str, Any]:
        push_us = timed_us(lambda number: line.enqueue(entry(waiting + number), 0), 2_000)
        pop_us = timed_us(pop, 2_000)
        keys = iter([each.key for each in granted])
        release_us = timed_us(lambda _: line.release(next(keys), 200), 2_000)
        ahead_us = timed_us(lambda number: line.ahead(f"task {waiting - 1 - number}", 0), 20)
        return {
            "push": round(push_us, 2),
            "pop": round(pop_us, 2),
            "release": round(release_us, 2),
            "place": round(ahead_us, 1),
        }

    report(benchmark, measure, f"{waiting} waiting")


def full_desk(waiting: int) -> Desk:
    """With sixteen that run, so many that wait, and clients that come with questions."""
    desk = Desk()
    desk.teach(40.0, 16)
    _, ref = desk.ear()
    for number in range(waiting + 16):
        desk.wait_quietly(f"task {number}", f"client {number % CLIENTS}", ref)
    desk.turns.engine_up(16)
    for number in range(64):
        asked = desk.task(f"question {number}", f"chat {number}")
        desk.turns.reserve(asked)
        desk.turns.refund(asked)
    return desk


def test_the_last_of_many_asks(benchmark: BenchmarkFixture) -> None:
    desk = full_desk(100_000)
    line = desk.turns.line
    last = list(line.in_order())[-1].task_id

    def measure() -> dict[str, Any]:
        near = next(iter(line.in_order(50))).task_id
        return {
            "last": round(timed_us(lambda _: desk.turns.position(last), 50), 1),
            "51st": round(timed_us(lambda _: desk.turns.position(near), 50), 1),
        }

    report(benchmark, measure, "the place and the wait of one of 100000")


def test_ten_thousand_watched(benchmark: BenchmarkFixture) -> None:
    desk = full_desk(10_000)
    for each in desk.turns.line.in_order():
        desk.turns.news.watch(each.task_id)
    ticks_ms: list[float] = []
    push = PositionNews._push

    def timed(news: PositionNews) -> None:
        started_ns = time.perf_counter_ns()
        push(news)
        ticks_ms.append((time.perf_counter_ns() - started_ns) / 1e6)

    def measure() -> dict[str, Any]:
        for _ in range(40):
            desk.turns.saw_step(16, 0, 16)
            desk.advance(PUSH_MS)
        return {
            "tick_p50_ms": round(statistics.median(ticks_ms), 2),
            "tick_max_ms": round(max(ticks_ms), 2),
        }

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PositionNews, "_push", timed)
        report(benchmark, measure, "10000 watched, a look at them twice a second")
