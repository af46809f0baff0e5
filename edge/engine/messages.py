"""What crosses the pipe between the node and its engine process, and how it is framed.

A frame is a four-byte big-endian length followed by that many bytes of JSON: an array whose first
element names the message and whose others are its fields in the order of the class. Both ends are
ours and of one version, so there is no negotiation; but a frame is checked as if it came from
anywhere, because an engine that dies in the middle of a write leaves half a frame behind.

Pure: no sockets, no time. Both directions share one `FrameReader` and one `encode`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Final

import orjson

from edge.conversation import AUTO, message_from_pipe
from edge.conversation import Message as Said

BODY_BYTES_LIMIT: Final = 64 * 1024 * 1024
"""What ``server.body_bytes_max`` may be set to at most, because of what follows from it here."""
_ESCAPED_BYTES: Final = 6
"""What one byte of text takes in JSON at most, where control characters are written as numbers."""
_RESUMED_BYTES: Final = 64 * 1024 * 1024
"""For what was generated so far: 1,048,576 tokens, the longest context, with 8 digits each and a
comma are 9 MiB, and the other model's text that they may follow is of that order."""

TO_ENGINE_BYTES_MAX: Final = _ESCAPED_BYTES * BODY_BYTES_LIMIT + _RESUMED_BYTES
"""The longest frame to the engine: any request that was let in, with all that has come of it."""
FROM_ENGINE_BYTES_MAX: Final = 64 * 1024 * 1024
"""The longest frame from the engine: a step has a token for each sequence, of some hundred bytes at
most; one that resumes may owe all its text at once."""
REQUESTS_MAX: Final = 10_000
"""Requests that an engine has at a time, running or waiting, at most. It has 256 slots at most, and
the node sends as many and no more; the rest is for those that were cancelled and have not ended
yet, because a step takes long."""

BACKEND_BROKEN_STATUS: Final = 69
"""How the engine exits when llama.cpp's backend is of no more use (EX_UNAVAILABLE of sysexits.h).
No task is to blame. Status 1 is a defect, of which one may be the cause."""

_LENGTH: Final = struct.Struct(">I")


class PipeError(Exception):
    """The other end of the pipe sent something that is no message; the pipe is of no more use. Or,
    when it is about to be sent: this is no message, and the pipe is as good as before."""


class FrameTooLarge(PipeError):
    """This message is over the limit of its direction; nothing of it has been sent."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen and when to stop.

    ``temperature`` 0 is greedy. ``top_k`` 0, ``top_p`` 1 and ``min_p`` 0 switch that filter off.
    ``seed`` None lets the engine choose. ``grammar`` is GBNF that the output has to follow.

    A seed repeats its text, also behind a resume, for as long as it runs alone in an engine that
    has just started. What runs beside it may change the last bits of its logits (beside three
    others 2 of 20 texts of 60 tokens went on in another way), and so may what others left in the
    cache. Mirostat is what no resume repeats: it begins to learn anew.

    What follows is off as it stands here, and means what it means to llama.cpp. The ``last_n`` are
    how many tokens back a penalty looks, prompt included; -1 is the whole context. ``logit_bias``
    are pairs of a token id and what is added to its logit. ``mirostat`` 1 or 2 takes the place of
    all that leaves tokens out. Over ``dry_sequence_breakers`` DRY sees no repetition.

    ``logprobs`` asks how likely each token was, beside so many others; None does not ask.
    """

    max_tokens: int = 256
    temperature: float = 0.7
    top_p: float = 0.95
    top_k: int = 40
    min_p: float = 0.05
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    grammar: str | None = None
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


NOT_BESIDE_A_GRAMMAR: Final = (
    # Once the grammar is complete only an end is allowed.
    "ignore_eos",
    # It takes more than a float can say off the token that goes on a long repetition.
    "dry_multiplier",
)
"""Members of `Sampling` that could leave none of the tokens that a grammar allows: llama.cpp ends
the process when another is chosen, so they are refused where they are not off."""


# ---- node to engine


