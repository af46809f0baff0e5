"""Events as records of the log: what an admin has to hear of, and at the levels info and debug what
else happens. Nothing that a client or a model has written is in them.

A record has the event's name and its fields as ``event`` and ``fields``; how it is written is
`edge.telemetry.lines`."""

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
    "supervisor.restarted": (logging.INFO, "{child} was started anew"),
    "node.started": (logging.INFO, "the node serves {model} at {url}"),
    "node.draining": (logging.INFO, "the node stops: {running} tasks may end, {queued} wait"),
    "engine.ready": (logging.INFO, "the engine has loaded {model}, for {slots} tasks at a time"),
    "fallback.opened": (logging.WARNING, "tasks are answered without the model: {reason}"),
    "fallback.closed": (logging.WARNING, "the model answers again"),
    "task.accepted": (logging.INFO, "the task was accepted"),
    "task.started": (logging.INFO, "the task has its turn, attempt {attempt}"),
    "task.retrying": (logging.INFO, "the task is tried again in {in_ms} ms, attempt {attempt}"),
    "task.finished": (logging.INFO, "the task is {state}, with {completion_tokens} tokens"),
    "request.stop": (logging.DEBUG, "{method} {route} was answered with {status}"),
    "socket.opened": (logging.DEBUG, "a socket was opened"),
    "socket.closed": (logging.DEBUG, "a socket was closed: {code}"),
    "channel.joined": (logging.DEBUG, "a topic was joined"),
}
_NOT_TOLD: Final = {"task.retrying": ("error",)}
"""Sentences of others, in which anything may stand."""


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
        if not logger.isEnabledFor(level):
            return
        fields: dict[str, Any] = event.fields
        key = f"{event.name} {fields.get('error')}"
        if event.name == "store.failed" and key == last:
            return
        last = key
        error = fields.get("error") if event.name == "actor.crashed" else None
        message = sentence.format(**fields)
        hidden = _NOT_TOLD.get(event.name, ())
        told = {name: value for name, value in fields.items() if name not in hidden}
        logger.log(
            level, "%s", message, exc_info=error, extra={"event": event.name, "fields": told}
        )

    return telemetry.attach(hear, _SENTENCES)
