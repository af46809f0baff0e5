"""Clears the database, once in a while, of what need not be kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from edge.actors import Actor, Crash, Reason
from edge.errors import StorageError
from edge.storage import Pruned
from edge.telemetry import Telemetry

ROWS_BETWEEN: Final = 100_000
"""So many new rows are reason enough: most of them are versions that later ones have replaced."""


class _Due:
    """It is time to clear."""


@dataclass(frozen=True, slots=True)
class Written:
    """So many more rows are in the database."""

    rows: int


@dataclass(frozen=True, slots=True)
class _Over:
    """The clearing has ended, in one way or the other."""

    outcome: Pruned | StorageError


class Janitor(Actor):
    """Has `prune` run every ``every_ms``, and sooner when many rows are `Written`; one at a time. A
    disk that refuses is told to telemetry and tried again in its turn; a defect ends the actor."""

    def __init__(
        self, prune: Callable[[], Awaitable[Pruned]], telemetry: Telemetry, every_ms: int
    ) -> None:
        self._prune = prune
        self._telemetry = telemetry
        self._every_ms = every_ms
        self._rows = 0
        self._runner: asyncio.Task[Pruned] | None = None

    def started(self) -> None:
        self.send_after(self._every_ms, _Due())

    def stopped(self, _reason: Reason) -> None:
        if self._runner is not None:
            self._runner.cancel()

    def handle(self, message: object) -> None:
        if isinstance(message, _Due):
            self._begin()
            self.send_after(self._every_ms, _Due())
        elif isinstance(message, Written):
            self._rows += message.rows
            if self._rows >= ROWS_BETWEEN:
                self._begin()
        elif isinstance(message, _Over):
            self._tell(message.outcome)

    def _begin(self) -> None:
        if self._runner is None:
            self._rows = 0
            self._runner = asyncio.ensure_future(self._prune())
            self._runner.add_done_callback(self._ended)

    def _ended(self, runner: asyncio.Future[Pruned]) -> None:
        # Before anything is said of it: the next one may begin, whatever became of this.
        self._runner = None
        if runner.cancelled():
            return
        error = runner.exception()
        if error is None:
            self.ref.send(_Over(runner.result()))
        elif isinstance(error, StorageError):
            self.ref.send(_Over(error))
        else:
            self.ref.kill(Crash(error))

    def _tell(self, outcome: Pruned | StorageError) -> None:
        if isinstance(outcome, StorageError):
            self._telemetry.emit("store.prune_failed", error=outcome)
        elif outcome.tasks or outcome.versions:
            self._telemetry.emit("store.pruned", tasks=outcome.tasks, versions=outcome.versions)
