"""The disk and the store on it: the real `Store` and its writer's policy, on a disk that fails.

The disk outlives the node. It holds what was committed and nothing else; a commit whose
acknowledgement was under way when the node died is there, or is not, as it happened.

In most worlds rows are kept in dictionaries, which answer the few questions that the node itself
asks. In some they are in a real database, in memory, as well: that one answers all questions, also
those about the history, and is pruned; the dictionaries say what is right.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from random import Random
from typing import Any, TypeVar
from unittest import mock

import duckdb

from edge.clock import NEVER, NS_PER_MS, ManualClock
from edge.storage import AuditRow, Row, Store, StoreOptions, TaskRow, opening, queries
from edge.storage import store as store_module
from edge.storage.backlog import Backlog, Done, pause_ms
from edge.storage.database import Database
from edge.storage.writer import Report, Writer
from edge.telemetry import Telemetry
from tests.simulation.truth import Violation

T = TypeVar("T")

TERMINAL = frozenset(queries.TERMINAL)

MEMORY_MIB_MAX = 256


class Disk:
    """All rows that were committed and not cleared away, and how well the disk works just now.

    ``on_cleared`` is told which tasks a clearing took away, before they are forgotten here.
    """

    def __init__(self, clock: ManualClock, rng: Random, *, kept: bool) -> None:
        """With ``kept`` there is a real database."""
        self.clock = clock
        self.rng = rng
        self.database: Database | None = None
        if kept:
            self.database = Database(Path(":memory:"), memory_mib_max=MEMORY_MIB_MAX)
        self.pruned: set[str] = set()
        self.on_cleared: Callable[[set[str]], object] = lambda _task_ids: None
        self.versions: dict[str, dict[int, TaskRow]] = {}
        self.latest: dict[str, TaskRow] = {}
        self.ended_ns: dict[str, int] = {}
        self.accepted_ns: dict[str, int] = {}
        self.by_key: dict[tuple[str, str], list[str]] = {}
        self.trails: dict[str, dict[AuditRow, None]] = {}
        self.last_seen = NEVER
        self.learnt = ""
        self._found: list[tuple[Any, ...]] = []
        self.refuses_writes = False
        self.refuses_reads = False
        self.slow_ms = 0
        self.trouble_ns = 0  # when it last did not work as it should
        self.refuses_since_ns: int | None = None  # writes, without a break

    def close(self) -> None:
        """The end of the world."""
        if self.database is not None:
            self.database.close()

    def latency_ns(self) -> int:
        """How long the next commit takes."""
        slow_ns = self.rng.randrange(self.slow_ms + 1) * NS_PER_MS
        return self.rng.choice((200_000, 900_000, 2_000_000, 7_000_000)) + slow_ns

    def commit(self, rows: Sequence[Row]) -> None:
        """Makes the rows durable, or raises; a failure now and then comes after the rows were
        written, so that they are written twice in the end."""
        if self.refuses_writes and self.rng.random() < 0.9:
            raise duckdb.IOException("no space left on the simulated device")
        if self.database is not None:
            self.database.append(rows)
        for row in rows:
            self.last_seen = self.last_seen.later(row.run_ns)
            if isinstance(row, AuditRow):
                self.trails.setdefault(row.task_id, {})[row] = None
            else:
                self._put(row)
        if self.refuses_writes:
            raise OSError("the simulated disk failed after it had written")

    def _put(self, row: TaskRow) -> None:
        task_id = row.task_id
        versions = self.versions.setdefault(task_id, {})
        there = versions.get(row.version)
        if there is not None and there != row:
            raise Violation(
                "versions",
                f"version {row.version} of task {task_id} was written twice, differently",
            )
        versions[row.version] = row
        self.accepted_ns.setdefault(task_id, self.clock.now_ns())
        latest = self.latest.get(task_id)
        if latest is None or latest.version < row.version:
            self.latest[task_id] = row
            if row.state not in TERMINAL:
                self.ended_ns.pop(task_id, None)
            elif task_id not in self.ended_ns:
                self.ended_ns[task_id] = self.clock.now_ns()
        if row.idempotency_key is not None:
            known = self.by_key.setdefault((row.client, row.idempotency_key), [])
            if task_id not in known:
                known.append(task_id)

    # ---- besides rows

    def change(self, statements: Sequence[tuple[str, Sequence[object]]]) -> list[int]:
        """What the janitor does, and who looks at the health."""
        if self.refuses_writes:
            raise duckdb.IOException("the simulated disk takes nothing")
        if self.database is None:
            return [0] * len(statements)
        changed = self.database.transaction(statements)
        if any(changed):
            self._forget_cleared(self.database)
        return changed

    def _forget_cleared(self, database: Database) -> None:
        rows = database.ask("SELECT DISTINCT task_id::VARCHAR FROM journal")
        cleared = self.latest.keys() - {task_id for (task_id,) in rows}
        if not cleared:
            return
        self.on_cleared(cleared)
        self.pruned |= cleared
        for task_id in cleared:
            del self.latest[task_id], self.versions[task_id]
            self.ended_ns.pop(task_id, None)
            self.trails.pop(task_id, None)
        left = {
            key: [each for each in ids if each not in cleared] for key, ids in self.by_key.items()
        }
        self.by_key = {key: ids for key, ids in left.items() if ids}

    # ---- what the store reads

    def read(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if self.refuses_reads:
            raise duckdb.IOException("the simulated disk cannot be read")
        if self.database is not None:
            return self.database.ask(sql, values)
        return _READS[sql](self, *values)

    def stored(self, task_id: str) -> list[tuple[Any, ...]]:
        row = self.latest.get(task_id)
        if row is None:
            return []
        first = self.versions[task_id][min(self.versions[task_id])]
        if first.spec is None:
            return []
        return [
            (task_id, row.version, row.state, row.created_ns, first.spec, row.snapshot, row.client)
        ]

    def unfinished(self) -> list[tuple[Any, ...]]:
        found = [
            stored
            for task_id in self.versions  # as they were accepted
            if self.latest[task_id].state not in TERMINAL
            for stored in self.stored(task_id)
        ]
        # Both rows of a task have its place in this list as their number.
        self._found = found
        return [(*stored[:4], number, number) for number, stored in enumerate(self._found)]

    def wide(self, numbers: list[int]) -> list[tuple[Any, ...]]:
        found = [(number, self._found[number]) for number in numbers]
        return [(number, each[0], each[6], each[4], each[5]) for number, each in found]

    def find_idempotent(self, key: str, client: str) -> list[tuple[Any, ...]]:
        return [(task_id,) for task_id in self.by_key.get((client, key), ())[-1:]]

    def find_answers(self, fingerprint: str, client: str, most: int) -> list[tuple[Any, ...]]:
        same = [
            row
            for row in self.latest.values()
            if row.fingerprint == fingerprint and row.client == client
        ]
        same.sort(key=lambda row: row.finished_ns or 0, reverse=True)
        return [(row.task_id,) for row in same[:most]]


_READS: dict[str, Callable[..., list[tuple[Any, ...]]]] = {
    queries.UNFINISHED: Disk.unfinished,
    queries.WIDE: Disk.wide,
    queries.GET: Disk.stored,
    queries.FIND_IDEMPOTENT: Disk.find_idempotent,
    queries.FIND_ANSWERS: Disk.find_answers,
}


class _Connection:
    """In place of `edge.storage.database.Database`."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.append = disk.commit
        self.transaction = disk.change
        self.ask = disk.read
        self.lookups = self.scans = self.exports = self

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._disk.read(sql, values)

    def more_memory(self) -> bool:
        """All that there is, is there."""
        return False

    def interrupt(self) -> None:
        """A read is over as soon as it has begun."""

    def probe(self) -> None:
        self._disk.change(())

    def note(self, _moment: object) -> None:
        self._disk.change(())

    def keep_learnt(self, text: str) -> None:
        self._disk.change(())
        self._disk.learnt = text

    def checkpoint(self) -> None: ...

    def fold_log(self) -> bool:
        """This disk has no log."""
        return False

    def alive(self) -> bool:
        return self._disk.rng.random() < 0.5

    def revive(self) -> None:
        if self._disk.refuses_writes and self._disk.rng.random() < 0.5:
            raise duckdb.IOException("the simulated file cannot be opened")


