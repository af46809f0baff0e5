"""Rows for tests of the store, and what it says about itself."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from edge.clock import Clock, ManualClock
from edge.storage import AuditRow, Store, StoredTask, StoreOptions, TaskRow
from edge.tasks.task import Task
from edge.tasks.text import Text
from edge.telemetry import EVENTS, Event, Telemetry


def uid(number: int) -> str:
    return str(UUID(int=number))


def with_text(task: Task, text: str) -> Task:
    """The task, which has written this."""
    task.output = Text(text)
    return task


def task_row(number: int, version: int = 1, state: str = "available", **changes: Any) -> TaskRow:
    """Version `version` of task `number`, created at that many ns."""
    row = TaskRow(
        task_id=uid(number),
        version=version,
        client="ada",
        state=state,
        priority=5,
        model="tiny",
        attempt=1,
        created_ns=number,
        scheduled_ns=None,
        started_ns=None,
        finished_ns=None,
        queued_ms=None,
        duration_ms=None,
        completion_tokens=0,
        idempotency_key=None,
        fingerprint=None,
        spec=b'{"number":%d}' % number if version == 1 else None,
        snapshot=b'{"version":%d}' % version,
        run_ns=0,
    )
    return replace(row, **changes)


def audit_row(number: int, at_ns: int = 1, **changes: Any) -> AuditRow:
    return replace(AuditRow(uid(number), at_ns, "submit", "", "available", None, 0), **changes)


class Heard:
    """All events of a telemetry, to look at and to wait for; each as the table of events has it."""

    def __init__(self) -> None:
        self.telemetry = Telemetry()
        self.telemetry.attach(self._hear)
        self.events: list[Event] = []
        self.odd: list[Event] = []
        self._new = asyncio.Event()

    def _hear(self, event: Event) -> None:
        self.events.append(event)
        kind = EVENTS[event.name]
        for said, types in (
            (event.measurements, kind.measurements),
            (event.metadata, kind.metadata),
        ):
            fitting = all(name in types and isinstance(said[name], types[name]) for name in said)
            if not fitting or said.keys() != types.keys():
                self.odd.append(event)
        self._new.set()

    def of(self, name: str) -> list[Event]:
        assert not self.odd
        return [event for event in self.events if event.name == name]

    async def next(self, name: str, count: int = 1) -> Event:
        """The `count`-th event of this name, once it is there."""
        async with asyncio.timeout(30):
            while len(self.of(name)) < count:
                self._new.clear()
                await self._new.wait()
        return self.of(name)[count - 1]


async def unfinished(store: Store) -> list[StoredTask]:
    """All tasks without an end, from all pages."""
    return [task async for page in store.unfinished() for task in page]


async def open_store(
    path: Path, heard: Heard | None = None, *, clock: Clock | None = None, **options: Any
) -> Store:
    return await Store.open(
        path,
        telemetry=(heard or Heard()).telemetry,
        clock=clock or ManualClock(),
        options=StoreOptions(**options),
    )
