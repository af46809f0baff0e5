"""The shapes of answers: whole ones, and those that come line by line (NDJSON).

All text is written in ASCII. Ollama's own library for JavaScript decodes each piece that the
network hands to it by itself, where a character that was cut in two is lost; and httpx, which the
one for Python is made with, ends a line at U+2028.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from edge.clock import NS_PER_MS, NS_PER_S, Clock
from edge.errors import ElwiftError
from edge.gateway.calls.forms import Ended, Tokens
from edge.gateway.ollama import errors
from edge.gateway.ollama.said import Pieces, Said
from edge.services.task.wire import rfc3339

LINES: Final = "application/x-ndjson"
NOTHING: Final = Said()
_REASONS: Final = {"length": "length"}
"""A call of a tool is no reason of its own here."""


def stamp(at_ns: int) -> str:
    """Unix time as clients read it: in UTC, with nine decimals."""
    seconds = str(rfc3339(at_ns)).partition(".")[0]
    return f"{seconds}.{at_ns % NS_PER_S:09}Z"


def line(value: object) -> bytes:
    """One line of ASCII with this JSON."""
    data = orjson.dumps(value)
    if not data.isascii():
        data = json.dumps(value, separators=(",", ":")).encode()
    return data + b"\n"


Say = Callable[[Said], dict[str, Any]]
"""Makes the members of a line that have what is said."""


def message(said: Said) -> dict[str, Any]:
    """What a chat says."""
    found: dict[str, Any] = {"role": "assistant", "content": said.content}
    if said.thinking:
        found["thinking"] = said.thinking
    if said.calls:
        found["tool_calls"] = [each.document() for each in said.calls]
    return {"message": found}


def response(said: Said) -> dict[str, Any]:
    """What a generation says, which calls nothing."""
    return {"response": said.content} | ({"thinking": said.thinking} if said.thinking else {})


class Answer:
    """A model's answer, in lines and as a whole. ``say`` is `message` or `response`."""

    content_type: Final = LINES

    def __init__(self, model: str, say: Say, clock: Clock, task_id: str = "") -> None:
        self._model = model
        self._say = say
        self._clock = clock
        self._begun_ns = clock.now_ns()
        self._pieces = Pieces(task_id)

    def begin(self, index: int) -> bytes:
        """Nothing: the head of the answer says that there is one."""
        return b""

    def speaks(self, index: int, dialect: str) -> None:
        """Its text, before any of that, is of this dialect."""
        self._pieces.speaks(dialect)

    def text(self, index: int, text: str, tokens: Tokens | None) -> bytes:
        """More of its text, with the tokens whose text begins in it where they are wanted."""
        said = self._pieces.feed(text)
        if said == NOTHING and tokens is None:
            return b""
        told = self._line(said, done=False)
        if tokens is not None:
            told["logprobs"] = _logprobs(tokens)
        return line(told)

    def end(self, index: int, ended: Ended) -> bytes:
        """What was held back of it; else nothing: the last line says the rest."""
        said = self._pieces.end()
        return b"" if said == NOTHING else line(self._line(said, done=False))

    def nothing(self, index: int) -> bytes:
        """Says that the connection lives."""
        return line(self._line(NOTHING, done=False))

    def close(self, ended: Sequence[Ended], choices: int) -> bytes:
        """The last line."""
        return line(self._line(NOTHING, done=True) | self._figures(ended[0]))

    def fail(self, error: ElwiftError) -> bytes:
        """The last line of an answer that comes to nothing more."""
        return line(errors.told(error))

    def whole(self, ended: Sequence[Ended]) -> dict[str, Any]:
        """All in one."""
        told = self._line(Said.of(ended[0]), done=True)
        if ended[0].tokens is not None:
            told["logprobs"] = _logprobs(ended[0].tokens)
        return told | self._figures(ended[0])

    def loaded(self) -> dict[str, Any]:
        """The answer to who asks for nothing but that the model be there."""
        return self._line(NOTHING, done=True) | {"done_reason": "load"}

    def _line(self, said: Said, *, done: bool) -> dict[str, Any]:
        created_at = stamp(self._clock.wall_ns())
        return {"model": self._model, "created_at": created_at, **self._say(said), "done": done}

    def _figures(self, ended: Ended) -> dict[str, Any]:
        """Why it ended, and how long what took: waiting for its turn is told as loading."""
        timings, usage = ended.timings, ended.usage
        return {
            "done_reason": _REASONS.get(ended.finish_reason, "stop"),
            "total_duration": max(1, self._clock.now_ns() - self._begun_ns),
            "load_duration": _ns(timings, "queued_ms"),
            "prompt_eval_count": usage["prompt_tokens"],
            "prompt_eval_duration": _ns(timings, "prefill_ms"),
            "eval_count": usage["completion_tokens"],
            "eval_duration": _ns(timings, "decode_ms"),
        }


def _ns(timings: Mapping[str, float | None], name: str) -> int:
    """Never 0: clients divide by it."""
    return max(1, int((timings.get(name) or 0) * NS_PER_MS))


def _logprobs(tokens: Tokens) -> list[dict[str, Any]]:
    names = ("token", "logprob", "bytes")
    return [
        {name: each[name] for name in names}
        | {
            "top_logprobs": [
                {name: other[name] for name in names} for other in each["top_logprobs"]
            ]
        }
        for each in tokens
    ]
