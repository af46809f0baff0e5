"""What actors cost: a message, a look-up, a birth, and memory while they wait."""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import cast

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
import uvloop
from pytest_benchmark.fixture import BenchmarkFixture

from edge.actors import Actor, Ref, System
from edge.clock import ManualClock, SystemClock

FLOOD = 10_000


class Counter(Actor):
    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def handle(self, message: object) -> None:
        self.count += 1


class Player(Actor):
    """Sends the ball, a number that counts down, back to its peer."""

    __slots__ = ("peer",)

    peer: Ref

    def handle(self, message: object) -> None:
        if message:
            self.peer.send(cast(int, message) - 1)


class Stamper(Actor):
    """Notes how old the time that it gets is, and sends the time to its peer."""

    __slots__ = ("ages_ns", "done", "left", "peer")

    peer: Ref

    def __init__(self, ages_ns: list[int]) -> None:
        self.ages_ns = ages_ns
        self.left = 0
        self.done: Callable[[], object] = int

    def handle(self, message: object) -> None:
        self.ages_ns.append(time.perf_counter_ns() - cast(int, message))
        self.left -= 1
        if self.left:
            self.peer.send(time.perf_counter_ns())
        else:
            self.done()


def make_system(mailbox_messages_max: int = FLOOD) -> System:
    return System(ManualClock(), lambda _pump: None, mailbox_messages_max=mailbox_messages_max)


def per_message(benchmark: BenchmarkFixture, run: Callable[[], object], messages: int) -> None:
    """Notes the median round, divided by its messages."""
    benchmark(run)
    if benchmark.stats is not None:
        benchmark.extra_info["us_per_message"] = benchmark.stats.stats.median * 1e6 / messages


def few_rounds(benchmark: BenchmarkFixture, run: Callable[[], object], rounds: int = 1) -> None:
    """For what takes long, or can only be done once."""
    benchmark.pedantic(run, rounds=rounds)  # type: ignore[no-untyped-call]  # the plugin's own gap


def note_percentiles(benchmark: BenchmarkFixture, samples_ns: list[int]) -> None:
    cuts = statistics.quantiles(samples_ns, n=100)
    for percent in (50, 95, 99):
        benchmark.extra_info[f"p{percent}_us"] = cuts[percent - 1] / 1e3


@pytest.mark.parametrize("messages", [100, FLOOD])
def test_flood_one_actor(benchmark: BenchmarkFixture, messages: int) -> None:
    system = make_system()
    actor = Counter()
    send = system.spawn(actor).send

    def run() -> None:
        for number in range(messages):
            send(number)
        assert system.run_pending() == messages

    per_message(benchmark, run, messages)
    assert actor.count == system.messages_handled


@pytest.mark.parametrize("actors", [100, 10_000])
def test_one_message_to_each_idle_actor(benchmark: BenchmarkFixture, actors: int) -> None:
    system = make_system()
    refs = [system.spawn(Counter()) for _ in range(actors)]

    def run() -> None:
        for ref in refs:
            ref.send(1)
        assert system.run_pending() == actors

    per_message(benchmark, run, actors)


@pytest.mark.parametrize("messages", [100, 10_000])
def test_ping_pong(benchmark: BenchmarkFixture, messages: int) -> None:
    system = make_system()
    first, second = Player(), Player()
    first.peer, second.peer = system.spawn(second), system.spawn(first)

    def run() -> None:
        first.ref.send(messages - 1)
        assert system.run_pending() == messages

    per_message(benchmark, run, messages)


@pytest.mark.parametrize("messages", [100, 10_000])
def test_send_to_handle_on_the_loop(benchmark: BenchmarkFixture, messages: int) -> None:
    """From just before `send` in one actor to the first line of `handle` in the other, while the
    event loop runs the pump."""
    ages_ns: list[int] = []
    loop = uvloop.new_event_loop()
    system = System(SystemClock(loop), loop.call_soon)

    first, second = Stamper(ages_ns), Stamper(ages_ns)
    first.peer, second.peer = system.spawn(second), system.spawn(first)
    second.done = loop.stop

    def run() -> None:
        first.left, second.left = messages, messages // 2  # the second one ends the game
        first.ref.send(time.perf_counter_ns())
        loop.run_forever()

    try:
        benchmark(run)
    finally:
        loop.close()
    note_percentiles(benchmark, ages_ns)


@pytest.mark.parametrize("names", [100, 100_000])
def test_registry_look_up(benchmark: BenchmarkFixture, names: int) -> None:
    system = make_system()
    refs = [system.spawn(Counter(), name=f"task:{number}") for number in range(names)]
    wanted = [f"task:{number * 7919 % names}" for number in range(100)]

    def run() -> None:
        whereis = system.registry.whereis
        for name in wanted:
            whereis(name)

    per_message(benchmark, run, len(wanted))
    assert system.registry.whereis(f"task:{names - 1}") is refs[-1]


@pytest.mark.parametrize("actors", [1_000, 100_000])
def test_spawn(benchmark: BenchmarkFixture, actors: int) -> None:
    """Births a second, with a name for each."""
    names = [f"task:{number}" for number in range(actors)]

    def run() -> None:
        system = make_system()
        for name in names:
            system.spawn(Counter(), name=name)
        assert len(system.registry) == actors

    few_rounds(benchmark, run, rounds=5)
    if benchmark.stats is not None:
        benchmark.extra_info["spawns_per_second"] = actors / benchmark.stats.stats.median


@pytest.mark.parametrize("actors", [10_000, 1_000_000])
def test_idle_actors_in_memory(benchmark: BenchmarkFixture, actors: int) -> None:
    """Growth of the process for actors that have all handled a message and wait for the next."""
    system = make_system()
    process = psutil.Process()

    def run() -> None:
        for _ in range(actors // 1_000):
            for _ in range(1_000):
                system.spawn(Counter()).send(1)
            assert system.run_pending() == 1_000

    gc.collect()
    before_bytes = process.memory_info().rss
    few_rounds(benchmark, run)
    benchmark.extra_info["resident_bytes_per_actor"] = (
        process.memory_info().rss - before_bytes
    ) / actors
    assert len(system.actors) == actors


def test_objects_of_an_idle_actor(benchmark: BenchmarkFixture) -> None:
    """The exact size of what one more actor allocates, its own count included."""
    system = make_system()
    actors = 10_000

    def run() -> None:
        for _ in range(actors):
            system.spawn(Counter())

    tracemalloc.start()
    try:
        few_rounds(benchmark, run)
        allocated_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    bytes_per_actor = allocated_bytes / actors
    benchmark.extra_info["allocated_bytes_per_actor"] = bytes_per_actor
    assert bytes_per_actor < 400
