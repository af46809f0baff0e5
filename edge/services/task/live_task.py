"""What a task's actor is given: the task as it outlives the actor, and what the actor needs of the
house."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from edge.services.task.audience import Followers
from edge.services.task.ends import Ends
from edge.services.task.journal import Journal
from edge.services.task.turns import Turns
from edge.tasks.retry import RetryPolicy
from edge.tasks.task import Request, Snapshot, State, Task
from edge.telemetry import Telemetry


@dataclass(slots=True, eq=False)
class LiveTask:
    """A task in memory, beyond the crashes of its actor: its last snapshot; ``fresh`` until the
    task has begun. ``task`` is the state that the actor of now works on. It is what the journal
    writes down (`edge.services.task.journal.Dirty`), so that the journal holds no actor.

    Its end is ``unwritten`` until the disk has it. ``untold`` is the state that it had before, and
    still has for clients; None once they may know of the end. See `edge.services.task.end_commit`.
    ``given_up`` once only a last actor is left."""

    snapshot: Snapshot
    fresh: bool = False
    unwritten: bool = False
    untold: State | None = None
    given_up: bool = False
    task: Task = field(init=False)

    def restore(self) -> Task:
        """The state for another actor to go on with: as in the last snapshot."""
        self.task = self.snapshot.restore()
        return self.task

    def written(self) -> None:
        """The task as it is now has been handed to the store."""
        self.snapshot = self.task.snapshot()


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What every task actor needs of the house; one object for all of them. ``on_ended`` is told of
    an actor that has ended, the others of a task that runs again, and of one that has ended."""

    turns: Turns
    journal: Journal
    telemetry: Telemetry
    retry: RetryPolicy
    rng: Random
    followers: Followers
    ends: Ends
    finished_keep_ms: int
    on_ended: Callable[[str], object]
    on_opened: Callable[[Request], object]
    on_closed: Callable[[Request], object]
