"""How the node is at the moment at which it is asked, as gauges; and what other counters have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from edge import __version__


@dataclass(frozen=True, slots=True)
class State:
    """``tasks`` are those that run or wait, by state, and ``held`` all in memory;
    ``memory_bytes`` by process, None where there is none; ``sockets`` the counters of the Phoenix
    socket (`edge.gateway.socket.SocketApp.figures`)."""

    version: str
    model: str
    engine_ready: bool
    durable: bool
    paused: bool
    slots: int
    tasks: Mapping[str, int]
    held: int
    uptime_s: float
    wait_s: float | None
    memory_bytes: Mapping[str, int | None] = field(default_factory=dict)
    sockets: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, figures: Mapping[str, Any], *, paused: bool, held: int) -> State:
        """Those that ``node:status`` tells (`edge.services.health.status.Figures.read`)."""
        wait_ms = figures["wait_ms"]
        return cls(
            version=__version__,
            model=figures["model"],
            engine_ready=figures["engine"] == "ready",
            durable=figures["durable"],
            paused=paused,
            slots=figures["slots"],
            tasks={"executing": figures["running"], "available": figures["queued"]},
            held=held,
            uptime_s=figures["uptime_ms"] / 1_000,
            wait_s=None if wait_ms is None else wait_ms / 1_000,
            memory_bytes={
                "node": figures["memory_bytes"], "engine": figures["engine_memory_bytes"]
            },
            sockets=figures["sockets"],
        )  # fmt: skip


class StateCollector(Collector):
    """Reads the state once for each scrape."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state

    def describe(self) -> list[Metric]:
        """Nothing is read when it is registered: the node is not whole yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The families, in the order in which they are written."""
        state = self._state()
        yield InfoMetricFamily(
            "elwift_node", "What runs.", {"version": state.version, "model": state.model}
        )
        for name, what, value in (
            ("elwift_uptime_seconds", "Since the node's start.", state.uptime_s),
            ("elwift_engine_ready", "1 while the engine has its model.", state.engine_ready),
            ("elwift_store_durable", "1 while the disk takes what is written.", state.durable),
            ("elwift_queue_paused", "1 while no turns are given.", state.paused),
            ("elwift_engine_slots", "Tasks that may run at a time.", state.slots),
            ("elwift_tasks_held", "Tasks in memory, in any state.", state.held),
        ):
            yield GaugeMetricFamily(name, what, float(value))
        if state.wait_s is not None:
            yield GaugeMetricFamily(
                "elwift_queue_wait_seconds", "What a new task would wait.", state.wait_s
            )
        tasks = GaugeMetricFamily(
            "elwift_tasks", "Tasks that run and that wait, by state.", labels=("state",)
        )
        for name, count in state.tasks.items():
            tasks.add_metric((name,), count)
        yield tasks
        memory = GaugeMetricFamily(
            "elwift_memory_bytes", "Resident memory, by process.", labels=("process",)
        )
        for name, size_bytes in state.memory_bytes.items():
            if size_bytes is not None:
                memory.add_metric((name,), size_bytes)
        yield memory
        yield from _of_sockets(state.sockets)


def _of_sockets(figures: Mapping[str, int]) -> Iterator[Metric]:
    if not figures:
        return
    yield GaugeMetricFamily("elwift_sockets", "Open Phoenix sockets.", figures["open"])
    for name, what, key in (
        ("elwift_frames_sent", "Frames that were written to sockets.", "frames"),
        ("elwift_frames_merged", "Frames that went into a later one.", "merges"),
        ("elwift_sockets_overflowed", "Sockets that were cut off as too slow.", "overflows"),
    ):
        yield CounterMetricFamily(name, what, figures[key])
