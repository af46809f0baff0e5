from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from edge import __version__
from edge.metrics.state import State, StateCollector

FIGURES: dict[str, Any] = {
    "wait_ms": 1_500, "model": "tiny", "engine": "ready", "durable": True, "slots": 4,
    "running": 3, "queued": 7, "uptime_ms": 60_000, "memory_bytes": 100,
    "engine_memory_bytes": 200,
    "sockets": {"open": 5, "frames": 60, "merges": 70, "overflows": 1, "writes": 50},
}  # fmt: skip


def registry_of(held: int = 12, *, paused: bool = False, **changes: Any) -> CollectorRegistry:
    registry = CollectorRegistry()
    state = State.of(FIGURES | changes, paused=paused, held=held)
    registry.register(StateCollector(lambda: state))
    return registry


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("elwift_node_info", {"version": __version__, "model": "tiny"}, 1),
        ("elwift_uptime_seconds", {}, 60),
        ("elwift_engine_ready", {}, 1),
        ("elwift_store_durable", {}, 1),
        ("elwift_queue_paused", {}, 0),
        ("elwift_engine_slots", {}, 4),
        ("elwift_tasks_held", {}, 12),
        ("elwift_queue_wait_seconds", {}, 1.5),
        ("elwift_tasks", {"state": "executing"}, 3),
        ("elwift_tasks", {"state": "available"}, 7),
        ("elwift_memory_bytes", {"process": "node"}, 100),
        ("elwift_memory_bytes", {"process": "engine"}, 200),
        ("elwift_sockets", {}, 5),
        ("elwift_frames_sent_total", {}, 60),
        ("elwift_frames_merged_total", {}, 70),
        ("elwift_sockets_overflowed_total", {}, 1),
    ],
)
def test_a_figure_is_what_status_tells(name: str, labels: dict[str, str], expected: float) -> None:
    assert registry_of().get_sample_value(name, labels) == expected


def test_what_is_not_there_is_not_told() -> None:
    registry = registry_of(wait_ms=None, engine_memory_bytes=None, sockets={})
    assert registry.get_sample_value("elwift_queue_wait_seconds") is None
    assert registry.get_sample_value("elwift_memory_bytes", {"process": "engine"}) is None
    assert registry.get_sample_value("elwift_sockets") is None


def test_what_is_amiss_can_be_seen() -> None:
    registry = registry_of(engine="being restarted", durable=False, paused=True)
    assert registry.get_sample_value("elwift_engine_ready") == 0
    assert registry.get_sample_value("elwift_store_durable") == 0
    assert registry.get_sample_value("elwift_queue_paused") == 1


def test_nothing_is_read_before_somebody_asks() -> None:
    def fails() -> State:
        raise AssertionError("the node is not whole yet")

    CollectorRegistry(auto_describe=True).register(StateCollector(fails))
