"""The one source of time: a clock that is given, never reached for.

Nothing else in the house reads the system's time or sets a timer by itself, so that tests and the
simulator can run the same code on a `ManualClock`, where an hour passes when they say so.
All times are integers in nanoseconds: differences of small numbers of seconds stay exact.

The wall clock is set by others, at any time and either way: a box without a battery starts in 1970
or at the date of its image, and the network's time comes years later, or years earlier. So there
are three time scales, and each question has its own; see `Moment`. (Kulkarni et al., "Logical
Physical Clocks", 2014, make one scale of the wall clock and a counter that never goes back. It was
not taken: one look at a clock that is years ahead would show wrong dates to people for years.)
"""

from __future__ import annotations

import heapq
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, Protocol

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000

DOWN_NS_MAX: Final = 31 * 24 * 3_600 * NS_PER_S
"""For how long a node may have been down and the wall clock still be believed about it. A holiday
is shorter, and what a battery-less clock is off by is mostly longer."""

WALL_NS_MAX: Final = 8_267_875_200 * NS_PER_S
"""2232-01-01. Linux takes no later time either (``KTIME_SEC_MAX`` less thirty years), and a task
may be scheduled decades behind it before 64 bits are full."""


class Moment(NamedTuple):
    """One instant, on the node's three time scales.

    ``run_ns`` is how long the node has run, all its lives added up; what is measured or put in
    order is so by this. It never goes back, nobody sets it, and it goes on while the machine
    sleeps, where the system can tell (`Clock.elapsed_ns`). While the node is down it stands still.

    ``schedule_ns`` goes on while the node is down, too, as far as it is known for how long that was
    (`downtime_ns`). Whatever waits for its time waits by this.

    ``wall_ns`` is Unix time, for people and for nothing else.
    """

    run_ns: int
    schedule_ns: int
    wall_ns: int


class Seen(NamedTuple):
    """When a node was seen running, as it is remembered over its end: the moment, and the machine's
    `Clock.elapsed_ns`, which means something until the machine starts anew. Each such time has its
    ``boot_id``; it is empty where the system gives none."""

    run_ns: int = 0
    schedule_ns: int = 0
    wall_ns: int = 0
    elapsed_ns: int = 0
    boot_id: str = ""

    def later(self, run_ns: int) -> Seen:
        """The same, or later, when something shows that the node had run for so long."""
        later_ns = max(0, run_ns - self.run_ns)
        return Seen(
            self.run_ns + later_ns,
            self.schedule_ns + later_ns,
            self.wall_ns + later_ns,
            self.elapsed_ns + later_ns,
            self.boot_id,
        )


NEVER: Final = Seen()
"""A node that has not lived before."""


def downtime_ns(last: Seen, wall_ns: int, elapsed_ns: int, boot_id: str) -> int:
    """How long a node was down that was last seen then and starts now.

    The machine itself knows, unless it was started anew in between. Then it is what the wall clock
    says; but one that went back, or on by more than `DOWN_NS_MAX`, is not believed, and it is 0.
    """
    if boot_id and boot_id == last.boot_id and elapsed_ns >= last.elapsed_ns:
        return elapsed_ns - last.elapsed_ns
    passed_ns = wall_ns - last.wall_ns
    return passed_ns if 0 <= passed_ns <= DOWN_NS_MAX else 0


def _plausible(wall_ns: int) -> int:
    """Within what can be stored and shown, whatever the clock says."""
    return min(max(wall_ns, 0), WALL_NS_MAX)


