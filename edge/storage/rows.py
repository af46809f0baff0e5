"""What is stored: versions of tasks, and what happened to them. Only ever added, never changed.

Rows follow one another as they were handed to the store; that is the order of everything, because
no clock can be trusted with it. ``run_ns`` is how long the node had run by then (`edge.clock`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One version of one task; the highest version counts. Its other times ending in ``_ns`` are
    Unix time, for people.

    ``task_id`` is the canonical text of a UUID. ``spec`` is the request, stored with version 1
    alone; ``snapshot`` is all that changes. Both are bytes (JSON in UTF-8) that the storage does
    not look into. ``fingerprint`` is given where the answer may serve an equal request later.
    """

    task_id: str
    version: int
    client: str
    state: str
    priority: int
    model: str
    attempt: int
    created_ns: int
    scheduled_ns: int | None
    started_ns: int | None
    finished_ns: int | None
    queued_ms: float | None
    duration_ms: float | None
    completion_tokens: int
    idempotency_key: str | None
    fingerprint: str | None
    spec: bytes | None
    snapshot: bytes
    run_ns: int


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One change of state and its cause. ``at_ns`` is Unix time."""

    task_id: str
    at_ns: int
    event: str
    from_state: str
    to_state: str
    cause: str | None
    run_ns: int


Row: TypeAlias = TaskRow | AuditRow


@dataclass(frozen=True, slots=True)
class StoredTask:
    """A task as it was last written down. ``spec`` and ``snapshot`` may be damaged; the rest is
    known of it in any case."""

    task_id: str
    version: int
    state: str
    created_ns: int
    spec: bytes
    snapshot: bytes
    client: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which tasks: all but for what is said. Created at or after ``since_ns``, before
    ``until_ns``; both are Unix time."""

    client: str | None = None
    state: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Percentiles:
    """How many tasks ended, and how; the 50th, 95th and 99th of what they took, in ms, None where
    there was none. ``earliest_ns`` is the earliest of their ends in Unix time, as the wall clock
    was then."""

    completed: int
    cancelled: int
    discarded: int
    earliest_ns: int | None
    queued_ms: tuple[float, float, float] | None
    duration_ms: tuple[float, float, float] | None


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a pruning took away: whole tasks, and versions that later ones had replaced."""

    tasks: int
    versions: int
