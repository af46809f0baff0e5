"""The one source of time: a clock that is given, never reached for.

Nothing else in the house reads the system's time or sets a timer by itself, so that tests and the
simulator can run the same code on a `ManualClock`, where an hour passes when they say so.
All times are integers in nanoseconds: differences of small numbers of seconds stay exact.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from typing import Protocol

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


class Timer(Protocol):
    """A call that is due later. `cancel` may be called at any time, also twice or too late."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """What the house knows of time."""

    def now_ns(self) -> int:
        """Monotonic time; only differences mean anything."""
        ...

    def wall_ns(self) -> int:
        """Unix time, for what people read and what outlives the process."""
        ...

    def call_after(self, delay_ns: int, call: Callable[[], object]) -> Timer:
        """Calls `call` once, at the earliest `delay_ns` from now; never before returning."""
        ...


class LoopTimers(Protocol):
    """The part of an asyncio event loop that `SystemClock` needs."""

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer: ...


class SystemClock:
    """The machine's time; timers run on the given event loop.

    uvloop's timers are accurate to a millisecond only: don't build anything finer on them.
    Without a loop (as in the engine process) `call_after` raises RuntimeError.
    """

    __slots__ = ("_loop",)

    def __init__(self, loop: LoopTimers | None = None) -> None:
        self._loop = loop

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        return time.time_ns()

    def call_after(self, delay_ns: int, call: Callable[[], object]) -> Timer:
        if self._loop is None:
            raise RuntimeError("this clock was made without an event loop and has no timers")
        return self._loop.call_later(max(0, delay_ns) / NS_PER_S, call)


class _ManualTimer:
    """``call`` is None once it is over: a timer holds nothing then, as those of a loop."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        self.call = None


class ManualClock:
    """A clock that stands still until told to advance. Timers of the same instant run in the
    order in which they were set."""

    def __init__(self, now_ns: int = 0, wall_ns: int = 1_750_000_000 * NS_PER_S) -> None:
        self._now_ns = now_ns
        self._wall_offset_ns = wall_ns - now_ns
        self._timers: list[tuple[int, int, _ManualTimer]] = []
        self._set_count = 0

    def now_ns(self) -> int:
        return self._now_ns

    def wall_ns(self) -> int:
        return self._now_ns + self._wall_offset_ns

    def call_after(self, delay_ns: int, call: Callable[[], object]) -> Timer:
        timer = _ManualTimer(call)
        self._set_count += 1
        heapq.heappush(self._timers, (self._now_ns + max(0, delay_ns), self._set_count, timer))
        return timer

    def next_due_ns(self) -> int | None:
        """When the earliest live timer is due, or None."""
        while self._timers and self._timers[0][2].call is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def advance(self, delta_ns: int) -> None:
        """Moves time forward, running each due timer at its own instant, also those that the
        running ones set."""
        if delta_ns < 0:
            raise ValueError("a monotonic clock does not go backwards")
        target_ns = self._now_ns + delta_ns
        while (due_ns := self.next_due_ns()) is not None and due_ns <= target_ns:
            _, _, timer = heapq.heappop(self._timers)
            self._now_ns = due_ns
            call = timer.call
            assert call is not None, "what was cancelled is never due"
            timer.cancel()
            call()
        self._now_ns = target_ns

    def timers_pending(self) -> int:
        """How many timers are set and neither run nor cancelled."""
        return sum(timer.call is not None for _, _, timer in self._timers)
