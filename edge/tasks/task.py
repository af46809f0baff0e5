"""The task record: what was asked (`Request`, never changes) and how far it is (`Task`).

Times in nanoseconds are on one of three scales (`edge.clock.Moment`). Those ending in ``_run_ns``
say how long the node had run, and are what is measured and put in order by; ``due_ns`` is on the
schedule's scale. All others are Unix time, for people. Durations are given in milliseconds.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, TypeVar

import orjson

from edge.conversation import AUTO, Message, as_stored, message_from_stored
from edge.tasks import logprobs
from edge.tasks.flows import ACCOUNT_END
from edge.tasks.kinds import Kinds, check_all
from edge.tasks.line import LEVEL_DEFAULT
from edge.tasks.text import Text

_T = TypeVar("_T")


class State(StrEnum):
    """The states of a task, as in Oban's job life cycle (without ``suspended``)."""

    SCHEDULED = "scheduled"
    AVAILABLE = "available"
    EXECUTING = "executing"
    RETRYABLE = "retryable"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DISCARDED = "discarded"


_BIAS_BYTES: Final = 128

UNREADABLE: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading a damaged row may raise, whatever is wrong with it."""

TERMINAL: Final = frozenset({State.COMPLETED, State.CANCELLED, State.DISCARDED})
"""States that a task leaves only when somebody asks for a retry."""

ENGINE_DIED: Final = "engine_died"
"""The code of an attempt that ended the engine, and this task must have been the cause."""

TOOL_CALLS: Final = "tool_calls"
"""Why a text ended that calls tools."""

ERRORS_KEPT_MAX: Final = 20
"""Errors kept with a task; of more, the first and the last ones are kept."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to generate. The meanings are those of the engine's sampling parameters;
    ``response_format`` is JSON text (see `edge.structured.formats`), None for any text."""

    max_tokens: int = 256
    temperature: float = 0.7
    top_p: float = 0.95
    top_k: int = 40
    min_p: float = 0.05
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    response_format: str | None = None
    # What came later has a value for requests that were stored before.
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    typical_p: float = 1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    logprobs: int | None = None
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")

    def by_name(self) -> dict[str, Any]:
        """All of them, in their order."""
        return dict(zip(Options.__slots__, _option_values(self), strict=True))

    def told(self) -> dict[str, Any]:
        """By name; those that came later only where they are not what they are by default. So what
        is asked for without them is told as it was before there were any."""
        return {
            name: value
            for name, value in self.by_name().items()
            if name not in _LATER_OPTIONS or value != _LATER_OPTIONS[name]
        }


_FIRST_OPTIONS: Final = 9
_option_values: Final = attrgetter(*Options.__slots__)
_LATER_OPTIONS: Final = dict(list(Options().by_name().items())[_FIRST_OPTIONS:])


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked for. Exactly one of ``prompt`` and ``messages`` is given.

    ``priority`` 0 is served first, 9 last. ``timeout_ms`` bounds one attempt, None means no bound.
    ``metadata`` is JSON text that the client gets back as it was, but for a number with a fraction,
    which is the nearest of 64 bits (RFC 8259 section 6), and members named twice: the last counts.
    ``submission`` is a fingerprint of all that was submitted but for the id, whatever defaults were
    put in; None where it is not known.

    ``client`` may see the task. ``address`` tells callers apart where all of them are one client:
    on an open node, the network that it came from; None where a token has named its client.
    ``user`` is whom the client asks for, if it says so.

    ``tools`` are JSON text of a list of function tools in OpenAI's form, ``template_variables`` of
    an object of texts, numbers and booleans for the chat template. ``tool_choice`` is one of those
    of `edge.conversation`.

    ``model`` is one's own name, None for the node's own. ``keep_alive_ms`` is for how long that
    stays in memory that nobody uses, -1 for as long as there is room, None as the settings say.
    ``traceparent`` is what the client's tracing calls the request that it
    came with (W3C Trace Context).
    """

    task_id: str
    client: str
    prompt: str | None
    messages: tuple[Message, ...] | None
    model: str | None
    options: Options
    priority: int = LEVEL_DEFAULT
    max_attempts: int = 5
    timeout_ms: int | None = None
    fallback: bool = True
    idempotency_key: str | None = None
    metadata: str | None = None
    # What came later has a value for requests that were stored before.
    submission: str | None = None
    address: str | None = None
    user: str | None = None
    tools: str | None = None
    tool_choice: str = AUTO
    parallel_tool_calls: bool = True
    template_variables: str | None = None
    keep_alive_ms: int | None = None
    traceparent: str | None = None

    @property
    def account(self) -> str:
        """Who may have so many tasks at a time, all users together: the client, or the address."""
        return self.address or self.client

    @property
    def flow(self) -> str:
        """Whose tasks wait for one another, and not for those of others: a user's, or all of an
        account that names none."""
        return self.account if self.user is None else self.account + ACCOUNT_END + self.user

    @property
    def size_bytes(self) -> int:
        """What its texts take in memory, where a character may take four."""
        texts = [self.prompt or "", self.metadata or "", self.user or "", *self.options.stop]
        texts.append(self.options.response_format or "")
        texts += self.options.dry_sequence_breakers
        texts += self.asked_texts()
        biases = self.options.logit_bias
        # A pair, its two numbers and its place in the tuple.
        return sum(map(sys.getsizeof, texts)) + len(biases) * _BIAS_BYTES

    def asked_texts(self) -> Iterator[str]:
        """All texts that the model reads, but for the prompt."""
        for message in self.messages or ():
            yield from message.texts()
        for text in (self.tools, self.template_variables):
            if text is not None:
                yield text

    def to_json(self) -> bytes:
        """The request as stored; `request_from_json` is the inverse."""
        return orjson.dumps(self, default=as_stored)

    def is_repeated_by(self, later: Request) -> bool:
        """Whether a later submission says the same. True when that is not known."""
        known = self.submission is not None and later.submission is not None
        return not known or self.submission == later.submission

    def fingerprint(self) -> str:
        """Equal for requests that ask the same thing, whoever asks and whenever."""
        asked: list[Any] = [self.prompt, self.messages, self.model, self.options.told()]
        later = (self.tools, self.tool_choice, self.parallel_tool_calls, self.template_variables)
        if later != _NO_TOOLS:  # which is told only then, so that others are told as before
            asked += later
        return hashlib.sha256(orjson.dumps(asked, default=as_stored)).hexdigest()


