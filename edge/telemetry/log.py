"""What an admin has to hear of, as lines of the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from edge.telemetry.events import Event, Telemetry

logger = logging.getLogger("elwift")

_SENTENCES: Final[dict[str, tuple[int, str]]] = {
    "store.opening": (
        logging.WARNING,
        "{path} is being opened, since {elapsed_ms} ms; it takes as long as the disk needs",
    ),
    "tasks.recovering": (logging.WARNING, "{tasks} unfinished tasks have been read so far"),
    "store.quarantined": (
        logging.ERROR,
        "{path} could not be read and is kept as {kept_as}; a new one is begun ({reason})",
    ),
    "store.failed": (logging.ERROR, "{error}; {rows_waiting} rows are kept in memory"),
    "store.recovered": (logging.WARNING, "the database works again; {rows} rows had waited"),
    "store.prune_failed": (logging.WARNING, "{error}"),
    "store.pruned": (logging.INFO, "pruned {tasks} tasks and {versions} replaced versions"),
    "estimates.forgotten": (
        logging.WARNING,
        "waits are estimated without what was learnt before: {reason}",
    ),
    "clock.set": (
        logging.WARNING,
        "the wall clock was set by {by_ms} ms; dates follow it, and nothing else does",
    ),
    "queue.paused": (
        logging.WARNING,
        "the queue is paused: {running} tasks end, {queued} wait until it is resumed, or the node"
        " is started anew",
    ),
    "queue.resumed": (logging.WARNING, "the queue goes on; {queued} tasks wait"),
    "engine.stalled": (logging.WARNING, "the engine is silent for {silent_ms} ms"),
    "engine.died": (logging.ERROR, "the engine died: {reason}; {running} tasks were running"),
    "engine.given_up": (logging.ERROR, "the engine was given up: {reason}"),
    "actor.crashed": (logging.ERROR, "the actor {name} crashed: {error!r}"),
    "supervisor.exhausted": (logging.ERROR, "{child} was given up by {supervisor}"),
}


def log_events(telemetry: Telemetry) -> Callable[[], None]:
    """Writes such events to the log from now on; returns what ends that. A failure that repeats
    itself, such as each try of a full disk, is one line until something else happens."""
    last = ""

    def hear(event: Event) -> None:
        nonlocal last
        found = _SENTENCES.get(event.name)
        if found is None:
            return
        level, sentence = found
        fields: dict[str, Any] = event.fields
        key = f"{event.name} {fields.get('error')}"
        if event.name == "store.failed" and key == last:
            return
        last = key
        error = fields.get("error") if event.name == "actor.crashed" else None
        logger.log(level, sentence.format(**fields), exc_info=error)

    return telemetry.attach(hear)
