"""The sign of life of a decode step, and the way to end one.

ggml calls a function before each operation of a step on the CPU, and ends the step when that says
so. A Python function would need the interpreter's lock for each of 100 to 2,000 operations: alone
that takes a tenth of a small model's step, and beside a thread that tokenises it may wait 5 ms each
time. So the function is one of the C library's that happens to do all that is wanted,
`sem_trywait`: it takes one from a semaphore and says 0, "go on", until there is none left, and then
-1, "stop". How many are left tells how far the step has come; taking them all away ends it.
Measured: nothing, within the noise, with 107 operations in 0.3 ms.

Where there is no such semaphore (only Linux has it for certain) steps are as they are: they end by
themselves, and a sign of life comes between two of them.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any, Final

_FULL: Final = 2**31 - 1
"""Of one step: the most that a semaphore holds. The largest graphs have some ten thousand."""
_SEMAPHORE_BYTES: Final = 64
"""Twice what glibc and musl need."""


class Pulse:
    """Of the step that is under way. `begin` belongs to the thread that makes steps; the others
    may look and `stop` from any thread."""

    def __init__(self) -> None:
        self._room = ctypes.create_string_buffer(_SEMAPHORE_BYTES)
        self._library = ctypes.CDLL(None) if sys.platform == "linux" else None
        self.begin()

    def begin(self) -> None:
        """A step begins; no earlier `stop` is meant for it."""
        self._fill(_FULL)

    def stop(self) -> None:
        """The step ends before its next operation."""
        self._fill(0)

    @property
    def operations(self) -> int:
        """How many the step has begun; 0 where nobody can know."""
        if self._library is None:
            return 0
        left = ctypes.c_int()
        self._library.sem_getvalue(self._room, ctypes.byref(left))
        return _FULL - left.value

    def function(self, kind: Any) -> Any:
        """What ggml is to call, as this kind of C function; None where there is no such thing."""
        return None if self._library is None else ctypes.cast(self._library.sem_trywait, kind)

    @property
    def data(self) -> ctypes.c_void_p:
        """What it is to be called with."""
        return ctypes.cast(self._room, ctypes.c_void_p)

    def _fill(self, number: int) -> None:
        # Setting it anew while somebody takes from it is not in POSIX's contract, but nobody ever
        # waits for it, and then it is one store of a number that `sem_trywait` compares and swaps.
        if self._library is not None:
            self._library.sem_init(self._room, 0, number)
