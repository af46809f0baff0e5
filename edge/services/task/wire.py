"""How a task looks to clients: documents, results and the payloads of its events.

The same shapes go over HTTP, the channel and Server-Sent Events.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import orjson

from edge.clock import NS_PER_US
from edge.conversation import choice_document
from edge.phoenix import Encoded
from edge.services.task.reading import message_of
from edge.tasks import logprobs as of_tokens
from edge.tasks.task import Options, Request, State, Task, TaskError

TOPIC_PREFIX: Final = "task:"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_US: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_LAST_US: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)

PAGE_CHARS: Final = 40_000
"""Output text in one message at most. JSON makes six bytes of the worst character, so a page is
under 256 KiB in any case; some clients refuse a message of 1 MiB."""

CHAR_BYTES_MAX: Final = 6
"""Of a character in JSON."""

CHAR_MEMORY_BYTES: Final = 4
"""What a character takes in memory at most."""

ASKED_CHARS: Final = 2_000
"""A prompt longer than this is left out of what channels send: who watches has written it."""

SHORT_CHARS: Final = 2_000
"""Text that is said at once. Longer text is said when its client has room for it."""


CATCH_UP: Final = "catch_up"
"""The phase of text that was there before somebody came to watch."""


class QueuePosition(NamedTuple):
    """Where a waiting task stands: 1 is next, and 0 means that its turn has come; ``eta_ms`` is the
    estimated wait for a slot, None where nobody knows. ``waits_for`` says what it waits for besides
    its turn, if anything; ``loaded_percent`` how much of its model is loaded, while it is."""

    position: int
    eta_ms: int | None
    waits_for: str | None = None
    loaded_percent: int | None = None

    def told(self) -> dict[str, Any]:
        """As clients hear it: while its model is loaded with the phase ``loading``, and with how
        much of that is done, of 1."""
        told: dict[str, Any] = {
            "position": self.position, "eta_ms": self.eta_ms, "waits_for": self.waits_for
        }  # fmt: skip
        if self.loaded_percent is not None:
            told |= {"phase": "loading", "loaded": self.loaded_percent / 100}
        return told


def topic(task_id: str) -> str:
    """The channel of a task."""
    return TOPIC_PREFIX + task_id


def rfc3339(at_ns: int | None) -> str | None:
    """Unix time as RFC 3339 in UTC with milliseconds. Any time has one: what is beyond the years 1
    to 9999, which are all that it can say, is shown as the first or the last of them."""
    if at_ns is None:
        return None
    at = _EPOCH + timedelta(microseconds=min(max(at_ns // NS_PER_US, _FIRST_US), _LAST_US))
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def progress_share(task: Task) -> float:
    """How much of the task is done, from 0 to 1: what the longest possible answer would take."""
    if task.terminal:
        return 1.0
    return _share(task, task.tokens_made)


def _share(task: Task, tokens: int) -> float:
    return round(min(1.0, tokens / max(1, task.request.options.max_tokens)), 4)


def error_document(error: TaskError) -> dict[str, Any]:
    """One failure, as listed in a task document."""
    return {
        "attempt": error.attempt,
        "at": rfc3339(error.at_ns),
        "code": error.code,
        "message": error.message,
    }


def result_document(task: Task, *, logprobs: bool = False) -> dict[str, Any] | None:
    """The result of an ended task, None before; a discarded one has none either. ``logprobs``,
    which may be long, are null unless they are wanted here and were asked for."""
    if task.state not in (State.COMPLETED, State.CANCELLED):
        return None
    timings = task.timings
    tokens = task.usage.completion_tokens
    rate = tokens * 1000 / timings.decode_ms if timings.decode_ms else None
    return {
        "text": task.text,
        "message": message_of(task),
        "finish_reason": task.finish_reason,
        "usage": {
            "prompt_tokens": task.usage.prompt_tokens,
            "cached_tokens": task.usage.cached_tokens,
            "completion_tokens": tokens,
            "reasoning_tokens": task.reasoning_tokens,
        },
        "timings": {
            "queued_ms": _rounded(timings.queued_ms),
            "prefill_ms": _rounded(timings.prefill_ms),
            "ttft_ms": _rounded(timings.ttft_ms),
            "decode_ms": _rounded(timings.decode_ms),
            "tokens_per_second": _rounded(rate),
        },
        "source": task.source,
        "degraded": task.source not in (None, "model"),
        "logprobs": _logprobs(task) if logprobs else None,
    }


def _logprobs(task: Task) -> list[dict[str, Any]] | None:
    if task.request.options.logprobs is None:
        return None
    return [of_tokens.shown(each) for each in of_tokens.between(task.logprobs, 0, len(task.output))]


def fallback_document(task: Task) -> dict[str, Any] | None:
    """From where on the text is not the model's, and whose it is; None when all of it is."""
    handed_over = task.fallback
    if handed_over is None:
        return None
    return {"source": handed_over.source, "offset": handed_over.offset}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def document(
    task: Task,
    *,
    position: QueuePosition | None = None,
    eta_ms: int | None = None,
    durable: bool = True,
    logprobs: bool = False,
) -> dict[str, Any]:
    """One task whole. `position` is known while it waits, `eta_ms` (until its end) while it
    runs. Its result has logprobs only where they are wanted: they are many times its text."""
    request = task.request
    asked: dict[str, Any] = {"prompt": request.prompt}
    if request.messages is not None:
        asked = {"messages": [message.document() for message in request.messages]}
    asked |= _tools(request)
    if request.traceparent is not None:
        asked["traceparent"] = request.traceparent
    return {
        "task_id": task.task_id,
        "topic": topic(task.task_id),
        "state": task.state,
        **asked,
        "model": request.model,
        "client": request.client,
        "user": request.user,
        "options": options_document(request.options),
        "priority": request.priority,
        "attempt": task.attempt,
        "max_attempts": task.max_attempts,
        "created_at": rfc3339(task.created_ns),
        "scheduled_at": rfc3339(task.scheduled_ns),
        "started_at": rfc3339(task.started_ns),
        "finished_at": rfc3339(task.finished_ns),
        "position": position.position if position else None,
        "eta_ms": position.eta_ms if position else eta_ms,
        "waits_for": position.waits_for if position else None,
        "progress": progress_share(task),
        "tokens": task.tokens_made,
        "fallback": fallback_document(task),
        "dialect": task.dialect,
        "seq": task.seq,
        "durable": durable,
        "metadata": _as_stored(request.metadata),
        "errors": [error_document(error) for error in task.errors],
        "result": result_document(task, logprobs=logprobs),
    }