_NO_TOOLS: Final = (None, AUTO, True, None)


def request_from_json(data: bytes) -> Request:
    """The inverse of `Request.to_json`. On anything else `UNREADABLE`."""
    fields: dict[str, Any] = orjson.loads(data)
    options = fields["options"]
    for name in {"stop", "dry_sequence_breakers"} & options.keys():
        options[name] = tuple(options[name])
        check_all(options[name], str)
    biases = tuple((token, bias) for token, bias in options.get("logit_bias", ()))
    check_all(tuple(token for token, _ in biases), int)
    check_all(tuple(bias for _, bias in biases), float)
    options["logit_bias"] = biases
    # What a client wrote is kept for as long as its task.
    written = options["stop"] or options["response_format"] or biases
    fields["options"] = Options(**options) if written else _options(**options)
    messages = fields["messages"]
    if messages is not None:
        fields["messages"] = tuple(map(message_from_stored, messages))
    for name in ("client", "address", "user"):
        # Thousands of tasks have the same.
        if fields.get(name) is not None:
            fields[name] = sys.intern(fields[name])
    request = _checked(Request(**fields))
    for json in (
        request.metadata,
        request.options.response_format,
        request.tools,
        request.template_variables,
    ):
        if json is not None:
            orjson.loads(json)  # documents contain it unread
    return request


@lru_cache(maxsize=256)
def _options(**fields: Any) -> Options:
    """Most requests ask for the same: a hundred thousand of them share one object."""
    return _checked(Options(**fields))


