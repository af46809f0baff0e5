"""A deadline that is moved far more often than it is reached."""

from __future__ import annotations

from collections.abc import Callable

from edge.clock import Clock, Timer


class Alarm:
    """Calls `ring` once at the time that was `set` last, not before.

    A later deadline costs no new timer: the old one looks again when it is due. Of a connection
    that is asked ten thousand times a second that makes one timer in ten seconds.
    """

    __slots__ = ("_armed_ns", "_clock", "_due_ns", "_ring", "_timer")

    def __init__(self, clock: Clock, ring: Callable[[], object]) -> None:
        self._clock = clock
        self._ring = ring
        self._due_ns: int | None = None
        self._armed_ns = 0
        self._timer: Timer | None = None

    def set(self, due_ns: int | None) -> None:
        """Rings at this time on the clock instead of any other; None for not at all."""
        self._due_ns = due_ns
        if due_ns is None or (self._timer is not None and self._armed_ns <= due_ns):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._arm(due_ns)

    def close(self) -> None:
        """Never rings again, and lets go of who was to be called."""
        self._ring = _nobody
        self._due_ns = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, due_ns: int) -> None:
        self._armed_ns = due_ns
        self._timer = self._clock.call_after(due_ns - self._clock.now_ns(), self._look)

    def _look(self) -> None:
        self._timer = None
        due_ns = self._due_ns
        if due_ns is None:
            return
        if self._clock.now_ns() < due_ns:
            self._arm(due_ns)
            return
        self._due_ns = None
        self._ring()


def _nobody() -> None:
    pass