def _tools(request: Request) -> dict[str, Any]:
    """What was asked of tools and of the template, as a client would send it; only what was."""
    asked: dict[str, Any] = {}
    if request.tools is not None:
        asked = {
            "tools": _as_stored(request.tools),
            "tool_choice": choice_document(request.tool_choice),
            "parallel_tool_calls": request.parallel_tool_calls,
        }
    if request.template_variables is not None:
        asked["template_variables"] = _as_stored(request.template_variables)
    return asked


def _as_stored(json: str | None) -> orjson.Fragment | None:
    """JSON text that is a part of a document. It is put in unread, so that whatever was accepted
    once can be written, however deep and wherever it stands."""
    return None if json is None else orjson.Fragment(json)


def options_document(options: Options) -> dict[str, Any]:
    """The options as a client would send them."""
    return options.by_name() | {
        "stop": list(options.stop),
        "dry_sequence_breakers": list(options.dry_sequence_breakers),
        "response_format": _as_stored(options.response_format),
        "logit_bias": {str(token): bias for token, bias in options.logit_bias},
    }


def chars_in(room_bytes: int) -> int:
    """How many characters are sure to fit, and make no message too long."""
    return min(PAGE_CHARS, room_bytes // CHAR_BYTES_MAX)


def for_channels(document: dict[str, Any], result_chars_max: int) -> dict[str, Any]:
    """The document without what would make a message too long; it is null there, and whole over
    HTTP. A long result's text has been, or will be, sent in pages."""
    slim = dict(document)
    if len(slim.get("prompt") or "") > ASKED_CHARS:
        slim["prompt"] = None
    if sum(map(_chars, slim.get("messages") or ())) > ASKED_CHARS:
        slim["messages"] = None
    form = slim["options"]["response_format"]
    if form is not None and len(orjson.dumps(form)) > ASKED_CHARS:
        slim["options"] = slim["options"] | {"response_format": None}
    for name in ("tools", "template_variables"):
        if slim.get(name) is not None and len(orjson.dumps(slim[name])) > ASKED_CHARS:
            slim[name] = None
    slim["result"] = result_for_channels(slim["result"], result_chars_max)
    return slim


def _chars(message: dict[str, Any]) -> int:
    further = len(message) > 2  # besides role and content
    return len(orjson.dumps(message)) if further else len(message["content"])


def result_for_channels(result: dict[str, Any] | None, chars_max: int) -> dict[str, Any] | None:
    """The result, its text and its message null where they are longer."""
    if result is None:
        return None
    chars = len(result["text"] or "")
    if chars > chars_max:
        result = result | {"text": None}
    if result["message"] is not None and 2 * chars > chars_max:
        result = result | {"message": None}
    return result


def end_event(document: dict[str, Any], chars_max: int = PAGE_CHARS) -> tuple[str, dict[str, Any]]:
    """Name and payload, but for its ``seq``, of the last event of a task that has ended; a text
    that is longer is null, since it has been sent in pages."""
    if document["state"] == State.COMPLETED:
        return "completed", {"result": result_for_channels(document["result"], chars_max)}
    if document["state"] == State.DISCARDED:
        return "failed", {"error": document["errors"][-1] if document["errors"] else None}
    return "cancelled", {}


class ProgressUpdate:
    """The payload of a ``progress`` event of a running task; later ones can be merged into it while
    it waits. One object is shared by all who watch, and so is its JSON: it is written once, when
    the first of them is written to, and what it costs to know is asked then. So ``left_ms``, which
    says until when the task runs, is called for what is really sent.

    ``offset`` and ``end`` are where its text begins and ends, ``tokens`` those made by then.
    """

    __slots__ = (
        "_encoded", "_left_ms", "_pieces", "_task", "end", "from_seq", "offset", "phase", "seq",
        "tokens",
    )  # fmt: skip

    def __init__(
        self, task: Task, phase: str, delta: str, offset: int, left_ms: Callable[[Task], int]
    ) -> None:
        """What the task has just been told of, under the number that it has now."""
        self._task = task
        self._left_ms = left_ms
        self._pieces = [delta]
        self._encoded: Encoded | None = None
        self.seq = self.from_seq = task.seq
        self.phase = phase
        self.offset = offset
        self.end = offset + len(delta)
        self.tokens = task.tokens_made

    @property
    def task_id(self) -> str:
        return self._task.request.task_id

    @property
    def dialect(self) -> str | None:
        """How the task's text says calls and what the model thinks; see `Task`."""
        return self._task.dialect

    @property
    def delta(self) -> str:
        """Its text."""
        return "".join(self._pieces)

    @property
    def logprobs(self) -> list[of_tokens.TokenLogprob]:
        """Of the tokens whose text begins within this one, where they were asked for. It is for
        who is in the node: the JSON of an update has none."""
        return of_tokens.between(self._task.logprobs, self.offset, self.end)

    @property
    def size_bytes(self) -> int:
        return 400 + CHAR_MEMORY_BYTES * (self.end - self.offset)

    def merge(self, later: ProgressUpdate) -> ProgressUpdate | None:
        """One update that says what both said; None when the later does not follow this one, or
        both are more than a page."""
        if later.end - self.offset > PAGE_CHARS:
            return None
        if later.from_seq != self.seq + 1 or later.offset != self.end:
            return None
        merged = ProgressUpdate.__new__(ProgressUpdate)
        merged._task, merged._left_ms, merged._encoded = later._task, later._left_ms, None
        merged.seq, merged.end, merged.tokens = later.seq, later.end, later.tokens
        merged.phase, merged.from_seq, merged.offset = later.phase, self.from_seq, self.offset
        # One that is merged already is nobody else's, nor are its pieces: they are not copied for
        # every token.
        merged._pieces = self._pieces if self.from_seq < self.seq else self._pieces.copy()
        merged._pieces += later._pieces
        return merged

    def payload(self) -> dict[str, Any]:
        """As clients see it; ``from_seq`` only where it stands for several."""
        task = self._task
        # It was told while the task ran. That it has ended since is told by nobody before the
        # commit.
        running = task.state is State.EXECUTING
        payload: dict[str, Any] = {
            "seq": self.seq,
            "state": State.EXECUTING,
            "phase": self.phase,
            "progress": _share(task, self.tokens),
            "tokens": self.tokens,
            "eta_ms": self._left_ms(task) if running else 0,
            "offset": self.offset,
            "delta": self.delta,
        }
        if self.from_seq < self.seq:
            payload["from_seq"] = self.from_seq
        return payload

    def encode(self) -> Encoded:
        if self._encoded is None:
            self._encoded = Encoded(orjson.dumps(self.payload()))
        return self._encoded


def caught_up(
    document: dict[str, Any], page: str, offset: int, from_seq: int, seq: int
) -> dict[str, Any]:
    """The payload of a ``progress`` event for text that was there before a client came for it. It
    stands for the events from one number to the other; for none of its own when it only repeats the
    last, and ``from_seq`` is beyond it."""
    payload = {
        "seq": seq,
        "state": document["state"],
        "phase": CATCH_UP,
        "progress": document["progress"],
        "tokens": document["tokens"],
        "eta_ms": document["eta_ms"] or 0,
        "dialect": document["dialect"],
        "offset": offset,
        "delta": page,
    }
    return payload | ({"from_seq": from_seq} if from_seq < seq else {})