@dataclass(frozen=True, slots=True)
class TaskError:
    """One failure of one attempt, as kept and shown. ``code`` is stable, ``message`` for people."""

    attempt: int
    at_ns: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of the last attempt. ``cached_tokens`` of the prompt were in the engine already."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went, in milliseconds, while the node ran: over a restart, what was measured
    in each life is added up. None until known. ``ran_ms`` is from its first turn to its end,
    ``total_ms`` from when it was first ready to run."""

    queued_ms: float | None = None
    prefill_ms: float | None = None
    ttft_ms: float | None = None
    decode_ms: float | None = None
    ran_ms: float | None = None
    total_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Fallback:
    """Somebody else than the model goes on with the text, from character ``offset``; ``source`` is
    history, fallback_model or notice. The model had made ``tokens`` before."""

    source: str
    offset: int
    tokens: int


@dataclass(slots=True)
class Task:
    """One task's whole state. Only its actor changes it, and only through `machine.apply`.

    ``offset`` of a text counts Unicode code points, which is what ``len`` of a Python string says.
    ``ready_run_ns`` is since when it waits for its turn, None once it has had it; ``begun_run_ns``
    is its first turn, None before. ``due_ns`` is when it will be ready that is not; see
    `edge.tasks.schedule`.
    ``version`` counts stored versions, ``seq`` the events told to clients.
    ``text_floor`` is the shortest that the text was ever cut back to, by a recovery or a retry,
    None when it never was: what a client had beyond may differ from what came in its place.
    ``prefill_done`` tokens of ``usage.prompt_tokens`` have been read by the model so far.
    ``tokens`` are those of the model that runs it now. ``fallback_turn`` says that its turn is
    the fallback's and no attempt, ``fallback`` where the text is no longer the model's. ``tag`` is
    its place in the line (`edge.tasks.line`), None until it has one. ``logprobs`` are lines about
    all its tokens, whichever model made them, where they were asked for (`edge.tasks.logprobs`).
    ``dialect`` is how its text says calls of tools and what the model thinks
    (`edge.answers.dialects.Form.written`), None where the text is its content; of its tokens so
    many were ``reasoning_tokens``.
    """

    request: Request
    state: State
    created_ns: int
    ready_run_ns: int | None = 0
    begun_run_ns: int | None = None
    due_ns: int | None = None
    scheduled_ns: int | None = None
    started_ns: int | None = None
    finished_ns: int | None = None
    attempt: int = 0
    max_attempts: int = 5
    version: int = 0
    seq: int = 0
    output: Text = field(default_factory=Text)
    tokens: list[int] = field(default_factory=list)
    prefill_done: int = 0
    usage: Usage = Usage()
    timings: Timings = Timings()
    finish_reason: str | None = None
    source: str | None = None
    errors: tuple[TaskError, ...] = ()
    text_floor: int | None = None
    fallback_turn: bool = False
    fallback: Fallback | None = None
    tag: float | None = None
    logprobs: tuple[str, ...] = ()
    dialect: str | None = None
    reasoning_tokens: int = 0

    @property
    def task_id(self) -> str:
        return self.request.task_id

    @property
    def terminal(self) -> bool:
        return self.state in TERMINAL

    @property
    def text(self) -> str:
        """The output so far. Who wants to know only how long it is takes ``len(task.output)``."""
        return str(self.output)

    def resume_offset(self, offset: int) -> int:
        """Where a client reads on that has the first ``offset`` characters, as far as they still
        hold."""
        floor = len(self.output) if self.text_floor is None else self.text_floor
        return min(offset, floor, len(self.output))

    @property
    def tokens_made(self) -> int:
        """Output tokens in all, whichever model made them."""
        return len(self.tokens) + (self.fallback.tokens if self.fallback else 0)

    @property
    def beyond_model(self) -> bool:
        """The model can do nothing more for it while it waits: its attempts are used up, or
        another has gone on with the text."""
        return self.fallback is not None or self.attempt >= self.max_attempts

    @property
    def ended_engine(self) -> bool:
        """It has ended the engine before."""
        return bool(self.errors) and self.errors[-1].code == ENGINE_DIED

    def add_error(self, error: TaskError) -> None:
        """Remembers an error, within `ERRORS_KEPT_MAX`."""
        kept = (*self.errors, error)
        self.errors = kept if len(kept) <= ERRORS_KEPT_MAX else (kept[0], *kept[2:])

    def snapshot(self) -> Snapshot:
        """The state as it is now, in a form that later changes do not touch."""
        return Snapshot(**_shared(self), tokens=tuple(self.tokens))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A task's state at one moment, cheap to take: it shares every string with the task."""

    request: Request
    state: State
    created_ns: int
    ready_run_ns: int | None
    begun_run_ns: int | None
    due_ns: int | None
    scheduled_ns: int | None
    started_ns: int | None
    finished_ns: int | None
    attempt: int
    max_attempts: int
    version: int
    seq: int
    text: str
    tokens: tuple[int, ...]
    usage: Usage
    timings: Timings
    finish_reason: str | None
    source: str | None
    errors: tuple[TaskError, ...]
    text_floor: int | None
    # What came later has a value for snapshots that were stored before.
    fallback_turn: bool = False
    fallback: Fallback | None = None
    tag: float | None = None
    logprobs: tuple[str, ...] = ()
    dialect: str | None = None
    reasoning_tokens: int = 0

    def restore(self) -> Task:
        """A task that continues where this snapshot was taken."""
        fields = _shared(self)
        output = Text(fields.pop("text"))
        return Task(**fields, output=output, tokens=list(self.tokens))

    def to_json(self) -> bytes:
        """Everything but the request, which is stored once on its own."""
        values = zip(_STORED_NAMES, _stored_values(self), strict=True)
        return orjson.dumps(dict(values))


