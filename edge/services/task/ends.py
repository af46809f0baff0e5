"""What has ended since the node started, and whose end clients do not know yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final


class Ends:
    """An end is first committed, then told (`edge.services.task.end_commit`). Between the two it
    is here, so that a stop can wait for it.

    ``counts`` has the number of ends that were told, by the state that they led to. ``on_told`` is
    called when one more is over, whether it was told or given up.
    """

    def __init__(self) -> None:
        self.counts: Final = dict.fromkeys(("completed", "cancelled", "discarded"), 0)
        self.on_told: Callable[[], object] = _nobody_waits
        self._untold: set[str] = set()

    @property
    def untold(self) -> int:
        """How many ends are being written down."""
        return len(self._untold)

    def began(self, task_id: str) -> None:
        """The task has ended, but nobody outside knows."""
        self._untold.add(task_id)

    def told(self, task_id: str, state: str) -> None:
        """Whoever watches has been told."""
        self.counts[state] += 1
        self.forget(task_id)

    def forget(self, task_id: str) -> None:
        """Nobody works on this task any more, so nobody will tell its end."""
        self._untold.discard(task_id)
        self.on_told()


def _nobody_waits() -> None:
    """No stop is under way."""
