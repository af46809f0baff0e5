"""What was: the history, what happened to one task, figures over many, and all of it as a file.

A client sees its own tasks alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

from edge.clock import NS_PER_S
from edge.errors import LimitReached, Overloaded
from edge.services.task import wire
from edge.services.task.journal import rebuild_to_show
from edge.services.task.tasks import Tasks
from edge.storage import AuditRow, ExportFormat, Percentiles, StoredTask, Wanted

EXPORTS_MAX: Final = 4
"""Exports that wait, are written or are being sent: each may have a file as large as the history.
They are written one after the other."""
EXPORTS_PER_CLIENT_MAX: Final = EXPORTS_MAX // 2
"""Where there are several clients: nobody takes the last place."""
EXPORT_RETRY_MS: Final = 5_000
DAY_NS: Final = 24 * 3_600 * NS_PER_S
"""Without a ``since``, figures are those of the last day."""


class ArchiveStore(Protocol):
    """What is asked of the store here; see `edge.storage.Store`."""

    async def history(
        self, wanted: Wanted, *, limit: int, before: str | None
    ) -> list[StoredTask]: ...

    async def audit(self, task_id: str, *, asker: str) -> list[AuditRow]: ...

    async def percentiles(
        self, since_ns: int | None, until_ns: int | None, client: str | None, *, last_ns: int | None
    ) -> Percentiles: ...

    async def export(self, path: Path, file_format: ExportFormat, wanted: Wanted) -> int: ...


class Archive:
    """Reads what is stored. To be used on the loop's thread; StorageError when the database
    refuses."""

    def __init__(
        self, tasks: Tasks, store: ArchiveStore, exports_per_client_max: int = EXPORTS_MAX
    ) -> None:
        self._tasks = tasks
        self._store = store
        self._exports_per_client_max = exports_per_client_max
        self._exports: Counter[str] = Counter()

    @property
    def exports(self) -> int:
        """How many are under way."""
        return self._exports.total()

    async def page(
        self, client: str, wanted: Wanted, *, limit: int, before: str | None
    ) -> list[dict[str, Any]]:
        """A page of the client's tasks, newest first. One that cannot be read is among them, as a
        discarded one (`rebuild_to_show`); the filter goes by the state that it had."""
        wanted = replace(wanted, client=client)
        page = await self._store.history(wanted, limit=limit, before=before)
        return [wire.document(rebuild_to_show(stored).restore(), durable=True) for stored in page]

    async def audit(self, task_id: str, client: str) -> list[dict[str, Any]]:
        """Every change of the task's state that has been written down, in order. `NotFound` when
        it is not the client's."""
        await self._tasks.document(task_id, client)
        return [
            {
                "at": wire.rfc3339(row.at_ns),
                "event": row.event,
                "from_state": row.from_state or None,
                "to_state": row.to_state,
                "cause": row.cause,
            }
            for row in await self._store.audit(task_id, asker=client)
        ]

    async def figures(
        self, client: str, since_ns: int | None, until_ns: int | None, wall_ns: int
    ) -> dict[str, Any]:
        """How the client's tasks ended that did so within this time, and how long they took.

        Without ``since_ns``, the time is the last day for which the node ran, whatever the wall
        clock, which says ``wall_ns`` now, said meanwhile: a clock that was set takes no task out of
        the day. Then the ``since`` that is shown is before the ends of all of them."""
        last_ns = None if since_ns is not None else DAY_NS
        found = await self._store.percentiles(since_ns, until_ns, client, last_ns=last_ns)
        if since_ns is None:
            day_ago_ns = max(0, wall_ns - DAY_NS)
            since_ns = min(day_ago_ns, found.earliest_ns or day_ago_ns)
        return {
            "since": wire.rfc3339(since_ns),
            "until": wire.rfc3339(until_ns),
            "ended": {
                "completed": found.completed,
                "cancelled": found.cancelled,
                "discarded": found.discarded,
            },
            "wait_ms": _named(found.queued_ms),
            "duration_ms": _named(found.duration_ms),
        }

    @contextmanager
    def exporting(self, client: str) -> Iterator[None]:
        """A place for one export, until its file is gone. `Overloaded` when all are taken,
        `LimitReached` when the client has all that it may have."""
        if self.exports >= EXPORTS_MAX:
            sentence = f"{EXPORTS_MAX} exports are under way, which is as many as there may be"
            raise Overloaded(f"{sentence}; try again later", retry_after_ms=EXPORT_RETRY_MS)
        if self._exports[client] >= self._exports_per_client_max:
            sentence = f"{self._exports[client]} exports of yours are under way; wait for one"
            raise LimitReached(sentence, retry_after_ms=EXPORT_RETRY_MS)
        self._exports[client] += 1
        try:
            yield
        finally:
            self._exports[client] -= 1
            # A client that has none leaves nothing behind.
            self._exports += Counter()

    async def export(
        self, client: str, path: Path, file_format: ExportFormat, wanted: Wanted
    ) -> int:
        """Writes the client's tasks into a file; how many. A place is to be had before."""
        return await self._store.export(path, file_format, replace(wanted, client=client))


def _named(values_ms: tuple[float, float, float] | None) -> dict[str, float] | None:
    if values_ms is None:
        return None
    return dict(zip(("p50", "p95", "p99"), (round(each, 3) for each in values_ms), strict=True))