def snapshot_from_json(request: Request, data: bytes) -> Snapshot:
    """The inverse of `Snapshot.to_json`. On anything else `UNREADABLE`."""
    fields: dict[str, Any] = orjson.loads(data)
    if "ready_run_ns" not in fields:
        _count_from_now(fields)
    fields["fallback_turn"] = fields.pop(_STORED_FALLBACK_TURN, False)
    fields["state"] = _STATES[fields["state"]]
    fields["tokens"] = tuple(fields["tokens"])
    check_all(fields["tokens"], int)
    fields["logprobs"] = tuple(fields.get("logprobs", ()))
    for line in fields["logprobs"]:
        logprobs.read(line)  # what is shown of it is made of this
    usage, timings = fields["usage"], fields["timings"]
    fields["usage"] = _NO_USAGE if usage == _NO_USAGE_FIELDS else _checked(Usage(**usage))
    fields["timings"] = (
        _NO_TIMINGS if timings == _NO_TIMINGS_FIELDS else _checked(Timings(**timings))
    )
    errors = fields["errors"]
    fields["errors"] = tuple(_checked(TaskError(**each)) for each in errors) if errors else ()
    fallback = fields.get("fallback")
    fields["fallback"] = _checked(Fallback(**fallback)) if fallback else None
    return _checked(Snapshot(request=request, **fields))


def _count_from_now(fields: dict[str, Any]) -> None:
    """A snapshot from before it was counted how long the node runs: all in it was before that."""
    available_ns = fields.pop("available_ns")
    ready_ns = fields["created_ns"] if available_ns is None else available_ns
    started_ns = fields["started_ns"]
    had_turn = started_ns is not None and started_ns > ready_ns
    fields |= {
        "ready_run_ns": None if had_turn or fields["state"] == State.EXECUTING else 0,
        "begun_run_ns": None if started_ns is None else 0,
        "due_ns": None,
    }


# A start reads a hundred thousand snapshots: a look-up is cheaper than the class.
_STATES: Final = {str(state): state for state in State}
# Tasks that wait share these.
_NO_USAGE: Final = Usage()
_NO_TIMINGS: Final = Timings()
_NO_USAGE_FIELDS: Final = asdict(_NO_USAGE)
_NO_TIMINGS_FIELDS: Final = asdict(_NO_TIMINGS)

_KINDS: Final[dict[type[Any], Kinds]] = {
    kind: Kinds(kind) for kind in (Request, Options, TaskError, Usage, Timings, Fallback, Snapshot)
}


def _checked(value: _T) -> _T:
    _KINDS[type(value)].check(value)
    return value


_STORED_FALLBACK_TURN: Final = "detour"
"""The name of ``fallback_turn`` in the database, which older versions gave it."""
_STORED: Final = tuple(name for name in Snapshot.__slots__ if name != "request")
_STORED_NAMES: Final = tuple(
    _STORED_FALLBACK_TURN if name == "fallback_turn" else name for name in _STORED
)
_stored_values: Final = attrgetter(*_STORED)

_SHARED: Final = tuple(name for name in Snapshot.__slots__ if name != "tokens")
"""The fields that a task and its snapshot have alike: immutable values, shared by both."""
_values_of_shared: Final = attrgetter(*_SHARED)


def _shared(state: Task | Snapshot) -> dict[str, Any]:
    return dict(zip(_SHARED, _values_of_shared(state), strict=True))
