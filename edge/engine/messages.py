"""What crosses the pipe between the node and its engine process, and how it is framed.

A frame is a four-byte big-endian length followed by that many bytes of JSON: an array whose first
element names the message and whose others are its fields in the order of the class. Both ends are
ours and of one version, so there is no negotiation; but a frame is checked as if it came from
anywhere, because an engine that dies in the middle of a write leaves half a frame behind.

Pure: no sockets, no time. Both directions share one `FrameReader` and one `encode`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Final

import orjson

FRAME_BYTES_MAX: Final = 64 * 1024 * 1024
"""A larger length can only be garbage: the longest context has a few million tokens of text."""

_LENGTH: Final = struct.Struct(">I")


class PipeError(Exception):
    """The other end of the pipe sent something that is no message; the pipe is of no more use."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen and when to stop.

    ``temperature`` 0 is greedy. ``top_k`` 0, ``top_p`` 1 and ``min_p`` 0 switch that filter off.
    ``seed`` None lets the engine choose. ``grammar`` is GBNF that the output has to follow;
    ``json_schema`` a schema as JSON text, turned into a grammar by the engine.
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
    json_schema: str | None = None


# ---- node to engine


@dataclass(frozen=True, slots=True)
class Generate:
    """Run this request in a slot. Exactly one of ``prompt`` (completed as it is) and ``messages``
    (role and content pairs, through the model's chat template) is given.

    ``resume_tokens`` are output tokens of an earlier engine that is gone, and ``resume_chars`` how
    many characters of text the node has from them: generation goes on behind the tokens, and no
    character that the node has is sent again. ``begun`` is a text, of another model, with which the
    answer begins: it is read like the prompt and not sent either. ``key`` is the node's, unique for
    this engine's life.
    """

    key: int
    prompt: str | None
    messages: tuple[tuple[str, str], ...] | None
    sampling: Sampling
    resume_tokens: tuple[int, ...] = ()
    resume_chars: int = 0
    begun: str = ""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop this sequence before the next decode step. Unknown keys are ignored: it may have ended
    while the message was under way. Answered by a `Finished` with reason ``cancelled``."""

    key: int


@dataclass(frozen=True, slots=True)
class Count:
    """How many tokens is this prompt? Answered by `Counted` or `Rejected` with the same key."""

    key: int
    prompt: str | None
    messages: tuple[tuple[str, str], ...] | None


@dataclass(frozen=True, slots=True)
class Ping:
    """Answered by `Pong` from the decode loop itself, so an answer proves that steps are made."""

    nonce: int


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Finish the current step and exit with status 0."""


# ---- engine to node


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded and has decoded a token. ``context_tokens`` is what one sequence may use.
    ``safe_mode`` is True when it runs with the CPU's extra buffer types switched off because the
    fast setting crashed in the probe."""

    model: str
    parameters: int
    size_bytes: int
    vocab: int
    context_tokens: int
    slots: int
    safe_mode: bool
    description: str
    has_chat_template: bool


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """The model cannot be used; the process exits after this. ``message`` is for people."""

    message: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """The sequence has a slot. Of ``prompt_tokens``, ``cached_tokens`` were there already."""

    key: int
    prompt_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class Output:
    """What one step did for one sequence.

    While the prompt is read: ``prefilled`` counts the prompt tokens done and ``tokens`` is empty.
    While it generates: the new token ids, and the text that they completed. The text may lag
    behind the tokens: half a character or the beginning of a stop string is held back.
    """

    key: int
    prefilled: int
    tokens: tuple[int, ...]
    text: str


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
    """Answer to `Ping`. ``step`` counts the decode steps since the start."""

    nonce: int
    step: int


ToEngine = Generate | Cancel | Count | Ping | Shutdown
FromEngine = Ready | LoadFailed | Step | Rejected | Counted | Pong
Message = ToEngine | FromEngine

_TOP_LEVEL: Final[dict[str, type[Any]]] = {
    cls.__name__: cls
    for cls in (
        Generate, Cancel, Count, Ping, Shutdown,
        Ready, LoadFailed, Step, Rejected, Counted, Pong,
    )
}  # fmt: skip


def _plain(value: object) -> object:
    """A message as nested lists: positional, so that field names do not cross the pipe."""
    if is_dataclass(value) and not isinstance(value, type):
        return [_plain(getattr(value, f.name)) for f in fields(value)]
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def encode(message: Message) -> bytes:
    """One whole frame. Text with lone surrogates cannot be encoded and raises `PipeError`."""
    try:
        body = orjson.dumps([type(message).__name__, _plain(message)])
    except orjson.JSONEncodeError as error:
        raise PipeError(f"cannot encode {type(message).__name__}: {error}") from error
    return _LENGTH.pack(len(body)) + body


def _pairs(value: list[list[str]] | None) -> tuple[tuple[str, str], ...] | None:
    return None if value is None else tuple((role, content) for role, content in value)


def _sampling(value: list[Any]) -> Sampling:
    sampling = Sampling(*value)
    return Sampling(*[*value[:6], tuple(sampling.stop), *value[7:]])


def _generate(
    key: int, prompt: Any, messages: Any, sampling: Any, tokens: Any, chars: int, begun: str
) -> Any:
    pairs, how = _pairs(messages), _sampling(sampling)
    return Generate(key, prompt, pairs, how, tuple(tokens), chars, begun)


def _step(step: int, admitted: Any, outputs: Any, finished: Any, *counts: int) -> Step:
    return Step(
        step,
        tuple([Admitted(*item) for item in admitted]),
        tuple([Output(key, done, tuple(ids), text) for key, done, ids, text in outputs]),
        tuple([Finished(*item) for item in finished]),
        *counts,
    )


def _count(key: int, prompt: Any, messages: Any) -> Count:
    return Count(key, prompt, _pairs(messages))


_BUILD: Final[dict[str, Any]] = _TOP_LEVEL | {"Generate": _generate, "Step": _step, "Count": _count}


def decode(body: bytes | bytearray | memoryview) -> Message:
    """The message in a frame's body. Anything else raises `PipeError`."""
    try:
        name, values = orjson.loads(body)
        message: Message = _BUILD[name](*values)
    except (ValueError, TypeError, KeyError) as error:
        raise PipeError(f"not a message: {error}") from error
    return message


@dataclass(slots=True)
class FrameReader:
    """Cuts a stream of bytes into messages; holds at most one unfinished frame."""

    _buffer: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> list[Message]:
        """The messages that these bytes completed, in order. Raises `PipeError` on garbage, after
        which the reader must not be used."""
        buffer = self._buffer
        buffer += data
        messages: list[Message] = []
        start = 0
        while len(buffer) - start >= _LENGTH.size:
            (size_bytes,) = _LENGTH.unpack_from(buffer, start)
            if size_bytes > FRAME_BYTES_MAX:
                raise PipeError(f"a frame of {size_bytes} bytes is over the limit")
            end = start + _LENGTH.size + size_bytes
            if len(buffer) < end:
                break
            messages.append(decode(bytes(buffer[start + _LENGTH.size : end])))
            start = end
        del buffer[:start]
        return messages
