"""The table of all events: what each means, what it measures, and what it is about.

Measurements are what can be counted, summed or plotted, with their units in their names; metadata
say which one it was. Every emission in `edge/` has exactly these fields, of these types
(`tests/unit/telemetry/test_emissions.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

Fields = Mapping[str, Any]
"""Types by the names of the fields: whatever `isinstance` takes."""

_NONE: Final[Fields] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table. ``what`` is a sentence for people."""

    what: str
    measurements: Fields
    metadata: Fields

    @property
    def fields(self) -> dict[str, Any]:
        """The types of both."""
        return {**self.measurements, **self.metadata}


def _row(what: str, measured: Fields = _NONE, about: Fields = _NONE) -> Kind:
    return Kind(what, MappingProxyType(dict(measured)), MappingProxyType(dict(about)))


NUMBER: Final = int | float
MAYBE: Final = int | float | None
"""A number, or None where it is not known."""
TEXT: Final = str | None

_REQUEST: Final[Fields] = {"method": str, "route": str, "request_id": str}

_CACHE: Final = dict.fromkeys(
    (
        "in_place", "copied", "fetched", "unshared", "reused_tokens", "put_away", "evicted",
        "requeued", "shelf_caches", "shelf_bytes",
    ),
    int,
)  # fmt: skip

EVENTS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "node.started": _row("The node serves.", about={"url": str, "model": str, "database": str}),
        "node.draining": _row(
            "It takes nothing new, and what runs may end.", {"running": int, "queued": int}
        ),
        "node.stopped": _row("It has ended; `orphaned` tasks are left.", {"orphaned": int}),
        "queue.paused": _row("Somebody paused the queue.", {"running": int, "queued": int}),
        "queue.resumed": _row("It goes on.", {"queued": int}),
        "clock.set": _row("Somebody set the wall clock, by so much.", {"by_ms": NUMBER}),
        "actor.crashed": _row("An actor raised.", about={"name": str, "error": BaseException}),
        "actor.overflowed": _row(
            "More waits for an actor than its mailbox holds.",
            {"mailbox_messages": int},
            {"name": str},
        ),
        "supervisor.restarted": _row(
            "A child was started anew, for the so many-th time.", {"restarts": int}, {"child": str}
        ),
        "supervisor.exhausted": _row(
            "A child crashed too often and was given up.", about={"supervisor": str, "child": str}
        ),
        "engine.probed": _row(
            "The engine was tried out, and ended so.",
            about={"safe_mode": bool, "exit_code": int | None},
        ),
        "engine.started": _row("A process of the engine was started.", about={"pid": int}),
        "engine.ready": _row(
            "It has loaded its model.",
            {"slots": int, "load_ms": NUMBER},
            {"pid": int, "model": str},
        ),
        "engine.stalled": _row("It is silent.", {"silent_ms": NUMBER}, {"pid": int | None}),
        "engine.died": _row(
            "It is gone, and so many tasks lost it.",
            {"running": int},
            {"pid": int | None, "reason": str},
        ),
        "engine.backoff": _row("It is started again later.", {"in_ms": NUMBER, "deaths": int}),
        "engine.given_up": _row("It is not started again for long.", about={"reason": str}),
        "engine.step": _row(
            "One decode step: `tokens` were generated, `batch_tokens` given to the model."
            " Prompts that got their slots have `prefilled_tokens` to be read; `reused_tokens` were"
            " in a cache.",
            {
                "running": int,
                "waiting": int,
                "tokens": int,
                "batch_tokens": int,
                "decode_us": NUMBER,
                "prefilled_tokens": int,
                "reused_tokens": int,
            },
        ),
        "engine.cache": _row(
            "What came of the caches of prompts since the engine's start, as"
            " `edge.engine.messages.CacheUse` has it.",
            _CACHE,
        ),
        "store.opening": _row(
            "The database is being opened for so long.", {"elapsed_ms": NUMBER}, {"path": str}
        ),
        "store.opened": _row("It is open.", {"tasks_unfinished": int}, {"path": str}),
        "store.quarantined": _row(
            "It could not be read and was put aside.",
            about={"path": str, "kept_as": str, "reason": str},
        ),
        "store.committed": _row(
            "Rows are durable, `commits_waiting` writers are told.",
            {"rows": int, "commits_waiting": int, "commit_us": NUMBER},
        ),
        "store.failed": _row("The disk refuses.", {"rows_waiting": int}, {"error": BaseException}),
        "store.recovered": _row("It takes rows again; so many had waited.", {"rows": int}),
        "store.pruned": _row("What was kept for long is gone.", {"tasks": int, "versions": int}),
        "store.prune_failed": _row("That could not be done.", about={"error": BaseException}),
        "estimates.forgotten": _row(
            "What an earlier run has learnt is not used.", about={"reason": str}
        ),
        "tasks.recovering": _row("So many unfinished tasks have been read.", {"tasks": int}),
        "task.accepted": _row("A task is durable.", about={"task_id": str, "client": str}),
        "task.started": _row(
            "It has its turn.", {"queued_ms": MAYBE, "attempt": int}, {"task_id": str}
        ),
        "task.first_text": _row("It has said something.", {"ttft_ms": MAYBE}, {"task_id": str}),
        "task.retrying": _row(
            "An attempt failed; there is another one.",
            {"attempt": int, "in_ms": NUMBER},
            {"task_id": str, "error": str},
        ),
        "task.finished": _row(
            "It has ended, and that is durable; `duration_ms` since it was ready to run.",
            {"duration_ms": MAYBE, "decode_ms": MAYBE, "completion_tokens": int},
            {"task_id": str, "state": str, "source": TEXT},
        ),
        "fallback.opened": _row("Tasks may be answered without the model.", about={"reason": str}),
        "fallback.closed": _row("The model answers again."),
        "fallback.engine": _row(
            "One of the engine's events, of the fallback's engine.",
            about={"event": str, "fields": dict},
        ),
        "model.engine": _row(
            "One of the engine's events, of another model than the node's own.",
            about={"model": str, "event": str, "fields": dict},
        ),
        "embedding.engine": _row(
            "One of the engine's events, of an engine that turns texts into vectors.",
            about={"event": str, "fields": dict},
        ),
        "socket.opened": _row("A Phoenix socket.", about={"client": str}),
        "socket.closed": _row(
            "It is closed.", about={"client": str, "code": int | None, "reason": TEXT}
        ),
        "channel.joined": _row("A topic was joined.", about={"topic": str}),
        "channel.crashed": _row(
            "A channel ended through a defect.", about={"topic": str, "error": object}
        ),
        "request.start": _row("A request came.", about=_REQUEST),
        "request.stop": _row(
            "It is answered; `cause` is the code of the error, if it is one. A socket or a stream"
            " is answered when it has ended.",
            {"duration_us": int, "status": int},
            {**_REQUEST, "cause": TEXT},
        ),
        "request.exception": _row(
            "Its connection ended before.",
            {"duration_us": int},
            {**_REQUEST, "error": BaseException},
        ),
        "telemetry.detached": _row(
            "A handler raised at an event and hears no more.",
            about={"handler": str, "event": str, "error": BaseException},
        ),
    }
)
"""All events, by name."""