@dataclass(frozen=True, slots=True)
class Generate:
    """Run this request in a slot. Exactly one of ``prompt`` (completed as it is) and ``messages``
    (through the model's chat template) is given.

    ``resume_tokens`` are output tokens of an earlier engine that is gone, and ``resume_chars`` how
    many characters of text the node has from them: generation goes on behind the tokens, and no
    character that the node has is sent again. ``begun`` is a text, of another model, with which the
    answer begins: it is read like the prompt and not sent either. ``key`` is the node's, unique for
    this engine's life. ``tools`` and ``variables`` are JSON text for the template: a list of
    function tools, and what else it sees by name. Of the tools one may be called, or has to be, as
    ``tool_choice`` says (`edge.conversation`); several at once only if ``parallel_tool_calls``.
    """

    key: int
    prompt: str | None
    messages: tuple[Said, ...] | None
    sampling: Sampling
    resume_tokens: tuple[int, ...] = ()
    resume_chars: int = 0
    begun: str = ""
    tools: str | None = None
    variables: str | None = None
    tool_choice: str = AUTO
    parallel_tool_calls: bool = True


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop this sequence before the next decode step, or before there is one; a step that serves
    no other is ended where it is (on the CPU). Unknown keys are
    ignored: it may have ended while the message was under way. Answered by a `Finished` with reason
    ``cancelled``, also where it ends a `Count`. It overtakes all that is not prepared yet."""

    key: int


@dataclass(frozen=True, slots=True)
class Count:
    """How many tokens is this prompt? Answered by `Counted` or `Rejected` with the same key. What
    it has in common with `Generate` means the same."""

    key: int
    prompt: str | None
    messages: tuple[Said, ...] | None
    tools: str | None = None
    variables: str | None = None


@dataclass(frozen=True, slots=True)
class Embed:
    """Turn each of these texts into a vector; to an engine of embeddings alone, which answers with
    one `Embedded`, `Unfit` or `Rejected`, or not at all once it is cancelled. Beside a ``query``
    each text is a document, and what is wanted is one number: how well it answers that. With
    ``truncate`` what is too long loses its end. ``dimensions`` are the first of a vector that are
    wanted, all for 0; ``as_json`` says how they are to be written."""

    key: int
    texts: tuple[str, ...]
    query: str | None = None
    truncate: bool = False
    dimensions: int = 0
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Ping:
    """Answered by `Pong` between two decode steps, or within one that has come further since the
    last `Ping`: so an answer proves that steps are made."""

    nonce: int


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Finish the current step and exit with status 0."""


# ---- engine to node


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded and has decoded a token. ``context_tokens`` is what one sequence may use.
    ``safe_mode`` is True when it runs with the CPU's extra buffer types switched off because the
    fast setting crashed in the probe. ``longest_token_bytes`` times ``context_tokens`` are more
    bytes than any prompt that fits; 0 when there is no such bound. ``template_fault`` says why
    requests with more than a user's one message are refused, which is run as a bare prompt; empty
    when the chat template is well. ``dialect`` is that of the template (`edge.answers.dialects`),
    ``native_tools`` that it tells the model of tools itself, ``thinks`` that it knows what a model
    thinks before it answers."""

    model: str
    parameters: int
    size_bytes: int
    vocab: int
    context_tokens: int
    slots: int
    safe_mode: bool
    description: str
    has_chat_template: bool
    longest_token_bytes: int = 0
    template_fault: str = ""
    dialect: str = ""
    native_tools: bool = False
    thinks: bool = False


@dataclass(frozen=True, slots=True)
class EmbeddingReady:
    """As `Ready`, of an engine of embeddings: the model has made a vector. A vector has so many
    ``dimensions``; those of a model that ranks have one. ``pooling`` is how it is made of a text's
    tokens: mean, cls, last or rank."""

    model: str
    parameters: int
    size_bytes: int
    dimensions: int
    context_tokens: int
    pooling: str
    safe_mode: bool
    description: str


@dataclass(frozen=True, slots=True)
class Embedded:
    """Answer to `Embed`: a vector for each text, as Base64 of 32-bit floats, little-endian, or as a
    JSON array; and how many tokens each was, its query's and special ones included. Vectors have
    length one, also when they are cut. Of a model that ranks, each has one number, the higher the
    better."""

    key: int
    vectors: tuple[str, ...]
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unfit:
    """Answer to `Embed`: its text number ``index`` has so many ``tokens``, which is none at all or
    more than a text may have. Nothing has been made of the others."""

    key: int
    index: int
    tokens: int
    context_tokens: int


@dataclass(frozen=True, slots=True)
class Tokenising:
    """The engine turns to the text of this `Generate` or `Count`. If it dies before it says another
    one or has answered this, it may have died of it."""

    key: int


@dataclass(frozen=True, slots=True)
class Loading:
    """So much of the model's file has been read, of a hundred; before `Ready`, now and then."""

    percent: int


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """The model cannot be used; the process exits after this. ``message`` is for people."""

    message: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """The sequence has a slot. Of ``prompt_tokens``, ``cached_tokens`` were there already.
    ``dialect`` is how its text says calls and what the model thinks, as
    `edge.answers.dialects.Form.written` has it; empty where the text is the answer's content."""

    key: int
    prompt_tokens: int
    cached_tokens: int
    dialect: str = ""


