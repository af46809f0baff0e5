"""A node whose wall clock is set while it runs and between two lives, with a real database.

Jumps lead to 1970, to the date of an image, a day or ten years off, and beyond all dates.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from edge.clock import NS_PER_S
from tests.support.node_inside import ScriptedNode, scripted_node

DAY_S = 24 * 3_600
YEAR_S = 365 * DAY_S
JUMPS_S = {
    "a day on": DAY_S,
    "a day back": -DAY_S,
    "ten years on": 10 * YEAR_S,
    "ten years back": -10 * YEAR_S,
    "to 1970": -200 * YEAR_S,
    "beyond the year 9999": 9_000 * YEAR_S,
}
LONG_MS = 60_000
jumps = pytest.mark.parametrize("jump_s", JUMPS_S.values(), ids=JUMPS_S.keys())


class WallClock:
    """The wall clock of this process, which the test may set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ahead_ns = 0
        real_ns, real_s = time.time_ns, time.time
        monkeypatch.setattr(time, "time_ns", lambda: real_ns() + self._ahead_ns)
        monkeypatch.setattr(time, "time", lambda: real_s() + self._ahead_ns / NS_PER_S)

    def jump(self, by_s: int) -> None:
        self._ahead_ns += by_s * NS_PER_S


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    return WallClock(monkeypatch)


async def history(node: ScriptedNode) -> list[str]:
    """All tasks, two at a time, newest first."""
    ids: list[str] = []
    while True:
        behind = f"&before={ids[-1]}" if ids else ""
        status, page = await node.call("GET", f"/tasks?limit=2{behind}")
        assert status == 200, page
        if not page["tasks"]:
            return ids
        ids += [task["task_id"] for task in page["tasks"]]


async def looks_sane(node: ScriptedNode, ended: list[str]) -> None:
    """Every door that shows a time opens, and nothing took longer than the test, or less than
    nothing."""
    for task_id in ended:
        task = await node.task(task_id)
        timings = task["result"]["timings"]
        for name in ("queued_ms", "ttft_ms"):
            assert 0 <= timings[name] < LONG_MS, timings
        status, trail = await node.call("GET", f"/tasks/{task_id}/audit")
        events = [row["event"] for row in trail["audit"]]
        assert (status, events[-1]) == (200, "completed"), events
        assert events.index("accepted") < events.index("started")
    status, figures = await node.call("GET", "/stats")
    assert (status, figures["ended"]["completed"]) == (200, len(ended))
    for name in ("wait_ms", "duration_ms"):
        assert all(0 <= value < LONG_MS for value in figures[name].values()), figures
    async with node.http.get(f"{node.url}/tasks/export") as response:
        lines = (await response.text()).splitlines()
    assert response.status == 200
    exported = [json.loads(line) for line in lines]
    assert [row["task_id"] for row in exported if row["state"] == "completed"] == ended
    for path in ("/healthz", "/readyz"):
        status, _ = await node.call("GET", path)
        assert status == 200
    for event in node.heard.of("task.finished"):
        assert 0 <= float(str(event.fields["duration_ms"])) < LONG_MS


async def prune(node: ScriptedNode, age_s: int) -> int:
    """As the janitor does it; how many tasks went."""
    store = node.node._store
    assert store is not None
    return (await store.prune(max_age_ns=age_s * NS_PER_S, max_tasks=1_000)).tasks


@jumps
async def test_the_clock_is_set_while_tasks_run(
    tmp_path: Path, wall: WallClock, jump_s: int
) -> None:
    async with scripted_node(tmp_path, model__slots=1) as node:
        began_s = time.monotonic()
        later = await node.submit("later", max_tokens=3, schedule_in_ms=1_500)
        much_later = await node.submit("much later", schedule_in_ms=LONG_MS)
        first = await node.submit("one", max_tokens=60)
        await node.heard.next("task.first_text")
        wall.jump(jump_s)
        second = await node.submit("two", max_tokens=3)
        third = await node.submit("three", max_tokens=3)
        for task_id in (first, second, third):
            assert (await node.ended(task_id))["state"] == "completed"
        ids = [second, third]
        started = [event.fields["task_id"] for event in node.heard.of("task.started")]
        assert [each for each in started if each in ids] == ids
        assert (await node.ended(later))["state"] == "completed"
        assert 1.5 <= time.monotonic() - began_s < 30
        assert (await node.task(much_later))["state"] == "scheduled"
        assert await history(node) == [third, second, first, much_later, later]
        await looks_sane(node, [later, first, second, third])
        assert await prune(node, 3_600) == 0
        status, _ = await node.call("DELETE", f"/tasks/{much_later}")
        assert status == 200


@jumps
async def test_the_clock_is_set_between_two_lives(
    tmp_path: Path, wall: WallClock, jump_s: int
) -> None:
    async with scripted_node(tmp_path, model__slots=1) as node:
        ended = await node.submit("ended", max_tokens=3)
        await node.ended(ended)
        soon = await node.submit("soon", max_tokens=3, schedule_in_ms=LONG_MS)
        # More than the node waits for what runs, so all of them are left for the next life.
        waiting = [await node.submit(f"{number}", max_tokens=500) for number in range(4)]
        await node.heard.next("task.first_text", 2)
    wall.jump(jump_s)
    async with scripted_node(tmp_path, "--rate", "2000", model__slots=1) as node:
        # Not even a day on makes it due: the machine was not started anew.
        assert (await node.task(soon))["state"] == "scheduled"
        assert (await node.call("DELETE", f"/tasks/{soon}"))[0] == 200
        for task_id in waiting:
            assert (await node.ended(task_id))["state"] == "completed"
        started = [event.fields["task_id"] for event in node.heard.of("task.started")]
        assert [each for each in started if each in waiting] == waiting
        late = await node.submit("late", max_tokens=3)
        await node.ended(late)
        assert await history(node) == [late, *waiting[::-1], soon, ended]
        await looks_sane(node, [ended, *waiting, late])
        assert await prune(node, 3_600) == 0


async def test_a_node_that_starts_in_1970_takes_on_the_right_time(
    tmp_path: Path, wall: WallClock
) -> None:
    wall.jump(-int(time.time()) + 30)
    async with scripted_node(tmp_path) as node:
        first = await node.submit("one", max_tokens=3)
        assert (await node.ended(first))["created_at"].startswith("1970-01-01T00:00:")
        wall.jump(56 * YEAR_S)
        second = await node.submit("two", max_tokens=3)
        assert (await node.ended(second))["created_at"] > "2025"
        assert await history(node) == [second, first]
        await looks_sane(node, [first, second])


async def test_what_was_accepted_twice_is_the_same_task_whatever_the_clock_says(
    tmp_path: Path, wall: WallClock
) -> None:
    key: dict[str, Any] = {"headers": {"Idempotency-Key": "k"}}
    async with scripted_node(tmp_path) as node:
        task_id = await node.submit("one", max_tokens=3, **key)
        await node.ended(task_id)
    for jump_s in JUMPS_S.values():
        wall.jump(jump_s)
        async with scripted_node(tmp_path) as node:
            assert await node.submit("one", max_tokens=3, **key) == task_id