class Timer(Protocol):
    """A call that is due later. `cancel` may be called at any time, also twice or too late."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """What the house knows of time."""

    def now_ns(self) -> int:
        """Monotonic time; only differences mean anything. Timers run by it."""
        ...

    def elapsed_ns(self) -> int:
        """Monotonic time that goes on while the machine sleeps, where the system can tell."""
        ...

    def wall_ns(self) -> int:
        """Unix time from 1970 to `WALL_NS_MAX`, for people. It may jump either way."""
        ...

    def resume(self, last: Seen) -> None:
        """Goes on from where an earlier life of the node was last seen. To be called once, before
        anybody asks for a moment."""
        ...

    def seen(self) -> Seen:
        """This instant, for a later life to `resume` from."""
        ...

    def moment(self) -> Moment:
        """This instant. Its ``run_ns`` is never less than that of one before."""
        ...

    def call_after(self, delay_ns: int, call: Callable[[], object]) -> Timer:
        """Calls `call` once, at the earliest `delay_ns` from now; never before returning."""
        ...


class LoopTimers(Protocol):
    """The part of an asyncio event loop that `SystemClock` needs."""

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer: ...


def _boot_id() -> str:
    """A name for the time since the machine was started (proc(5)); empty where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        # Not Linux, or no /proc in this container: then the wall clock is asked.
        return ""


class _Scales:
    """How the scales of a `Moment` follow from monotonic time and the wall clock."""

    __slots__ = ("_boot_id", "_down_ns", "_earlier_ns")

    def __init__(self, boot_id: str) -> None:
        self._boot_id = boot_id
        self._earlier_ns = 0  # run in earlier lives, less what had elapsed when this one began
        self._down_ns = 0  # between them

    def elapsed_ns(self) -> int:
        raise NotImplementedError

    def wall_ns(self) -> int:
        raise NotImplementedError

    def resume(self, last: Seen) -> None:
        elapsed_ns = self.elapsed_ns()
        self._earlier_ns = last.run_ns - elapsed_ns
        down_ns = downtime_ns(last, self.wall_ns(), elapsed_ns, self._boot_id)
        self._down_ns = last.schedule_ns - last.run_ns + down_ns

    def seen(self) -> Seen:
        return Seen(*self.moment(), self.elapsed_ns(), self._boot_id)

    def moment(self) -> Moment:
        run_ns = self.elapsed_ns() + self._earlier_ns
        return Moment(run_ns, run_ns + self._down_ns, self.wall_ns())


class SystemClock(_Scales):
    """The machine's time; timers run on the given event loop.

    uvloop's timers are accurate to a millisecond only: don't build anything finer on them.
    Without a loop (as in the engine process) `call_after` raises RuntimeError.
    """

    __slots__ = ("_loop",)

    def __init__(self, loop: LoopTimers | None = None) -> None:
        super().__init__(_boot_id())
        self._loop = loop

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def elapsed_ns(self) -> int:
        if sys.platform == "linux":
            return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        # On macOS it goes on in sleep, as Python's own `time.monotonic` does not.
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC)

    def wall_ns(self) -> int:
        return _plausible(time.time_ns())

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


class ManualClock(_Scales):
    """A clock that stands still until told to advance. Timers of the same instant run in the
    order in which they were set. Its wall clock can be set, and the machine put to sleep."""

    def __init__(
        self, now_ns: int = 0, wall_ns: int = 1_750_000_000 * NS_PER_S, boot_id: str = ""
    ) -> None:
        super().__init__(boot_id)
        self._now_ns = now_ns
        self._slept_ns = 0
        self._wall_offset_ns = wall_ns - now_ns
        self._timers: list[tuple[int, int, _ManualTimer]] = []
        self._set_count = 0

    def now_ns(self) -> int:
        return self._now_ns

    def elapsed_ns(self) -> int:
        return self._now_ns + self._slept_ns

    def wall_ns(self) -> int:
        return _plausible(self._now_ns + self._wall_offset_ns)

    def set_wall(self, wall_ns: int) -> None:
        """Somebody sets the wall clock; nothing else changes."""
        self._wall_offset_ns = wall_ns - self._now_ns

    def sleep(self, slept_ns: int) -> None:
        """The machine was suspended for this long: timers don't know of it."""
        self._slept_ns += slept_ns
        self._wall_offset_ns += slept_ns

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