@dataclass(slots=True)
class Output:
    """What one step did for one sequence. Not to be changed: it is not frozen only because there
    are thousands a second, and a frozen one takes twice as long to make.

    While the prompt is read: ``prefilled`` counts the prompt tokens done and ``tokens`` is empty.
    While it generates: the new token ids, and the text that they completed. The text may lag
    behind the tokens: half a character or the beginning of a stop string is held back.

    ``logprobs`` has a line for each of the tokens where they were asked for, JSON:
    ``[text, logprob, offset, [[text, logprob], …]]``. Texts are bytes, each as the character of its
    number (Latin-1); logprobs natural logarithms of probabilities before any sampler. The offset
    is how many characters of the answer, what it was begun with and what was resumed among them,
    were whole before this token.
    """

    key: int
    prefilled: int
    tokens: tuple[int, ...]
    text: str
    logprobs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """The sequence has ended and its slot is free. ``text`` is what had been held back.
    ``reason`` is stop, length or cancelled. Durations are the engine's own, in milliseconds."""

    key: int
    reason: str
    text: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    prefill_ms: float
    decode_ms: float


@dataclass(frozen=True, slots=True)
class Step:
    """All that one decode step produced. ``running`` and ``waiting`` are the engine's own counts,
    ``decode_us`` the time in ``llama_decode``, ``batch_tokens`` how many tokens it was given."""

    step: int
    admitted: tuple[Admitted, ...]
    outputs: tuple[Output, ...]
    finished: tuple[Finished, ...]
    running: int
    waiting: int
    batch_tokens: int
    decode_us: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """The request cannot run; nothing of it is left in the engine. ``code`` is an error code of
    `edge.errors`, ``recoverable`` whether the same request may succeed at another time."""

    key: int
    code: str
    message: str
    recoverable: bool
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """Answer to `Count`: tokens of the prompt as it would be run, template included."""

    key: int
    tokens: int
    context_tokens: int


@dataclass(frozen=True, slots=True)
class Pong:
    """Answer to `Ping`. ``step`` counts the decode steps since the start that are done, and the
    one within which it is said. ``threads`` is how many llama.cpp works with now, 0 within a
    step."""

    nonce: int
    step: int
    threads: int = 0


@dataclass(frozen=True, slots=True)
class CacheUse:
    """What came of what is kept of prompts, since this engine has started; told before a `Pong`
    between two steps when it has changed. Each sequence that got a slot has found the beginning of
    its prompt ``in_place``, in another slot (``copied``), on the shelf (``fetched``) or nowhere
    (``unshared``); ``reused_tokens`` were not read for that. ``put_away`` caches went on the shelf,
    ``evicted`` ones had to go since a step had no room, and ``requeued`` sequences had to wait
    again. The shelf has ``shelf_caches`` of ``shelf_bytes`` now, those on disk included."""

    in_place: int = 0
    copied: int = 0
    fetched: int = 0
    unshared: int = 0
    reused_tokens: int = 0
    put_away: int = 0
    evicted: int = 0
    requeued: int = 0
    shelf_caches: int = 0
    shelf_bytes: int = 0


ToEngine = Generate | Embed | Cancel | Count | Ping | Shutdown
FromEngine = (
    Ready | Loading | LoadFailed | Tokenising | Step | Rejected | Counted | Pong | CacheUse
    | EmbeddingReady | Embedded | Unfit
)  # fmt: skip
Message = ToEngine | FromEngine

_TO_ENGINE: Final = (Generate, Embed, Cancel, Count, Ping, Shutdown)


def _plain(value: object) -> object:
    """A message as nested lists: positional, so that field names do not cross the pipe."""
    if is_dataclass(value) and not isinstance(value, type):
        return [_plain(getattr(value, f.name)) for f in fields(value)]
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _plain_step(step: Step) -> object:
    """As `_plain`, field by field: the decode loop stands still meanwhile, and looking the fields
    up takes thirty times as long."""
    outputs = [
        (each.key, each.prefilled, each.tokens, each.text, each.logprobs) for each in step.outputs
    ]
    admitted = _plain(step.admitted) if step.admitted else ()
    finished = _plain(step.finished) if step.finished else ()
    counts = (step.running, step.waiting, step.batch_tokens, step.decode_us)
    return (step.step, admitted, outputs, finished, *counts)


def encode(message: Message, bytes_max: int | None = None) -> bytes:
    """One whole frame. Text with lone surrogates cannot be encoded and raises `PipeError`;
    `FrameTooLarge` over `bytes_max`, which is by default what the direction allows."""
    name = type(message).__name__
    if bytes_max is None:
        bytes_max = (
            TO_ENGINE_BYTES_MAX if isinstance(message, _TO_ENGINE) else FROM_ENGINE_BYTES_MAX
        )
    plain = _plain_step(message) if type(message) is Step else _plain(message)
    try:
        body = orjson.dumps((name, plain))
    except orjson.JSONEncodeError as error:
        raise PipeError(f"cannot encode {name}: {error}") from error
    if len(body) > bytes_max:
        raise FrameTooLarge(
            f"it takes {len(body)} bytes between the node and its engine, where {bytes_max} are the"
            " most; shorten it"
        )
    return _LENGTH.pack(len(body)) + body


