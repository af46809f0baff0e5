"""A thread that reads, one question at a time, and who has it next.

What waits is bounded, for each asker and in all, and askers have their turns one after the other:
who asks much waits longer, nobody else does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Generic, TypeVar

from edge.clock import NS_PER_MS, Clock
from edge.errors import Overloaded, StorageError

E = TypeVar("E")
T = TypeVar("T")

RETRY_MS: Final = 1_000
"""When to come back to a lane that is full."""

INTERRUPT_AGAIN_MS: Final = 100
"""DuckDB forgets an interrupt that comes right before a statement begins, so it is repeated."""


class Turns(Generic[E]):
    """Who waits, asker by asker: one entry of the first, one of the next, and so on. Pure."""

    def __init__(self, *, waiting_max: int, per_asker_max: int) -> None:
        self._waiting_max = waiting_max
        self._per_asker_max = per_asker_max
        self._askers: dict[str, dict[E, None]] = {}  # in the order of their turns
        self._served = ""
        self._waiting = 0

    def __len__(self) -> int:
        """How many wait."""
        return self._waiting

    def add(self, asker: str, entry: E) -> bool:
        """Queues an entry; False, and nothing changed, when it would be too many."""
        own = self._askers.get(asker, {})
        if self._waiting >= self._waiting_max or len(own) >= self._per_asker_max:
            return False
        own[entry] = None
        self._askers[asker] = own
        self._waiting += 1
        return True

    def take(self) -> E | None:
        """The next one, or None: whoever was served last stands behind all who have come since."""
        own = self._askers.pop(self._served, None)
        if own:
            self._askers[self._served] = own
        if not self._askers:
            self._served = ""
            return None
        self._served, own = next(iter(self._askers.items()))
        entry = next(iter(own))
        self.remove(self._served, entry)
        return entry

    def remove(self, asker: str, entry: E) -> None:
        """Forgets an entry that waits no longer, if it is there."""
        own = self._askers.get(asker, {})
        if entry in own:
            del own[entry]
            self._waiting -= 1
            if not own:
                del self._askers[asker]


class Lane:
    """To be used on the loop's thread. ``interrupt`` ends the statement that its thread runs, if it
    runs one; it is called on the loop's thread."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        interrupt: Callable[[], object],
        *,
        waiting_max: int,
        per_asker_max: int,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._interrupt = interrupt
        self._turns: Turns[asyncio.Future[None]] = Turns(
            waiting_max=waiting_max, per_asker_max=per_asker_max
        )
        # Its own queue never holds more than one call: the turns are given here.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._running: asyncio.Future[Any] | None = None
        self._taken = False
        self._closed = False

    async def run(self, asker: str, call: Callable[[], T], *, limit_ms: int | None = None) -> T:
        """What `call` returns or raises, on the lane's thread. `Overloaded` when too many wait,
        StorageError when the lane is closed or the call took longer than ``limit_ms``.

        A caller that is cancelled leaves the line; if its call is under way, that is interrupted,
        and the caller goes on when it has ended: then nothing of its own is used any more.
        """
        await self._take_turn(asker)
        running = self._loop.run_in_executor(self._thread, call)
        self._running = running
        running.add_done_callback(self._ended)
        late = False

        def time_up() -> None:
            nonlocal late
            late = True
            self._end(running)

        timer = None if limit_ms is None else self._clock.call_after(limit_ms * NS_PER_MS, time_up)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self._end(running)
            await _settled(running)
            raise
        except StorageError as error:
            if not late:
                raise
            raise StorageError(
                f"this was looked for longer than {limit_ms} ms and given up;"
                " ask for less, such as a shorter time"
            ) from error
        finally:
            if timer is not None:
                timer.cancel()

    def close(self) -> None:
        """Nothing more is begun; what runs is interrupted."""
        self._closed = True
        while (place := self._turns.take()) is not None:
            if not place.done():
                place.set_exception(_closed())
        if self._running is not None:
            self._end(self._running)
        self._thread.shutdown(wait=False)

    async def _take_turn(self, asker: str) -> None:
        if self._closed:
            raise _closed()
        place: asyncio.Future[None] = self._loop.create_future()
        if not self._turns.add(asker, place):
            raise Overloaded(
                f"{len(self._turns)} questions wait for the database; try again in a moment",
                retry_after_ms=RETRY_MS,
            )
        if not self._taken:
            self._pass_on()
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                self._turns.remove(asker, place)
            else:  # its turn had come in the same moment
                self._pass_on()
            raise
        if self._closed:
            raise _closed()

    def _ended(self, running: asyncio.Future[Any]) -> None:
        # What it raised is the caller's to hear; asyncio is not to miss it if that one has left.
        if not running.cancelled():
            running.exception()
        self._running = None
        self._pass_on()

    def _pass_on(self) -> None:
        while (place := self._turns.take()) is not None:
            if not place.done():  # else its caller has been cancelled, and does not know yet
                self._taken = True
                place.set_result(None)
                return
        self._taken = False

    def _end(self, running: asyncio.Future[T]) -> None:
        if not running.done():
            self._interrupt()
            self._clock.call_after(INTERRUPT_AGAIN_MS * NS_PER_MS, lambda: self._end(running))


async def _settled(running: asyncio.Future[Any]) -> None:
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            continue  # who waits has been cancelled already


def _closed() -> StorageError:
    return StorageError("the store is closed")
