"""What is read from the store, on threads of their own: look-ups on one, exports on another."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar

import duckdb

from edge.clock import Clock
from edge.errors import NotFound, StorageError
from edge.storage import queries
from edge.storage.database import Database
from edge.storage.rows import AuditRow, Percentiles, StoredTask, Wanted
from edge.tasks import ids

T = TypeVar("T")

ExportFormat = Literal["parquet", "csv", "json"]
"""JSON is one object a line."""

ALL = Wanted()


class Reads:
    """The reading half of a store. All of it raises StorageError when the database refuses."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._exporter = ThreadPoolExecutor(1, thread_name_prefix="store-exporter")

    async def unfinished(self) -> list[StoredTask]:
        """All tasks without an end, as last written, in the order of their creation."""
        return await self._read(queries.UNFINISHED)

    async def get(self, task_id: str) -> StoredTask | None:
        """One task as last written, or None. Ids are canonical here (`edge.tasks.ids`); nothing has
        any other."""
        if not ids.is_canonical(task_id):
            return None
        found = await self._read(queries.GET, task_id)
        return found[0] if found else None

    async def audit(self, task_id: str) -> list[AuditRow]:
        """What happened to a task, in order; empty when there is none."""
        if not ids.is_canonical(task_id):
            return []
        return [AuditRow(*row) for row in await self._query(queries.AUDIT, task_id)]

    async def find_idempotent(self, client: str, key: str) -> str | None:
        """The task that this client last submitted under this key, or None."""
        rows = await self._query(queries.FIND_IDEMPOTENT, key, client)
        return str(rows[0][0]) if rows else None

    async def find_answer(self, fingerprint: str, client: str) -> StoredTask | None:
        """The newest completed task of this client with this fingerprint, or None."""
        rows = await self._query(queries.FIND_ANSWER, fingerprint, client)
        return await self.get(str(rows[0][0])) if rows else None

    async def history(
        self, wanted: Wanted = ALL, *, limit: int = 50, before: str | None = None
    ) -> list[StoredTask]:
        """A page of tasks, newest first, beginning behind the task `before`: the last one of the
        page before. Tasks that come meanwhile do not shift the pages. NotFound when `before` is
        no task, or one no longer."""
        if before is not None:
            known = ids.is_canonical(before) and await self._query(queries.COUNT_OF, before) != [
                (0,)
            ]
            if not known:
                raise NotFound(
                    f"there is no task {before} to continue behind; begin without it",
                    field="before",
                )
        sql, values = queries.history(wanted, before)
        return await self._read(sql, *values, limit)

    async def percentiles(
        self,
        since_ns: int | None = None,
        until_ns: int | None = None,
        client: str | None = None,
        *,
        last_ns: int | None = None,
    ) -> Percentiles:
        """Ends, waits and durations of the tasks that ended from this wall-clock time on, and
        before the other; within the last ``last_ns`` for which the node ran. All that are given
        hold."""
        since_run_ns = None if last_ns is None else self._clock.moment().run_ns - last_ns
        sql, values = queries.percentiles(since_ns, until_ns, client, since_run_ns)
        (found,) = await self._query(sql, *values)
        completed, cancelled, discarded, earliest_ns, queued_ms, duration_ms = found
        return Percentiles(
            completed,
            cancelled,
            discarded,
            earliest_ns,
            tuple(queued_ms) if queued_ms else None,
            tuple(duration_ms) if duration_ms else None,
        )

    async def export(self, path: Path, file_format: ExportFormat, wanted: Wanted = ALL) -> int:
        """Writes one row a task, as last written, into a file; how many. A file that is there is
        replaced when the new one is whole. Other reading goes on meanwhile, other exports wait."""
        return await self._on(self._exporter, lambda: self._export(path, file_format, wanted))

    def _export(self, path: Path, file_format: ExportFormat, wanted: Wanted) -> int:
        part = path.with_name(f"{path.name}.part")
        quoted = str(part).replace("'", "''")
        sql, values = queries.export(wanted)
        try:
            rows = self._database.copy(f"COPY ({sql}) TO '{quoted}' (FORMAT {file_format})", values)
            os.replace(part, path)
        except (duckdb.Error, OSError) as error:
            part.unlink(missing_ok=True)
            raise StorageError(f"cannot export to {path}: {error}") from error
        return rows

    async def _read(self, sql: str, *values: object) -> list[StoredTask]:
        return [StoredTask(*row) for row in await self._query(sql, *values)]

    async def _query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return await self._on(self._reader, lambda: self._rows(sql, values))

    def _rows(self, sql: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        try:
            return self._database.read(sql, values)
        except duckdb.Error as error:
            raise StorageError(f"the database refuses to read: {error}") from error

    async def _on(self, thread: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        if self._closed:
            raise StorageError("the store is closed")
        return await self._loop.run_in_executor(thread, call)
