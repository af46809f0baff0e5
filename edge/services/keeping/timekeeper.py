"""Has it remembered how long the node has run, and says when somebody sets the wall clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edge.actors import Actor
from edge.clock import NS_PER_MS
from edge.telemetry import Telemetry

NOTE_EVERY_MS: Final = 60_000
"""What a kill takes away of the time for which the node has run, where no row was written since.
Also for how long a wall clock that was set can be mistaken for a rest, should the node be killed
then."""

SET_MS_MIN: Final = 1_000
"""Less is no news: a network's time slews a clock by some 30 ms a minute at most."""


class _Due:
    """It is time to note the time."""


class Timekeeper(Actor):
    """Calls `note` at its start and every `NOTE_EVERY_MS`."""

    def __init__(self, note: Callable[[], object], telemetry: Telemetry) -> None:
        self._note = note
        self._telemetry = telemetry
        self._wall_ahead_ns = 0  # of the time for which the node has run

    def started(self) -> None:
        self._wall_ahead_ns = self._look()
        self._note_and_wait()

    def handle(self, message: object) -> None:
        assert isinstance(message, _Due), message
        wall_ahead_ns = self._look()
        set_by_ms = (wall_ahead_ns - self._wall_ahead_ns) // NS_PER_MS
        self._wall_ahead_ns = wall_ahead_ns
        if abs(set_by_ms) >= SET_MS_MIN:
            self._telemetry.emit("clock.set", by_ms=set_by_ms)
        self._note_and_wait()

    def _look(self) -> int:
        now = self.system.clock.moment()
        return now.wall_ns - now.run_ns

    def _note_and_wait(self) -> None:
        self._note()
        self.send_after(NOTE_EVERY_MS, _Due())