def _said(value: list[list[Any]] | None) -> tuple[Said, ...] | None:
    return None if value is None else tuple(map(message_from_pipe, value))


def _sampling(value: list[Any]) -> Sampling:
    sampling = Sampling(*value)
    biases = tuple((token, bias) for token, bias in sampling.logit_bias)
    return replace(
        sampling,
        stop=tuple(sampling.stop),
        logit_bias=biases,
        dry_sequence_breakers=tuple(sampling.dry_sequence_breakers),
    )


def _generate(key: int, prompt: Any, messages: Any, sampling: Any, tokens: Any, *rest: Any) -> Any:
    return Generate(key, prompt, _said(messages), _sampling(sampling), tuple(tokens), *rest)


def _step(step: int, admitted: Any, outputs: Any, finished: Any, *counts: int) -> Step:
    if not {type(each[0]) for each in (*admitted, *outputs, *finished)} <= {int}:
        raise TypeError("a key that is no number in a Step")
    return Step(
        step,
        tuple([Admitted(*item) for item in admitted]),
        tuple(
            [
                Output(key, done, tuple(ids), text, tuple(lines))
                for key, done, ids, text, lines in outputs
            ]
        ),
        tuple([Finished(*item) for item in finished]),
        *counts,
    )


def _count(key: int, prompt: Any, messages: Any, *rest: Any) -> Count:
    return Count(key, prompt, _said(messages), *rest)


def _embed(key: int, texts: Any, *rest: Any) -> Embed:
    return Embed(key, tuple(texts), *rest)


def _embedded(key: Any, vectors: Any, tokens: Any) -> Embedded:
    if type(key) is not int or {type(each) for each in vectors} - {str}:
        raise TypeError("no vectors in an Embedded")
    if len(vectors) != len(tokens) or {type(each) for each in tokens} - {int}:
        raise TypeError("no counts in an Embedded")
    return Embedded(key, tuple(vectors), tuple(tokens))


_SCALARS: Final[dict[str, tuple[type, ...]]] = {
    "int": (int,), "str": (str,), "bool": (bool,), "str | None": (str, type(None)),
}  # fmt: skip


def _flat(cls: type[Any]) -> Callable[..., Any]:
    """Builds a message that has numbers and texts alone, and each where it belongs."""
    kinds = [_SCALARS[str(field.type)] for field in fields(cls)]

    def build(*values: object) -> Any:
        for value, allowed in zip(values, kinds, strict=False):
            if type(value) not in allowed:
                raise TypeError(f"{value!r:.50} in a {cls.__name__}")
        return cls(*values)

    return build


# Of what comes with every step only the keys are looked at, by which it is handed on.
_BUILD: Final[dict[str, Callable[..., Any]]] = {
    "Generate": _generate, "Step": _step, "Count": _count, "Embed": _embed, "Embedded": _embedded,
}  # fmt: skip
_BUILD.update(
    (cls.__name__, _flat(cls))
    for cls in (
        Cancel,
        Ping,
        Shutdown,
        Ready,
        Loading,
        LoadFailed,
        Tokenising,
        Rejected,
        Counted,
        Pong,
        CacheUse,
        EmbeddingReady,
        Unfit,
    )
)


def decode(body: bytes | bytearray | memoryview) -> Message:
    """The message in a frame's body. Anything else raises `PipeError`."""
    try:
        name, values = orjson.loads(body)
        message: Message = _BUILD[name](*values)
    except (ValueError, TypeError, LookupError) as error:
        raise PipeError(f"not a message: {error}") from error
    return message


@dataclass(slots=True)
class FrameReader:
    """Cuts a stream of bytes into messages; holds at most one unfinished frame. A length over
    ``bytes_max`` can only be garbage."""

    bytes_max: int = TO_ENGINE_BYTES_MAX
    _buffer: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> list[Message]:
        """The messages that these bytes completed, in order. Raises `PipeError` on garbage, after
        which the reader must not be used."""
        rest = self._buffer
        # Nearly always whole frames come, and need not be copied to be read.
        if rest:
            rest += data
        messages: list[Message] = []
        start = 0
        with memoryview(rest or data) as view:
            size = len(view)
            while size - start >= _LENGTH.size:
                (size_bytes,) = _LENGTH.unpack_from(view, start)
                if size_bytes > self.bytes_max:
                    raise PipeError(f"a frame of {size_bytes} bytes is over the limit")
                end = start + _LENGTH.size + size_bytes
                if size < end:
                    break
                messages.append(decode(view[start + _LENGTH.size : end]))
                start = end
        if rest:
            del rest[:start]
        else:
            rest += data[start:]
        return messages
