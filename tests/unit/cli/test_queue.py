from __future__ import annotations

from typing import Any

from edge.cli.queue import lines

HEALTH: dict[str, Any] = {
    "engine": "ready",
    "model": "tiny",
    "running": 3,
    "slots": 4,
    "queued": 17,
    "durable": True,
    "quarantined": None,
}
STATS: dict[str, Any] = {
    "since": "2026-01-31T12:00:00.000Z",
    "ended": {"completed": 5, "cancelled": 1, "discarded": 0},
    "wait_ms": {"p50": 10.4, "p95": 20.0, "p99": 30.0},
    "duration_ms": None,
}


def test_what_there_is_is_shown() -> None:
    assert lines(HEALTH, STATS) == [
        "engine    ready, model tiny",
        "running   3 of 4 slots",
        "waiting   17",
        "ended     5 completed, 1 cancelled, 0 discarded since 2026-01-31T12:00:00.000Z",
        "wait      p50 10 ms, p95 20 ms, p99 30 ms",
    ]


def test_what_is_wrong_with_the_database_is_shown() -> None:
    shown = lines(HEALTH | {"durable": False, "quarantined": "/data/old"}, STATS)
    assert "database  refuses to write; tasks live in memory alone" in shown
    assert "database  the old one could not be read; kept as /data/old" in shown
