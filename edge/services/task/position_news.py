"""Who watches a waiting task is told its place, whenever that says something new.

A client counts down by itself between two of these: it is told again when its place is another, or
its countdown is off. All are looked at at most twice a second: those near the front at once, those
far back a few at a time, and they hear only of steps that mean something at their distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Final

from edge.clock import NS_PER_MS, Clock, Timer
from edge.services.task.forecast import Forecast
from edge.services.task.wire import QueuePosition
from edge.tasks.line import Entry, Line

FAR_MAX: Final = 32
"""Of those that are not near (`Forecast.near`) so many are looked at at a time; each takes some
0.1 ms."""
FAR_SHARE: Final = 20
"""They are told a place that has changed by a twentieth."""
OFF_SHARE: Final = 10
"""And everybody is told when a countdown is off by a tenth of what is left,"""
OFF_MS_MIN: Final = 500
"""but not for less than this, which nobody sees."""


@dataclass(slots=True)
class _Told:
    """What was told last, and when."""

    place: QueuePosition | None = None
    at_ns: int = 0

    def position_moved(self, place: QueuePosition) -> int:
        """By how many places."""
        return abs(place.position - self.place.position) if self.place else place.position

    def is_off(self, place: QueuePosition, now_ns: int) -> bool:
        """Whether who counts down from what was told is wrong by now."""
        told = self.place
        if told is None or told.waits_for != place.waits_for:
            return True
        if told.loaded_percent != place.loaded_percent:
            return True
        if told.eta_ms is None or place.eta_ms is None:
            return told.eta_ms is not place.eta_ms
        counted_ms = max(0, told.eta_ms - (now_ns - self.at_ns) // NS_PER_MS)
        return abs(counted_ms - place.eta_ms) > max(OFF_MS_MIN, place.eta_ms // OFF_SHARE)


class PositionNews:
    """See the module. What is told goes to the task's actor."""

    def __init__(self, line: Line, forecast: Forecast, clock: Clock, push_ms: int) -> None:
        self._line = line
        self._forecast = forecast
        self._clock = clock
        self._push_ms = push_ms
        self._watched: dict[str, _Told] = {}
        self._changed = False
        self._far_left = 0  # of the watched ones, those to look at until there is news again
        self._timer: Timer | None = None

    def watch(self, task_id: str) -> None:
        """Somebody watches this task, while it waits."""
        if task_id in self._line:
            self._watched.setdefault(task_id, _Told())
            self.changed()

    def unwatch(self, task_id: str) -> None:
        """Nobody watches it any more, or it does not wait."""
        self._watched.pop(task_id, None)

    def changed(self) -> None:
        """Places, or estimates, are no longer what they were."""
        self._changed = True
        if self._timer is None and self._watched:
            self._timer = self._clock.call_after(self._push_ms * NS_PER_MS, self._push)

    def _push(self) -> None:
        self._timer = None
        if self._changed:
            self._changed = False
            self._push_near()
            self._far_left = 0 if self._forecast.is_near(self._line.waiting) else len(self._watched)
        if self._far_left > 0:
            self._far_left -= FAR_MAX
            self._push_far()
        if self._far_left > 0 or self._forecast.engine.expected:
            # An engine that is late makes every countdown wrong.
            changed = self._changed or self._forecast.engine.expected
            self.changed()
            self._changed = changed

    def _push_near(self) -> None:
        now_ns = self._clock.now_ns()
        for entry, place in self._forecast.near():
            told = self._watched.get(entry.task_id)
            if told is not None and (told.position_moved(place) or told.is_off(place, now_ns)):
                self._tell(entry, told, place)

    def _push_far(self) -> None:
        """The next few of all; after each has been looked at, nothing more until there is news."""
        now_ns = self._clock.now_ns()
        for task_id, place in self._forecast.those_of(list(islice(self._watched, FAR_MAX))):
            told = self._watched[task_id] = self._watched.pop(task_id)
            entry = self._line.entry(task_id)
            if entry is None or place is None or self._forecast.is_near(place.position):
                continue
            moved = told.position_moved(place) * FAR_SHARE >= place.position
            if moved or told.is_off(place, now_ns):
                self._tell(entry, told, place)

    def _tell(self, entry: Entry, told: _Told, place: QueuePosition) -> None:
        told.place, told.at_ns = place, self._clock.now_ns()
        entry.owner.ref.send(place)
