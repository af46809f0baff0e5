from __future__ import annotations

from collections.abc import Sequence

import pytest

from edge.clock import NS_PER_MS, ManualClock
from edge.errors import StorageError
from edge.services.task.journal import PORTION_GAP_MS, PORTION_TASKS, Journal, rebuild
from edge.storage import AuditRow, Row, StoredTask, TaskRow
from edge.storage.backlog import Done
from edge.tasks import machine
from edge.tasks.events import Answer, Cancel, Event, Fail, Finish, Retry, Start
from edge.tasks.task import Options, Request, State, Task, Usage
from tests.support.times import at

SNAPSHOT_MS = 500


class Paper:
    """A store that keeps what is written."""

    durable = True

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def write(self, rows: Sequence[Row], done: Done | None = None) -> bool:
        self.rows += rows
        return True

    def versions(self) -> list[TaskRow]:
        return [row for row in self.rows if isinstance(row, TaskRow)]


class Marked:
    def __init__(self, task: Task) -> None:
        self.task = task

    def written(self) -> None:
        """Nothing follows from it here."""


class Desk:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.paper = Paper()
        self.journal = Journal(self.paper, self.clock, SNAPSHOT_MS)
        request = Request("00000000-0000-0000-0000-000000000001", "ada", "x", None, None, Options())
        self.task, _ = machine.accept(request, at(5))

    def record(self, event: str, before: State | None = None) -> None:
        self.journal.record(self.task, event, before)

    def advance(self, ms: int) -> None:
        self.clock.advance(ms * NS_PER_MS)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_version_comes_with_what_happened(desk: Desk) -> None:
    desk.record("accepted")
    version, audit = desk.paper.rows
    assert isinstance(version, TaskRow)
    assert isinstance(audit, AuditRow)
    assert (audit.event, audit.from_state, audit.to_state) == ("accepted", "", "available")
    assert version.spec is not None
    stored = StoredTask(
        *(version.task_id, 1, version.state, version.created_ns),
        *(version.spec, version.snapshot, version.client),
    )
    assert rebuild(stored) == desk.task.snapshot()


def test_only_what_has_changed_is_snapshotted(desk: Desk) -> None:
    desk.record("accepted")
    marked = Marked(desk.task)
    for _ in range(3):
        desk.journal.mark(marked)
    desk.advance(SNAPSHOT_MS)
    desk.advance(10 * SNAPSHOT_MS)
    assert [row.version for row in desk.paper.versions()] == [1, 2]
    assert desk.paper.versions()[1].spec is None
    desk.journal.mark(marked)
    desk.journal.forget(marked)
    desk.advance(SNAPSHOT_MS)
    assert len(desk.paper.versions()) == 2


def test_a_task_that_runs_again_brings_its_request(desk: Desk) -> None:
    desk.record("accepted")
    machine.apply(desk.task, Cancel(), at(20))
    desk.record("cancelled", State.AVAILABLE)
    machine.apply(desk.task, Retry(), at(30))
    desk.record("retried", State.CANCELLED)
    assert [row.spec is not None for row in desk.paper.versions()] == [True, False, True]


def test_an_end_that_is_written_again_brings_its_request(desk: Desk) -> None:
    desk.record("accepted")
    machine.apply(desk.task, Cancel(), at(20))
    desk.record("cancelled", State.AVAILABLE)
    desk.journal.write_again(desk.task)
    assert [row.spec is not None for row in desk.paper.versions()] == [True, False, True]
    assert len(desk.paper.rows) == 5


@pytest.mark.parametrize(
    ("event", "cause"),
    [
        (Fail("timeout", "it took too long", False, 0), "it took too long"),
        (Finish("length", "a", Usage(), 1.0, 1.0), "length"),
        (Answer("sorry", "notice"), "answered by notice"),
        (Cancel(), None),
    ],
    ids=["failed", "finished", "answered", "cancelled"],
)
def test_an_end_has_its_cause(desk: Desk, event: Event, cause: str | None) -> None:
    machine.apply(desk.task, Start(), at(10))
    machine.apply(desk.task, event, at(20))
    desk.record("ended", State.EXECUTING)
    audit = desk.paper.rows[-1]
    assert isinstance(audit, AuditRow)
    assert audit.cause == cause


def test_many_are_written_in_portions(desk: Desk) -> None:
    desk.record("accepted")
    for _ in range(2 * PORTION_TASKS + 1):
        desk.journal.mark(Marked(desk.task))
    written = []
    desk.advance(SNAPSHOT_MS - PORTION_GAP_MS)
    for _ in range(4):
        desk.advance(PORTION_GAP_MS)
        written.append(len(desk.paper.versions()) - 1)
    everything = 2 * PORTION_TASKS + 1
    assert written == [PORTION_TASKS, 2 * PORTION_TASKS, everything, everything]
    assert desk.clock.timers_pending() == 0


def test_a_flush_writes_what_is_marked(desk: Desk) -> None:
    desk.record("accepted")
    desk.journal.mark(Marked(desk.task))
    desk.journal.flush()
    assert len(desk.paper.versions()) == 2
    desk.advance(SNAPSHOT_MS)
    assert len(desk.paper.versions()) == 2


def test_a_row_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        rebuild(StoredTask("1", 1, "available", 1, b"{}", b"{}", "ada"))