class _NoThread:
    def __init__(self, **_options: Any) -> None: ...

    def start(self) -> None: ...


class SimWriter(Writer):
    """The real writer, whose thread's loop is run by timers of the world outside of the node."""

    disk: Disk
    alive: Callable[[], bool]

    def __init__(
        self,
        database: Any,
        backlog: Backlog,
        report: Callable[[Report], object],
        pauses_ms: Sequence[int],
    ) -> None:
        self._at_once = report
        self._busy = self._pausing = False
        self._turns = 0
        self._told_ns = 0
        with mock.patch.object(threading, "Thread", _NoThread):
            super().__init__(database, backlog, self._report_later, pauses_ms)

    def put(self, rows: Sequence[Row], done: Done | None) -> bool:
        if not super().put(rows, done):
            return False
        if not self._busy:
            self._begin()
        return True

    def call(self, errand: Callable[[], T]) -> Future[T]:
        future = super().call(errand)
        # It does not wait for the end of a pause.
        if not self._busy or self._pausing:
            self._begin()
        return future

    def _begin(self) -> None:
        self._busy, self._pausing = True, False
        self._turns += 1
        self._group = self._backlog.take()
        self._after(self.disk.latency_ns(), self._finish)

    def _finish(self) -> None:
        self._run_errands()
        written = not self._group or self._write(self._group)
        self._group = []
        if not written:
            self._pausing = True
            turn = self._turns
            pause_ns = pause_ms(self._failures, self._pauses_ms) * NS_PER_MS
            self._after(pause_ns, lambda: self._begin() if turn == self._turns else None)
        elif self._backlog or self._errands:
            self._begin()
        else:
            self._busy = False

    def _report_later(self, report: Report) -> None:
        """What the writer's thread says takes its time to reach the loop's, in order."""
        now_ns = self.disk.clock.now_ns()
        delay_ns = self.disk.rng.choice((0, 50_000, 1_000_000))
        self._told_ns = max(self._told_ns, now_ns + delay_ns)
        self._after(self._told_ns - now_ns, lambda: self._at_once(report))

    def _after(self, delay_ns: int, call: Callable[[], object]) -> None:
        def run() -> None:
            if self.alive():
                call()

        self.disk.clock.call_after(delay_ns, run)


def open_store(
    disk: Disk,
    telemetry: Telemetry,
    clock: ManualClock,
    options: StoreOptions,
    alive: Callable[[], bool],
) -> Store:
    """The real store on this disk; has to be called on the node's loop."""
    kind = type("SimWriter", (SimWriter,), {"disk": disk, "alive": staticmethod(alive)})
    opened = opening.Opened(_Connection(disk), None, learnt=disk.learnt)  # type: ignore[arg-type]
    clock.resume(disk.last_seen)
    disk.last_seen = clock.seen()
    with mock.patch.object(store_module, "Writer", kind):
        return Store(Path("simulated"), io.StringIO(), opened, telemetry, clock, options)
