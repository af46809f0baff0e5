"""The garbage collector, so that it does not stop the node for long.

CPython's collector stops everything while it looks at all that may be part of a cycle, and it does
that whenever a quarter more has survived than before. Ten thousand waiting tasks are some 180,000
objects, which takes 35 ms; nearly none of them is ever garbage in a cycle, because the house is
built so that reference counts do.

So what has survived a look at everything is frozen (`gc.freeze`), and not looked at again: each
full collection looks only at what has come since the last. What dies in a cycle later, such as a
connection of a library, would stay for ever: so once as many objects are frozen as were alive twice
over, all are looked at again. That one takes its time, but the more there is, the rarer it is.
"""

from __future__ import annotations

import gc
from typing import Final

FROZEN_MIN: Final = 1_000_000
"""Of fewer objects, some 100 MB with what hangs on them, none is looked at once it is frozen."""
COUNT_EVERY: Final = 32
"""Counting the frozen takes some milliseconds, so it is done at one in so many full collections."""
THRESHOLDS: Final = (700, 5, 2)
"""As `gc.set_threshold`: a full collection at some 12,600 new objects, which takes two to three
milliseconds. By default it is at 77,000."""


class Collector:
    """See the module. Of one process there can be one."""

    def __init__(self, frozen_min: int = FROZEN_MIN, count_every: int = COUNT_EVERY) -> None:
        self._frozen_min = frozen_min
        self._count_every = count_every
        self._collections = 0
        self._thaw_at = 0
        self._thawed = False
        self._thresholds = gc.get_threshold()

    def start(self) -> None:
        """What lives now is taken to live for ever, and the collector is switched on."""
        gc.collect()
        gc.freeze()
        # How soon it looks at everything follows from how much it saw the last time: now, nothing.
        gc.collect()
        self._thaw_at = max(self._frozen_min, 2 * gc.get_freeze_count())
        gc.set_threshold(*THRESHOLDS)
        gc.callbacks.append(self._hear)
        gc.enable()

    def stop(self) -> None:
        """As it was before."""
        if self._hear in gc.callbacks:
            gc.callbacks.remove(self._hear)
            gc.set_threshold(*self._thresholds)
        gc.unfreeze()

    def _hear(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] < 2:
            return
        if phase == "start":
            self._collections += 1
            due = self._collections % self._count_every == 0
            self._thawed = due and gc.get_freeze_count() > self._thaw_at
            if self._thawed:
                gc.unfreeze()
            return
        gc.freeze()
        if self._thawed:
            self._thaw_at = max(self._frozen_min, 2 * gc.get_freeze_count())
