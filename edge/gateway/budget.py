"""What all slow clients together may keep waiting in the node.

Each has a limit of its own, but ten thousand of them at that limit would be forty gigabytes. So
there is one budget for all sockets and streams. When it is spent, who holds most is cut off, and
comes back at its offset: a client that reads as it is written to holds next to nothing, and so is
never the one.
"""

from __future__ import annotations

from typing import Protocol


class Holder(Protocol):
    """A client's outbox or stream; compared by identity."""

    def held_bytes(self) -> int:
        """How much waits for this client now, what its connection has not taken included."""
        ...

    def cut_off(self) -> None:
        """Ends it, and lets go of all that waits."""
        ...


class Budget:
    """Whoever begins to hold more says so by `holds`; nobody has to say that it holds less, since
    all are asked again before anybody is cut off."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._holders: dict[Holder, int] = {}
        self._held_bytes = 0

    @property
    def held_bytes(self) -> int:
        """What is held at most; less, where clients have read since."""
        return self._held_bytes

    def holds(self, holder: Holder, size_bytes: int) -> None:
        """This one holds so much now; 0 forgets it. May cut others off, or this one."""
        self._note(holder, size_bytes)
        if self._held_bytes > self.bytes_max:
            for each in tuple(self._holders):
                self._note(each, each.held_bytes())
            while self._held_bytes > self.bytes_max:
                most = max(self._holders, key=self._holders.__getitem__)
                self._note(most, 0)
                most.cut_off()

    def _note(self, holder: Holder, size_bytes: int) -> None:
        self._held_bytes += size_bytes - self._holders.pop(holder, 0)
        if size_bytes > 0:
            self._holders[holder] = size_bytes
