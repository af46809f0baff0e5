"""The line as its users see it: who runs and who waits, a page at a time, in the order in which
they are served: model by model, if there are several, since each has a line of its own.

A page is made at once, on the loop, so it has a bounded number of rows and never walks the line to
where it begins. Of a foreign task it says how long it waits and what it costs, which everybody in a
line can see; not which task it is, nor whose.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from edge.clock import Clock
from edge.services.task import wire
from edge.services.task.turns import Behind, Turns
from edge.services.task.wire import QueuePosition
from edge.tasks.line import LEVELS, Entry, Mark, Running
from edge.tasks.task import State, Task

CURSOR_CHARS_MAX: Final = 64
_RUNNING: Final = "r"
_WAITING: Final = "w"


class Page(NamedTuple):
    """Some rows, and the cursor behind which the next page begins; None at the end."""

    rows: list[dict[str, Any]]
    next: str | None


_CURSOR: Final = re.compile(
    rf"{_RUNNING}:(?P<key>\d{{1,18}})"
    rf"|{_WAITING}:(?P<part>\d{{1,2}}):(?P<tag>-?[\d.e+-]{{1,24}}):(?P<number>-?\d{{1,20}})"
    r"(?::(?P<lane>\d{1,4}))?",
    re.ASCII,
)


def read_cursor(text: str) -> Behind | int:
    """The place that a page gave as its ``next``: in the line, or a turn's key. ValueError when it
    did not."""
    found = _CURSOR.fullmatch(text[: CURSOR_CHARS_MAX + 1])
    if found is None:
        raise ValueError("not a place in the queue")
    if found["key"] is not None:
        return int(found["key"])
    mark = Mark(int(found["part"]), float(found["tag"]), int(found["number"]))
    if mark.part > LEVELS + 1 or not math.isfinite(mark.tag):
        raise ValueError("not a place in the queue: there is no such part of it")
    return Behind(int(found["lane"] or 0), mark)


def _cursor(place: Behind | int) -> str:
    if isinstance(place, int):
        return f"{_RUNNING}:{place}"
    mark = place.mark
    lane = f":{place.lane}" if place.lane else ""
    return f"{_WAITING}:{mark.part}:{mark.tag!r}:{mark.number}{lane}"


class QueuePages:
    """Makes pages."""

    def __init__(self, turns: Turns, clock: Clock) -> None:
        self._turns = turns
        self._clock = clock

    def page(self, client: str, after: Behind | int | None, limit: int) -> Page:
        """At most so many rows from behind a place on, as this client may see them. Who comes and
        goes meanwhile moves no other row onto another page."""
        # One more, which says whether there is another page.
        turns = list(islice(self._turns_behind(after), limit + 1))
        waiting = self._turns.in_order(after if isinstance(after, Behind) else None)
        found = list(islice(waiting, limit + 1 - len(turns)))
        more = len(turns) + len(found) > limit
        turns, found = turns[:limit], found[: limit - len(turns[:limit])]
        entries = [entry for entry, _ in found]
        rows = [self._of_turn(client, turn) for _, turn in turns]
        positions = self._turns.positions(entries)
        rows += (self._of_entry(client, *each) for each in zip(entries, positions, strict=True))
        if not more:
            return Page(rows, None)
        return Page(rows, _cursor(self._turns.place_of(*found[-1]) if found else turns[-1][0]))

    def _turns_behind(self, after: Behind | int | None) -> Iterator[tuple[int, Running]]:
        if isinstance(after, Behind):
            return iter(())
        # Later turns have higher keys.
        turns = self._turns.turns_by_key()
        return ((key, turn) for key, turn in turns if after is None or key > after)

    def _of_turn(self, client: str, turn: Running) -> dict[str, Any]:
        left_ms = None if turn.fallback else self._turns.left_ms(turn.entry.owner.task)
        since_ns = self._clock.wall_ns() - (self._clock.now_ns() - turn.since_ns)
        return _row(client, turn.entry, State.EXECUTING, None, left_ms, since_ns)

    def _of_entry(self, client: str, entry: Entry, place: QueuePosition) -> dict[str, Any]:
        task: Task = entry.owner.task
        now = self._clock.moment()
        if task.ready_run_ns is None:  # it had its turn, and lost it
            since_ns = task.started_ns or task.created_ns
        else:
            since_ns = now.wall_ns - (now.run_ns - task.ready_run_ns)
        return _row(client, entry, State.AVAILABLE, place.position, place.eta_ms, since_ns)


def _row(
    client: str, entry: Entry, state: State, position: int | None, eta_ms: int | None, since_ns: int
) -> dict[str, Any]:
    request = entry.owner.task.request
    shown = request.client == client
    return {
        "state": state,
        "position": position,
        "task_id": request.task_id if shown else None,
        "client": request.client if shown else None,
        "user": request.user if shown else None,
        "model": request.model,
        "priority": request.priority,
        "since": wire.rfc3339(since_ns),
        "eta_ms": eta_ms,
        "expected_tokens": {"prompt": entry.prompt_tokens, "output": entry.output_tokens},
    }
