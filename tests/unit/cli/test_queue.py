from __future__ import annotations

from typing import Any

from rich.console import Console

from edge.cli.queue import lines, picture, shown, table

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


ROW: dict[str, Any] = {
    "state": "available", "position": 1, "task_id": "6f0c", "client": "phone", "user": None,
    "priority": 5, "since": "2026-01-31T12:00:01.000Z", "eta_ms": 1_500,
    "expected_tokens": {"prompt": 3, "output": 40},
}  # fmt: skip
FOREIGN = ROW | {"position": 2, "task_id": None, "client": None, "eta_ms": 600_000}
RUNNING = ROW | {"state": "executing", "position": None}
QUEUE: dict[str, Any] = {
    "paused": False, "waiting": 17, "running": 1, "slots": 4, "tokens_per_second": 80,
    "eta_ms": 90_000, "tasks": [RUNNING, ROW, FOREIGN], "next": "w:6:0.0:2",
}  # fmt: skip


def test_who_runs_and_who_waits_stand_below_one_another() -> None:
    assert table(QUEUE) == [
        "speed     80 tokens/s; a task that comes now waits 2 min",
        "",
        "place  task       client  priority  since     to wait  tokens",
        "runs   6f0c       phone   5         12:00:01           3 + 40",
        "1      6f0c       phone   5         12:00:01  1.5 s    3 + 40",
        "2      another's          5         12:00:01  10 min   3 + 40",
        "and 15 more",
    ]


def test_a_pause_is_said_with_the_way_out() -> None:
    row = ROW | {"eta_ms": None}
    told = table(QUEUE | {"paused": True, "eta_ms": None, "tasks": [row], "waiting": 1})
    assert "elwift queue resume" in told[0]
    assert "12:00:01  ?" in told[-2]


def test_nobody_is_no_table() -> None:
    assert len(table(QUEUE | {"tasks": [], "waiting": 0, "running": 0})) == 1


def test_what_users_are_called_drives_no_terminal_and_no_table() -> None:
    hostile = ROW | {"user": "\x1b[2J\n\t" + "狐" * 100, "client": "a\r"}
    told = shown({"health": HEALTH, "stats": STATS, "queue": QUEUE | {"tasks": [hostile]}})
    assert not any(ord(character) < 32 for line in told for character in line)
    assert max(map(len, told)) < 100


def test_a_picture_is_never_more_than_a_screen() -> None:
    told = [f"{number} " + "狐" * 60 for number in range(50)]
    console = Console(width=20, height=10)
    with console.capture() as captured:
        console.print(picture(told, 20, 10))
    drawn = captured.get().splitlines()
    assert len(drawn) == 9
    assert drawn[0].startswith("0 狐")
