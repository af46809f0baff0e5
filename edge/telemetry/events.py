"""The table of all events, and the one way to emit and to hear them.

An event is a name from `EVENTS` and its fields. Handlers run synchronously, in the order in which
they were attached, on the loop's thread: they have to be quick and must not raise. A handler that
does raise is detached, because telemetry must never take the node down.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, NamedTuple

logger = logging.getLogger("elwift.telemetry")

EVENTS: Final[dict[str, str]] = {
    # name: fields, with units in their names
    "node.started": "url, model, database",
    "node.draining": "running, queued",
    "queue.paused": "running, queued",
    "queue.resumed": "queued",
    "node.stopped": "orphaned: tasks left for the next start",
    "clock.set": "by_ms: how far somebody set the wall clock",
    "actor.crashed": "name, error: the exception",
    "actor.overflowed": "name, mailbox_messages",
    "supervisor.restarted": "child, restarts",
    "supervisor.exhausted": "supervisor, child",
    "engine.probed": "safe_mode, exit_code",
    "engine.started": "pid",
    "engine.ready": "pid, model, slots, load_ms",
    "engine.stalled": "pid, silent_ms",
    "engine.died": "pid, reason, running",
    "engine.backoff": "in_ms, deaths",
    "engine.given_up": "reason",
    "engine.step": "running, waiting, tokens: generated, batch_tokens, decode_us",
    "engine.cache": (
        "in_place, copied, fetched, unshared, reused_tokens, put_away, evicted, requeued,"
        " shelf_caches, shelf_bytes: as `edge.engine.messages.CacheUse`, since the engine's start"
    ),
    "store.opening": "path, elapsed_ms: it goes on",
    "store.opened": "path, tasks_unfinished",
    "store.quarantined": "path, kept_as, reason",
    "store.committed": "rows, commits_waiting, commit_us",
    "store.failed": "error, rows_waiting",
    "store.recovered": "rows",
    "store.pruned": "tasks, versions",
    "estimates.forgotten": "reason: why what an earlier run has learnt is not used",
    "store.prune_failed": "error",
    "tasks.recovering": "tasks: read so far",
    "task.accepted": "task_id, client",
    "task.started": "task_id, attempt, queued_ms",
    "task.first_text": "task_id, ttft_ms",
    "task.retrying": "task_id, attempt, in_ms, error",
    "task.finished": (
        "task_id, state, source, duration_ms: since it was ready to run, completion_tokens"
    ),
    "fallback.opened": "reason: of the outage",
    "fallback.closed": "",
    "fallback.engine": "event: one of the engine's, fields: of it",
    "socket.opened": "client",
    "socket.closed": "client, code, reason",
    "channel.joined": "topic",
    "channel.crashed": "topic, error",
}


class Event(NamedTuple):
    """One thing that happened. ``fields`` are those that `EVENTS` names for it."""

    name: str
    fields: dict[str, object]


Handler = Callable[[Event], object]


class Telemetry:
    """Where events are emitted and heard. One for the whole node, handed to who needs it."""

    def __init__(self) -> None:
        self._handlers: list[Handler] = []

    def attach(self, handler: Handler) -> Callable[[], None]:
        """Hears every event from now on; returns what ends that."""
        self._handlers.append(handler)

        def detach() -> None:
            if handler in self._handlers:
                self._handlers.remove(handler)

        return detach

    def emit(self, name: str, /, **fields: object) -> None:
        """Tells all handlers. An unknown name is a defect of the caller and raises KeyError."""
        if name not in EVENTS:
            raise KeyError(f"{name!r} is not in the table of events")
        if not self._handlers:
            return
        event = Event(name, fields)
        for handler in tuple(self._handlers):
            try:
                handler(event)
            except Exception:
                self._handlers.remove(handler)
                logger.exception("a handler of %s raised and was detached", name)
