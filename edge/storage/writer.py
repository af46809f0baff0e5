"""The one thread that writes: everything that waits goes into one transaction, again and again.

There is no window to wait for: while one commit runs, the next group gathers by itself. A commit
that fails keeps its rows; they are tried again with growing pauses until the disk works, while
those who wait are told at once that it does not.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import Final

import duckdb

from edge.errors import StorageError
from edge.storage.rows import AuditRow, Row, TaskRow
from edge.storage.schema import INSERT_AUDIT, INSERT_AUDIT_ROW, INSERT_TASK, INSERT_TASKS

ROWS_PER_COMMIT_MAX: Final = 10_000
PAUSE_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

Done = Callable[[StorageError | None], object]


class Commit:
    """What one commit did; handed to `report` on the writer's thread."""

    __slots__ = ("commit_us", "done", "error", "recovered", "rows", "waiting")

    def __init__(
        self, rows: int, done: list[Done], error: StorageError | None, commit_us: int, waiting: int
    ) -> None:
        self.rows = rows
        self.done = done
        self.error = error
        self.commit_us = commit_us
        self.waiting = waiting
        self.recovered = False


class Writer:
    """Owns the writing connection. `put` may be called from any thread, `stop` once.

    `connect` opens the connection, and again after an error that made DuckDB invalidate it.
    `report` is called on the writer's thread after each commit and each failure.
    """

    def __init__(
        self,
        connect: Callable[[], duckdb.DuckDBPyConnection],
        report: Callable[[Commit], object],
        rows_waiting_max: int,
    ) -> None:
        self._connect = connect
        self._report = report
        self._rows_waiting_max = rows_waiting_max
        self._connection: duckdb.DuckDBPyConnection | None = connect()
        self._condition = threading.Condition()
        self._groups: deque[tuple[Sequence[Row], Done | None]] = deque()
        self._rows_waiting = 0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def rows_waiting(self) -> int:
        """Rows that are not committed yet."""
        return self._rows_waiting

    def put(self, rows: Sequence[Row], done: Done | None) -> bool:
        """Queues rows that belong together; False when too many wait already."""
        with self._condition:
            if self._rows_waiting + len(rows) > self._rows_waiting_max or self._stopping:
                return False
            self._groups.append((rows, done))
            self._rows_waiting += len(rows)
            self._condition.notify()
        return True

    def stop(self) -> None:
        """Writes what waits, if the disk lets it, and ends; blocks until then."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        self._thread.join()

    def _run(self) -> None:
        failures = 0
        while True:
            group = self._next_group()
            if group is None:
                break
            rows = [row for part, _ in group for row in part]
            waiters = [done for _, done in group if done is not None]
            while True:
                started_ns = time.perf_counter_ns()
                error = self._write(rows)
                commit_us = (time.perf_counter_ns() - started_ns) // 1_000
                self._rows_waiting -= 0 if error else len(rows)
                commit = Commit(len(rows), waiters, error, commit_us, self._rows_waiting)
                commit.recovered = error is None and failures > 0
                self._report(commit)
                if error is None:
                    failures = 0
                    break
                # They have been told; the rows themselves are tried again.
                waiters = []
                failures += 1
                self._tell_waiting(error)
                if not self._pause(failures):
                    return
        if self._connection is not None:
            self._connection.close()

    def _tell_waiting(self, error: StorageError) -> None:
        """Tells all who wait behind a failure of it; their rows stay in the line."""
        with self._condition:
            waiters = [done for _, done in self._groups if done is not None]
            self._groups = deque((rows, None) for rows, _ in self._groups)
        if waiters:
            self._report(Commit(0, waiters, error, 0, self._rows_waiting))

    def _next_group(self) -> list[tuple[Sequence[Row], Done | None]] | None:
        with self._condition:
            while not self._groups and not self._stopping:
                self._condition.wait()
            group: list[tuple[Sequence[Row], Done | None]] = []
            rows = 0
            while self._groups and rows < ROWS_PER_COMMIT_MAX:
                group.append(self._groups.popleft())
                rows += len(group[-1][0])
        return group or None

    def _pause(self, failures: int) -> bool:
        """Waits before the next try; False when there will be none because of a stop."""
        with self._condition:
            if not self._stopping:
                self._condition.wait(PAUSE_S[min(failures, len(PAUSE_S)) - 1])
            return not self._stopping

    def _write(self, rows: list[Row]) -> StorageError | None:
        try:
            if self._connection is None:
                self._connection = self._connect()
            insert(self._connection, rows)
        except duckdb.Error as error:
            self._forget_connection(error)
            return StorageError(f"the database refused to write: {error}")
        return None

    def _forget_connection(self, error: duckdb.Error) -> None:
        """After a fatal error DuckDB takes nothing more on this connection; else it is rolled
        back and used again."""
        connection = self._connection
        if connection is None:
            return
        try:
            if isinstance(error, duckdb.FatalException | duckdb.InternalException):
                raise error
            connection.execute("ROLLBACK")
        except duckdb.TransactionException:
            return  # the failed commit has ended the transaction by itself
        except duckdb.Error:
            connection.close()
            self._connection = None


def insert(connection: duckdb.DuckDBPyConnection, rows: Sequence[Row]) -> None:
    """Writes the rows in one transaction; all of them, or on `duckdb.Error` none."""
    tasks = [astuple(row) for row in rows if isinstance(row, TaskRow)]
    audit = [astuple(row) for row in rows if isinstance(row, AuditRow)]
    connection.execute("BEGIN")
    _insert(connection, tasks, INSERT_TASK, INSERT_TASKS)
    _insert(connection, audit, INSERT_AUDIT_ROW, INSERT_AUDIT)
    connection.execute("COMMIT")


def _insert(
    connection: duckdb.DuckDBPyConnection, rows: list[tuple[object, ...]], one: str, many: str
) -> None:
    if len(rows) == 1:
        connection.execute(one, list(rows[0]))
    elif rows:
        connection.execute(many, [list(column) for column in zip(*rows, strict=True)])
