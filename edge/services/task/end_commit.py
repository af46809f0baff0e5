"""What is written down first and told afterwards: a task's end, and that it begins again.

Nobody hears of an end that could be lost, unless the disk refuses: then it is told, since that may
go on for hours, and written down as soon as the disk lets it. Until then the task stays in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edge.actors import Ref
from edge.errors import StorageError
from edge.services.task import wire
from edge.services.task.audience import Audience
from edge.services.task.live_task import Dependencies, LiveTask
from edge.tasks.effects import Conclude, Record
from edge.tasks.task import State

WRITE_AGAIN_MS: Final = 2_000
"""How often an ended task that the disk does not have yet is given to it again."""

Done = Callable[[StorageError | None], object]
Then = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Committed:
    """This version is on disk, or for this reason not yet; ``then`` is what had to wait for it, if
    it is no end."""

    version: int
    error: StorageError | None
    then: Then | None = None


class WriteAgain:
    """It is time to write the end down once more."""


class EndCommit:
    """The commit of a task's end, for the actor whose `Ref` gets `Committed` and `WriteAgain`. What
    it knows is in the `LiveTask`, so that the actor's successor goes on with it."""

    __slots__ = ("_audience", "_ends", "_journal", "_live", "_ref", "_telemetry", "_untaken")

    def __init__(self, ref: Ref, live: LiveTask, deps: Dependencies, audience: Audience) -> None:
        self._ref = ref
        self._live = live
        self._journal = deps.journal
        self._telemetry = deps.telemetry
        self._ends = deps.ends
        self._audience = audience
        self._untaken: Callable[[Done], bool] | None = None  # what the journal had no room for

    @property
    def untold(self) -> State | None:
        """The task has ended, but for nobody outside: there it is still in this state."""
        return self._live.untold

    @property
    def unwritten(self) -> bool:
        """The task has ended, but not on disk."""
        return self._live.unwritten and self._live.task.terminal

    def begin(self, effect: Conclude, before: State) -> None:
        """The task has ended in this turn of its actor."""
        # The number of the event that will tell it: written down with the end, so that what comes
        # after a retry, maybe years later, has a higher one.
        self._live.task.seq += 1
        self._live.untold, self._live.unwritten = before, True
        self._ends.began(self._live.task.task_id)
        self._journal.forget(self._live)
        self._record(effect, before, None)

    def undo(self, effect: Record, before: State, then: Then) -> None:
        """The task begins again in this turn of its actor: `then` follows once that is written."""
        self._record(effect, before, then)

    def write_again(self) -> None:
        """Writes the end once more, if it is not on disk."""
        if self.unwritten:
            journal, task = self._journal, self._live.task
            again = self._untaken or (lambda done: journal.write_again(task, done))
            self._write(again, None)

    def _record(self, effect: Conclude | Record, before: State, then: Then | None) -> None:
        journal, task = self._journal, self._live.task
        cause = effect.cause if isinstance(effect, Record) else None
        self._write(lambda done: journal.record(task, effect.event, before, cause, done), then)

    def _write(self, write: Callable[[Done], bool], then: Then | None) -> None:
        version, ref = self._live.task.version + 1, self._ref

        def done(error: StorageError | None) -> None:
            ref.send(Committed(version, error, then))

        self._untaken = None
        if not write(done):
            self._untaken = write
            done(StorageError("too many rows wait for the disk"))
        self._live.written()

    def committed(self, message: Committed) -> bool:
        """The end is on disk, or is not: whether it may be told now, and has not been. What waited
        for the commit of a new beginning follows, whatever the disk said."""
        if message.then is not None:
            if message.error is not None:
                self._journal.mark(self._live)
            message.then()
            return False
        if not self.unwritten or message.version != self._live.task.version:
            return False
        self._live.unwritten = message.error is not None
        if message.error is not None:
            self._ref.send_after(WRITE_AGAIN_MS, WriteAgain())
            if self._journal.durable:
                # The disk works and is only behind: the end is told once it has caught up.
                return False
        untold, self._live.untold = self._live.untold, None
        return untold is not None

    def tell(self) -> None:
        """Tells everybody of the end."""
        task = self._live.task
        self._audience.tell(*wire.end_event(wire.document(task)), last=True)
        self._ends.told(task.task_id, str(task.state))
        self._telemetry.emit(
            "task.finished",
            task_id=task.task_id,
            state=str(task.state),
            source=task.source,
            duration_ms=task.timings.total_ms,
            decode_ms=task.timings.decode_ms,
            completion_tokens=task.usage.completion_tokens,
        )
