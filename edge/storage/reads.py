"""What is read from the store, on threads of their own: look-ups by a key on one, looks through the
whole history on another, exports on a third.

A look-up takes some milliseconds and submissions wait for it; a look through everything takes as
long as there is much. Neither waits for the other, and among themselves askers have their turns.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import duckdb

from edge.clock import Clock
from edge.errors import NotFound, StorageError
from edge.storage import queries, unfinished
from edge.storage.database import Database
from edge.storage.lane import Lane
from edge.storage.rows import AuditRow, Percentiles, StoredTask, Wanted
from edge.tasks import ids

T = TypeVar("T")

ExportFormat = Literal["parquet", "csv", "json"]
"""JSON is one object a line."""

ALL = Wanted()

ANSWERS_MAX: Final = 4
"""Of equal requests; the later ones are looked at when those before have no answer to give."""

LOOKUPS_PER_ASKER_MAX: Final = 1_000
"""With 400,000 tasks a look-up takes up to 8 ms: the last of a thousand waits for 8 seconds, and
clients give up after 10."""
LOOKUPS_WAITING_MAX: Final = 2 * LOOKUPS_PER_ASKER_MAX
"""One asker alone cannot take all places."""

SCANS_WAITING_MAX: Final = 64
SCANS_PER_ASKER_MAX: Final = 8
EXPORTS_WAITING_MAX: Final = 16
"""Whoever asks for exports has a limit of its own, which is lower: `edge.services.keeping`."""


class Reads:
    """The reading half of a store. All of it raises StorageError when the database refuses, and
    `Overloaded` when too many questions wait. Who is cancelled while it waits takes its question
    back, also in the middle.

    ``asker`` says for whom a question is asked; askers have their turns one after the other.
    """

    def __init__(self, database: Database, clock: Clock, scan_ms_max: int) -> None:
        self._database = database
        self._clock = clock
        self._scan_ms_max = scan_ms_max
        self._lookups = Lane(
            "store-lookups",
            clock,
            database.lookups.interrupt,
            waiting_max=LOOKUPS_WAITING_MAX,
            per_asker_max=LOOKUPS_PER_ASKER_MAX,
        )
        self._scans = Lane(
            "store-scans",
            clock,
            database.scans.interrupt,
            waiting_max=SCANS_WAITING_MAX,
            per_asker_max=SCANS_PER_ASKER_MAX,
        )
        self._exports = Lane(
            "store-exports",
            clock,
            database.exports.interrupt,
            waiting_max=EXPORTS_WAITING_MAX,
            per_asker_max=EXPORTS_WAITING_MAX,
        )

    async def unfinished(self) -> AsyncIterator[list[StoredTask]]:
        """All tasks without an end, as last written, in the order in which they were accepted, in
        pages that fit into memory (`edge.storage.unfinished`)."""
        pages = unfinished.pages(self._database.scans.rows, self._database.more_memory)
        # The node does not start without it, however long it takes.
        while True:
            page = await self._scans.run("", lambda: _of(lambda: next(pages, None)))
            if page is None:
                return
            yield page

    async def get(self, task_id: str, *, asker: str = "") -> StoredTask | None:
        """One task as last written, or None. Ids are canonical here (`edge.tasks.ids`); nothing has
        any other."""
        if not ids.is_canonical(task_id):
            return None
        found = _tasks(await self._look_up(asker, queries.GET, task_id))
        return found[0] if found else None

    async def audit(self, task_id: str, *, asker: str = "") -> list[AuditRow]:
        """What happened to a task, in order; empty when there is none."""
        if not ids.is_canonical(task_id):
            return []
        return [AuditRow(*row) for row in await self._scan(asker, queries.AUDIT, task_id)]

    async def find_idempotent(self, client: str, key: str) -> str | None:
        """The task that this client last submitted under this key, or None."""
        rows = await self._look_up(client, queries.FIND_IDEMPOTENT, key, client)
        return str(rows[0][0]) if rows else None

    async def find_answers(self, fingerprint: str, client: str) -> list[str]:
        """Tasks of this client with this fingerprint that have completed once, the newest first;
        at most `ANSWERS_MAX`."""
        values = (fingerprint, client, ANSWERS_MAX)
        return [str(row[0]) for row in await self._look_up(client, queries.FIND_ANSWERS, *values)]

    async def history(
        self, wanted: Wanted = ALL, *, limit: int = 50, before: str | None = None
    ) -> list[StoredTask]:
        """A page of tasks, newest first, beginning behind the task `before`: the last one of the
        page before. Tasks that come meanwhile do not shift the pages. NotFound when `before` is
        no task, or one no longer, or another client's than the one that is wanted."""
        asker = wanted.client or ""
        if before is not None:
            count, of = queries.versions_of(before, wanted.client)
            known = ids.is_canonical(before) and await self._look_up(asker, count, *of) != [(0,)]
            if not known:
                raise NotFound(
                    f"there is no task {before} to continue behind; begin without it",
                    field="before",
                )
        sql, values = queries.history(wanted, before)
        return _tasks(await self._scan(asker, sql, *values, limit))

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
        (found,) = await self._scan(client or "", sql, *values)
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
        replaced when the new one is whole. Times are in UTC: in RFC 3339 with milliseconds where
        the file is text, as times with a zone in Parquet. Other reading goes on meanwhile, other
        exports wait."""
        return await self._exports.run(
            wanted.client or "", lambda: self._export(path, file_format, wanted)
        )

    def _export(self, path: Path, file_format: ExportFormat, wanted: Wanted) -> int:
        part = path.with_name(f"{path.name}.part")
        quoted = str(part).replace("'", "''")
        sql, values = queries.export(wanted, times_as_text=file_format != "parquet")
        copy = f"COPY ({sql}) TO '{quoted}' (FORMAT {file_format})"
        try:
            ((rows,),) = self._database.exports.rows(copy, values)
            os.replace(part, path)
        except (duckdb.Error, OSError) as error:
            part.unlink(missing_ok=True)
            if _is_full(error):
                sentence = (
                    "there is no room for this export on the disk for temporary files;"
                    " ask for less of the history, or free some space there"
                )
            else:
                sentence = f"cannot export to {path}: {error}"
            raise StorageError(sentence) from error
        return int(rows)

    async def _look_up(self, asker: str, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return await self._lookups.run(
            asker, lambda: _of(lambda: self._database.lookups.rows(sql, values))
        )

    async def _scan(
        self, asker: str, sql: str, *values: object, limited: bool = True
    ) -> list[tuple[Any, ...]]:
        return await self._scans.run(
            asker,
            lambda: _of(lambda: self._database.scans.rows(sql, values)),
            limit_ms=self._scan_ms_max if limited else None,
        )

    def _close_lanes(self) -> None:
        """Nothing is read any more; what is being read is given up."""
        for lane in (self._lookups, self._scans, self._exports):
            lane.close()


def _of(read: Callable[[], T]) -> T:
    """What is read. StorageError when the database refuses."""
    try:
        return read()
    except duckdb.InterruptException as error:
        raise StorageError("the database is being opened anew; ask again in a moment") from error
    except duckdb.Error as error:
        raise StorageError(
            f"the database refuses to read: {error}",
            for_clients="the database cannot be read now; try again in a moment",
        ) from error


def _is_full(error: duckdb.Error | OSError) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return any(os.strerror(number) in str(error) for number in (errno.ENOSPC, errno.EDQUOT))


def _tasks(rows: Sequence[tuple[Any, ...]]) -> list[StoredTask]:
    return [StoredTask(*row) for row in rows]
