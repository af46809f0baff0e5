"""Between tasks and the store: a task's version becomes a row, and back.

Running tasks mark themselves as changed; once in a while those that did are written down together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import Final, Protocol

from edge.clock import NS_PER_MS, Clock
from edge.errors import StorageError
from edge.storage import AuditRow, Row, StoredTask, TaskRow
from edge.tasks.task import (
    UNREADABLE,
    Options,
    Request,
    Snapshot,
    State,
    Task,
    TaskError,
    request_from_json,
    snapshot_from_json,
)

PORTION_TASKS: Final = 8
PORTION_GAP_MS: Final = 1
"""Snapshots of so many tasks are made at a time, with so long in between."""
FLUSH_TASKS: Final = 1_000


class RowWriter(Protocol):
    """What the journal needs of the store; see `edge.storage.Store`."""

    @property
    def durable(self) -> bool: ...

    def write(
        self, rows: Sequence[Row], done: Callable[[StorageError | None], object] | None = None
    ) -> bool: ...


class Dirty(Protocol):
    """Whose state has changed since it was last written down."""

    @property
    def task(self) -> Task: ...

    def written(self) -> None:
        """The task as it is now has been handed to the store."""
        ...


class Unreadable(StorageError):
    """What is stored of this one task is damaged; nobody else is affected."""

    code = "unreadable"


def rebuild(stored: StoredTask) -> Snapshot:
    """The snapshot that was stored. `Unreadable` when it cannot be read."""
    try:
        return snapshot_from_json(request_from_json(stored.spec), stored.snapshot)
    except UNREADABLE as error:
        raise Unreadable(f"the stored task {stored.task_id} cannot be read: {error}") from error


def rebuild_to_show(stored: StoredTask) -> Snapshot:
    """The snapshot that was stored, to be shown and not to be worked with: one that cannot be read
    is a discarded task with the error ``unreadable``, and with what else is known of it. So it
    hides no other one in a list, and whoever watches it hears that nothing more will come."""
    try:
        return rebuild(stored)
    except Unreadable as error:
        sentence = f"{error}; it was {stored.state} when it was last written down"
    try:
        request = request_from_json(stored.spec)
    except UNREADABLE:
        request = Request(stored.task_id, stored.client, None, None, None, Options())
    task = Task(request, State.DISCARDED, stored.created_ns, version=stored.version)
    task.add_error(TaskError(0, stored.created_ns, "unreadable", sentence))
    return task.snapshot()


def _row(task: Task, run_ns: int, *, with_request: bool = False) -> TaskRow:
    """The next version of the task as a row; counts the version."""
    task.version += 1
    # What the fallback said is no answer for others to be given.
    answered = task.state is State.COMPLETED and task.source == "model"
    return TaskRow(
        task_id=task.task_id,
        version=task.version,
        client=task.request.client,
        state=str(task.state),
        priority=task.request.priority,
        model=task.request.model or "",
        attempt=task.attempt,
        created_ns=task.created_ns,
        scheduled_ns=task.scheduled_ns,
        started_ns=task.started_ns,
        finished_ns=task.finished_ns,
        queued_ms=task.timings.queued_ms,
        duration_ms=task.timings.ran_ms,
        completion_tokens=task.tokens_made,
        idempotency_key=task.request.idempotency_key,
        fingerprint=task.request.fingerprint() if answered else None,
        spec=task.request.to_json() if with_request or task.version == 1 else None,
        snapshot=task.snapshot().to_json(),
        run_ns=run_ns,
    )


def _end_cause(task: Task) -> str | None:
    """Why the task ended, as far as the task itself knows."""
    if task.state is State.DISCARDED:
        return task.errors[-1].message if task.errors else None
    if task.state is State.COMPLETED:
        return task.finish_reason if task.source == "model" else f"answered by {task.source}"
    return None


class Journal:
    """Writes versions and audit rows. On the loop's thread; never waits for the disk."""

    def __init__(self, store: RowWriter, clock: Clock, snapshot_ms: int) -> None:
        self._store = store
        self._clock = clock
        self._snapshot_ms = snapshot_ms
        self._dirty: dict[Dirty, None] = {}
        self._due: dict[Dirty, None] = {}  # what is being written, portion by portion
        self._armed = False

    @property
    def durable(self) -> bool:
        """False while the disk refuses; then tasks live in memory alone."""
        return self._store.durable

    def record(
        self,
        task: Task,
        event: str,
        from_state: State | None,
        cause: str | None = None,
        done: Callable[[StorageError | None], object] | None = None,
    ) -> bool:
        """Writes the task's new version and one audit row; `done` is called once that is
        committed, with None, or has failed, with the error. False, and `done` is not called, when
        too much waits for the disk to take any more."""
        now = self._clock.moment()
        audit = AuditRow(
            task_id=task.task_id,
            at_ns=now.wall_ns,
            event=event,
            from_state=str(from_state) if from_state else "",
            to_state=str(task.state),
            cause=cause or _end_cause(task),
            run_ns=now.run_ns,
        )
        # One that had ended may have been pruned in this moment, and its request with it.
        row = _row(task, now.run_ns, with_request=event == "retried")
        return self._store.write([row, audit], done)

    def write_again(
        self, task: Task, done: Callable[[StorageError | None], object] | None = None
    ) -> bool:
        """As `record`, for an end that has its audit row already. It brings its request: an earlier
        version may be on disk, unheard of, and be pruned before this one comes."""
        return self._store.write([_row(task, self._clock.moment().run_ns, with_request=True)], done)

    def mark(self, dirty: Dirty) -> None:
        """The task has changed in a way that may be lost for as long as ``snapshot_ms``."""
        if dirty in self._due:
            return
        self._dirty[dirty] = None
        if not self._armed:
            self._arm(self._snapshot_ms)

    def forget(self, dirty: Dirty) -> None:
        """The task's state has been written, or nobody owns it any more."""
        self._dirty.pop(dirty, None)
        self._due.pop(dirty, None)

    def _arm(self, wait_ms: int) -> None:
        self._armed = True
        self._clock.call_after(wait_ms * NS_PER_MS, self._write_dirty)

    def _write_dirty(self) -> None:
        """Writes what is due, in portions: text that is on its way waits for none but one."""
        self._armed = False
        # The last round is written to its end before another begins: a task that changes all the
        # time would keep the others from their turn.
        if not self._due:
            self._due, self._dirty = self._dirty, {}
        portion = list(islice(self._due, PORTION_TASKS))
        # Taken out first: what the store refuses is marked again, for the next round.
        for each in portion:
            del self._due[each]
        self.write_all(portion)
        # A refused portion was marked again, and has armed the timer.
        if self._due and not self._armed:
            self._arm(PORTION_GAP_MS)
        elif self._dirty and not self._armed:
            self._arm(self._snapshot_ms)

    def write_all(self, dirty: Collection[Dirty]) -> None:
        """Writes the present version of all these tasks, without an audit row; later, when too
        much waits for the disk now."""
        rows, run_ns = [], self._clock.moment().run_ns
        for each in dirty:
            rows.append(_row(each.task, run_ns))
            # Whatever becomes of the rows: a successor that began behind this version would use its
            # number a second time.
            each.written()
        if rows and not self._store.write(rows):
            for each in dirty:
                self.mark(each)

    def flush(self) -> None:
        """Writes what is marked now; for a stop."""
        marked = [*self._due, *self._dirty]
        # Emptied first: what is refused is marked again, and nothing that is due can be.
        self._due, self._dirty = {}, {}
        for start in range(0, len(marked), FLUSH_TASKS):
            self.write_all(marked[start : start + FLUSH_TASKS])
