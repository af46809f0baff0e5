"""The store: what is written is durable once its commit is told, and read past the loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeVar

import duckdb

from edge.clock import Clock
from edge.errors import StartupError, StorageError
from edge.storage import opening
from edge.storage.rows import Row, StoredTask
from edge.storage.schema import migrate
from edge.storage.writer import Commit, Done, Writer
from edge.telemetry import Telemetry

logger = logging.getLogger("elwift.storage")

T = TypeVar("T")

_TERMINAL = "('completed', 'cancelled', 'discarded')"
_LATEST = """
    SELECT task_id, max(version), max_by(state, version), min(created_ns), max(spec),
           max_by(snapshot, version)
    FROM tasks
"""


class Store:
    """One database file. Made by `open`; to be used on the loop's thread."""

    def __init__(
        self,
        path: Path,
        lock: IO[str],
        database: duckdb.DuckDBPyConnection,
        telemetry: Telemetry,
        rows_waiting_max: int,
    ) -> None:
        self.path = path
        self.quarantined: str | None = None
        self.durable = True
        self._lock = lock
        self._telemetry = telemetry
        self._database = database
        self._loop = asyncio.get_running_loop()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._writer = Writer(self._cursor, self._committed_on_thread, rows_waiting_max)

    @classmethod
    async def open(
        cls, path: Path, *, telemetry: Telemetry, clock: Clock, rows_waiting_max: int = 200_000
    ) -> Store:
        """Opens or makes the file. StartupError when another node has it, the folder cannot be
        written, or a later version of the program made it. A file that cannot be read is set
        aside and a new one begun: then ``quarantined`` names where it is kept."""
        held = opening.lock(path)
        try:
            kept: Path | None = None
            reason = await asyncio.to_thread(opening.probe, path)
            if reason is not None:
                kept = opening.set_aside(path, clock.wall_ns())
                telemetry.emit(
                    "store.quarantined", path=str(path), kept_as=str(kept), reason=reason
                )
            database = await asyncio.to_thread(_open, path)
        except BaseException:
            held.close()
            raise
        store = cls(path, held, database, telemetry, rows_waiting_max)
        store.quarantined = None if kept is None else str(kept)
        telemetry.emit("store.opened", path=str(path), tasks_unfinished=None)
        return store

    # ---- writing

    def write(self, rows: Sequence[Row], done: Done | None = None) -> bool:
        """Queues rows, which become durable together; never blocks. `done` is called on the loop's
        thread, once: with None when they are committed, with the error when the disk refuses (the
        rows are kept and tried again). False, and nothing queued, when too many wait."""
        return self._writer.put(rows, done)

    async def commit(self, rows: Sequence[Row]) -> None:
        """Writes and waits until it is durable. StorageError when it is not."""
        future: asyncio.Future[None] = self._loop.create_future()

        def done(error: StorageError | None) -> None:
            if not future.done():
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)

        if not self.write(rows, done):
            raise StorageError("too many rows wait for the disk")
        await future

    def _committed_on_thread(self, commit: Commit) -> None:
        # One wake-up of the loop for the whole group.
        self._loop.call_soon_threadsafe(self._committed, commit)

    def _committed(self, commit: Commit) -> None:
        self.durable = commit.error is None
        if commit.error is not None:
            self._telemetry.emit("store.failed", error=commit.error, rows_waiting=commit.waiting)
        else:
            if commit.recovered:
                self._telemetry.emit("store.recovered", rows=commit.rows)
            self._telemetry.emit(
                "store.committed",
                rows=commit.rows,
                commits_waiting=len(commit.done),
                commit_us=commit.commit_us,
            )
        for done in commit.done:
            try:
                done(commit.error)
            except Exception:
                # The others of the group have to hear, whatever one of them does.
                logger.exception("a callback of a commit raised")

    # ---- reading

    async def unfinished(self) -> list[StoredTask]:
        """All tasks without an end, as last written, in the order of their creation."""
        return await self._read(
            f"{_LATEST} GROUP BY task_id HAVING max_by(state, version) NOT IN {_TERMINAL}"
            " ORDER BY min(created_ns), task_id"
        )

    async def get(self, task_id: str) -> StoredTask | None:
        """One task as last written, or None."""
        found = await self._read(f"{_LATEST} WHERE task_id = ? GROUP BY task_id", task_id)
        return found[0] if found else None

    async def find_idempotent(self, client: str, key: str) -> str | None:
        """The task that this client submitted under this key, or None."""
        rows = await self._query(
            "SELECT task_id FROM tasks WHERE idempotency_key = ? AND client = ? LIMIT 1",
            key,
            client,
        )
        return str(rows[0][0]) if rows else None

    async def find_answer(self, fingerprint: str) -> StoredTask | None:
        """The newest completed task with this fingerprint, or None."""
        rows = await self._query(
            "SELECT task_id FROM tasks WHERE fingerprint = ? AND state = 'completed'"
            " ORDER BY finished_ns DESC LIMIT 1",
            fingerprint,
        )
        return await self.get(str(rows[0][0])) if rows else None

    async def history(
        self,
        *,
        state: str | None = None,
        client: str | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> list[StoredTask]:
        """A page of tasks, newest first, beginning behind the task `before`."""
        where, having, values = [], [], []
        if client is not None:
            where.append("client = ?")
            values.append(client)
        if state is not None:
            having.append("max_by(state, version) = ?")
            values.append(state)
        if before is not None:
            having.append(
                "(min(created_ns), task_id) <"
                " (SELECT (min(created_ns), task_id) FROM tasks WHERE task_id = ? GROUP BY task_id)"
            )
            values.append(before)
        return await self._read(
            _LATEST
            + (f" WHERE {' AND '.join(where)}" if where else "")
            + " GROUP BY task_id"
            + (f" HAVING {' AND '.join(having)}" if having else "")
            + " ORDER BY min(created_ns) DESC, task_id DESC LIMIT ?",
            *values,
            limit,
        )

    async def _read(self, sql: str, *values: object) -> list[StoredTask]:
        return [StoredTask(*row) for row in await self._query(sql, *values)]

    async def _query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return await self._on_reader(lambda: self._fetch(sql, values))

    async def _on_reader(self, call: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._reader, call)

    def _fetch(self, sql: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            with self._cursor() as cursor:
                return cursor.execute(sql, list(values)).fetchall()
        except duckdb.Error as error:
            raise StorageError(f"the database refused to read: {error}") from error

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own to the open database, which is opened again if DuckDB has
        given it up after an error."""
        try:
            return self._database.cursor()
        except duckdb.Error:
            self._database.close()
            self._database = opening.connect(self.path)
            return self._database.cursor()

    # ---- the end

    async def close(self) -> None:
        """Writes what waits, folds the log into the file, and lets go of it."""
        await asyncio.to_thread(self._writer.stop)
        # Reports of the last commits are on their way to the loop.
        await asyncio.sleep(0)
        await self._on_reader(self._checkpoint)
        self._reader.shutdown()
        self._lock.close()

    def _checkpoint(self) -> None:
        try:
            self._database.execute("CHECKPOINT")
        except duckdb.Error as error:
            self._loop.call_soon_threadsafe(self._say_failed, error)
        self._database.close()

    def _say_failed(self, error: duckdb.Error) -> None:
        # All rows are in the log; the next start replays it.
        self._telemetry.emit("store.failed", error=error, rows_waiting=0)


def _open(path: Path) -> duckdb.DuckDBPyConnection:
    try:
        database = opening.connect(path)
        migrate(database)
    except duckdb.Error as error:
        raise StartupError(
            f"cannot open the database {path}: {error}; choose another --data-dir"
        ) from error
    return database
