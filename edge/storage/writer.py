"""The one thread that writes: everything that waits goes into one transaction, again and again.

Rows that somebody waits for are written at once; others may share the next commit.

A commit that fails keeps its rows; they are tried again with growing pauses until the disk works,
while those who wait are told at once that it does not. Rows that DuckDB can never take (text that
is no Unicode, a number out of range) are found out and refused by themselves, so that one bad row
does not hold up all others.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import duckdb

from edge.errors import StorageError
from edge.storage.backlog import Backlog, Done, Entry, pause_ms, without_superseded
from edge.storage.database import Database, RowsRefused
from edge.storage.rows import Row

T = TypeVar("T")

# How long rows that nobody waits for stay for others to share their commit. A commit costs about
# a millisecond of processor time, and every third one of a task would be for such rows.
_GATHER_S: Final = 0.025

# Superseded versions are looked for again once so many more rows wait.
_THIN_ROWS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Report:
    """What one commit or failure did, and whom to tell. Handed over on the writer's thread.

    ``rows`` were committed; ``recovered_rows`` is None, or how many had waited for the disk to work
    again. ``fold_error`` is why the log goes on growing; the rows in it are safe. ``dead`` says
    that the thread has ended by a defect and nothing will be written any more.
    """

    rows: int = 0
    done: list[Done] = field(default_factory=list)
    error: StorageError | None = None
    commit_us: int = 0
    rows_waiting: int = 0
    recovered_rows: int | None = None
    refused: list[tuple[Done | None, StorageError]] = field(default_factory=list)
    fold_error: StorageError | None = None
    dead: bool = False


class Writer:
    """Owns the writing side of the database. All methods may be called from any thread."""

    def __init__(
        self,
        database: Database,
        backlog: Backlog,
        report: Callable[[Report], object],
        pauses_ms: Sequence[int],
    ) -> None:
        self._database = database
        self._backlog = backlog
        self._report = report
        self._pauses_ms = pauses_ms
        self._condition = threading.Condition()
        self._errands: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._failure: StorageError | None = None
        self._failures = 0
        self._thinned_rows = 0
        self._urgent = False
        self._gather_until_s = 0.0
        self._broken = False  # the database is not open, and may have no commit to open it for
        self._stopping = False
        self._group: list[Entry] = []
        self._thread = threading.Thread(target=self._main, name="store-writer", daemon=True)
        self._thread.start()

    # ---- for the others

    @property
    def rows_waiting(self) -> int:
        """Rows that are not committed yet."""
        return self._backlog.rows

    def put(self, rows: Sequence[Row], done: Done | None) -> bool:
        """Queues rows that belong together; False when too many wait already, or after the end."""
        entry = Entry(rows, done)
        with self._condition:
            first = not self._backlog
            if self._stopping or not self._backlog.add(entry):
                return False
            failure = self._failure
            told = entry.take_done() if failure is not None else None
            self._urgent = self._urgent or done is not None
            if first:
                self._gather_until_s = time.monotonic() + _GATHER_S
            if first or done is not None:
                self._condition.notify()
            if told is not None:
                # The disk is known to refuse: nobody waits for the next try to hear that. Under the
                # lock, or the word that it works again could be overtaken by this one.
                self._report(Report(done=[told], error=failure, rows_waiting=self._backlog.rows))
        return True

    @property
    def refused(self) -> StorageError | None:
        """Why the last commit failed, while its rows wait for the next try."""
        return self._failure

    def call(self, errand: Callable[[], T]) -> Future[T]:
        """Runs something on the writer's thread, between two commits."""
        future: Future[T] = Future()
        with self._condition:
            if self._stopping:
                future.set_exception(StorageError("the store is closed"))
            else:
                self._errands.append((future, errand))
                self._condition.notify()
        return future

    def stop(self) -> int:
        """Writes what waits, if the disk lets it, and ends; blocks until then. How many rows could
        not be written."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        self._thread.join()
        return self._backlog.rows

    # ---- the thread

    def _main(self) -> None:
        try:
            self._run()
        except BaseException as error:
            self._die(error)

    def _run(self) -> None:
        while self._wait():
            # Before the rows: a probe asks how the disk is now, and a commit may take seconds. The
            # price is that rows wait while an errand clears old ones away.
            self._run_errands()
            # Read before the try: a stop is answered with one whole try, and no further one.
            stopping = self._stopping
            with self._condition:
                self._group = self._backlog.take()
                self._urgent = bool(self._backlog)
            well = self._write(self._group) if self._group else self._opened()
            if not well:
                if stopping:
                    return
                self._pause()
            self._group = []

    def _wait(self) -> bool:
        """Until there is something to do; False when that will never be."""
        with self._condition:
            while not (self._errands or self._stopping or self._broken):
                left_s = None
                if self._backlog:
                    left_s = 0.0 if self._urgent else self._gather_until_s - time.monotonic()
                    if left_s <= 0:
                        break
                self._condition.wait(left_s)
            return bool(self._backlog or self._errands or (self._broken and not self._stopping))

    def _run_errands(self) -> None:
        while self._errands:
            future, errand = self._errands.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(errand())
            except Exception as error:
                # An errand that clears old rows away can break it, and opens it itself if it can.
                self._broken = self._broken or not self._database.alive()
                future.set_exception(error)

    def _write(self, group: list[Entry]) -> bool:
        """One commit; False when the disk refused and the group waits for the next try."""
        started_ns = time.perf_counter_ns()
        refused: list[tuple[Entry, StorageError]] = []
        try:
            # Only after a failure: asking a healthy database costs a statement for each commit.
            if (self._failures or self._broken) and not self._database.alive():
                self._database.revive()
            self._broken = False
            try:
                self._database.append([row for entry in group for row in entry.rows])
            except RowsRefused:
                refused = self._write_apart(group)
        except (duckdb.Error, OSError, MemoryError) as error:
            self._failed(group, StorageError(f"the database refuses to write: {error}"))
            return False
        # Told before the log is folded in: that can take a second, and the rows are safe.
        self._succeeded(group, refused, (time.perf_counter_ns() - started_ns) // 1_000)
        self._fold_log()
        return True

    def _fold_log(self) -> None:
        """After the commit, of which everyone has been told: whatever comes of it, the rows are
        safe. A database that it breaks is mended before the next commit needs it."""
        try:
            self._database.fold_log()
        except (duckdb.Error, OSError) as error:
            self._report(Report(fold_error=StorageError(f"the log cannot be folded in: {error}")))
            if not self._database.alive():
                self._mend()

    def _opened(self) -> bool:
        """Nothing waits that would have it opened anew, and nothing may come: who asks for a task,
        or submits one under a key, is refused until it can be read."""
        return not self._broken or self._mend()

    def _mend(self) -> bool:
        """Opens the database anew; False when that fails, and is to be tried again."""
        try:
            self._database.revive()
        except (duckdb.Error, OSError, MemoryError) as error:
            self._broken = True
            self._failed([], StorageError(f"the database cannot be opened anew: {error}"))
            return False
        self._broken = False
        return True

    def _write_apart(self, group: list[Entry]) -> list[tuple[Entry, StorageError]]:
        """Writes each entry by itself; those that cannot be stored, and why."""
        refused: list[tuple[Entry, StorageError]] = []
        written: list[Entry] = []
        try:
            for entry in group:
                try:
                    self._database.append(entry.rows)
                except RowsRefused as error:
                    refused.append((entry, StorageError(f"these rows cannot be stored: {error}")))
                else:
                    written.append(entry)
        except BaseException:
            # The disk fails in the middle: what is written must not be written again.
            group[:] = [entry for entry in group if entry not in written]
            self._succeeded(written, [], 0)
            raise
        return refused

    def _succeeded(
        self, group: list[Entry], refused: list[tuple[Entry, StorageError]], commit_us: int
    ) -> None:
        bad = {id(entry) for entry, _ in refused}
        good = [entry for entry in group if id(entry) not in bad]
        with self._condition:
            recovered = self._backlog.rows if self._failures and good else None
            # Before anybody is told: who hears of it may write at once, and has to find room.
            self._backlog.settled(group)
            if good:
                self._failure, self._failures, self._thinned_rows = None, 0, 0
            waiting = self._backlog.rows
        self._report(
            Report(
                rows=sum(len(entry.rows) for entry in good),
                done=[done for entry in good if (done := entry.take_done())],
                commit_us=commit_us,
                rows_waiting=waiting,
                recovered_rows=recovered,
                refused=[(entry.take_done(), error) for entry, error in refused],
            )
        )

    def _failed(self, group: list[Entry], error: StorageError) -> None:
        """Keeps the rows and tells everyone who waits, also those behind the group."""
        with self._condition:
            self._failures += 1
            self._failure = error
            self._urgent = True
            entries = group + self._backlog.take_all()
            done = [done for entry in entries if (done := entry.take_done())]
            grown = self._backlog.rows > self._thinned_rows + _THIN_ROWS
        # Not under the lock, which the loop's thread must never wait for long.
        kept = without_superseded(entries) if grown else entries
        with self._condition:
            if grown:
                self._backlog.settled(entries)
                self._backlog.restore(kept)
                self._thinned_rows = self._backlog.rows
            else:
                self._backlog.put_back(kept)
            waiting = self._backlog.rows
        self._report(Report(done=done, error=error, rows_waiting=waiting))

    def _pause(self) -> None:
        """Waits before the next try, unless a stop or an errand asks for it now."""
        deadline = time.monotonic() + pause_ms(self._failures, self._pauses_ms) / 1_000
        with self._condition:
            while not (self._stopping or self._errands):
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                # Each `put` wakes it; the pause goes on.
                self._condition.wait(left)

    def _die(self, error: BaseException) -> None:
        """Nothing is written any more: everyone hears it."""
        with self._condition:
            self._stopping = True
            entries = self._group + self._backlog.take_all()
            errands = list(self._errands)
            self._errands.clear()
            waiting = self._backlog.rows
        reason = StorageError(f"the thread that writes has ended by a defect: {error!r}")
        reason.__cause__ = error
        for future, _ in errands:
            if future.set_running_or_notify_cancel():
                future.set_exception(reason)
        done = [done for entry in entries if (done := entry.take_done())]
        self._report(Report(done=done, error=reason, rows_waiting=waiting, dead=True))
