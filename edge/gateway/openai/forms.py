"""The shapes of answers: whole ones, and those that come in chunks. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from edge.answers.deltas import Delta
from edge.errors import ElwiftError
from edge.gateway.calls.forms import Ended, Head, Tokens
from edge.gateway.calls.reading import choice_id
from edge.gateway.calls.spoken import Spoken, content_of
from edge.gateway.openai import errors
from edge.gateway.openai.deltas import as_delta

DONE: Final = b"data: [DONE]\n\n"
EVENTS: Final = "text/event-stream"
CHAT_ID: Final = "chatcmpl-"
COMPLETION_ID: Final = "cmpl-"

# httpx, which clients are made with, ends a line at these, and JSON need not escape them.
_LINE_ENDS: Final = (
    (b"\xc2\x85", b"\\u0085"), (b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"),
)  # fmt: skip


def event(value: object) -> bytes:
    """An event: one line with this JSON, in which nothing else ends a line."""
    json = orjson.dumps(value)
    for raw, escaped in _LINE_ENDS:
        if raw in json:
            json = json.replace(raw, escaped)
    return b"data: " + json + b"\n\n"


def usage(ended: Sequence[Ended], choices: int) -> dict[str, Any]:
    """The tokens of all choices together. A prompt counts once, however many choices it has."""
    prompts = [each.usage for each in ended[::choices]]
    prompt_tokens = sum(each["prompt_tokens"] for each in prompts)
    completion_tokens = sum(each.usage["completion_tokens"] for each in ended)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": sum(each["cached_tokens"] for each in prompts)},
        "completion_tokens_details": {
            "reasoning_tokens": sum(each.usage["reasoning_tokens"] for each in ended)
        },
    }


def chat_tokens(tokens: Tokens) -> dict[str, Any]:
    """The logprobs of a chat's choice."""
    return {"content": [_chat_token(each) for each in tokens], "refusal": None}


def _chat_token(token: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "token": token["token"],
        "logprob": token["logprob"],
        "bytes": token["bytes"],
        "top_logprobs": [
            {name: each[name] for name in ("token", "logprob", "bytes")}
            for each in token["top_logprobs"]
        ],
    }


def completion_tokens(tokens: Tokens) -> dict[str, Any]:
    """The logprobs of a completion's choice."""
    return {
        "tokens": [each["token"] for each in tokens],
        "token_logprobs": [each["logprob"] for each in tokens],
        "top_logprobs": [
            {other["token"]: other["logprob"] for other in each["top_logprobs"]} for each in tokens
        ],
        "text_offset": [each["offset"] for each in tokens],
    }


def chat(head: Head, ended: Sequence[Ended]) -> dict[str, Any]:
    """A ``chat.completion``."""
    return {
        "id": CHAT_ID + head.task_id,
        "object": "chat.completion",
        "created": head.created_s,
        "model": head.model,
        "choices": [
            {
                "index": index,
                "message": _message(each),
                "finish_reason": each.finish_reason,
                "logprobs": None if each.tokens is None else chat_tokens(each.tokens),
            }
            for index, each in enumerate(ended)
        ],
        "usage": usage(ended, len(ended)),
    }


def _message(ended: Ended) -> dict[str, Any]:
    said = ended.message or {"role": "assistant", "content": ended.text}
    return {**said, "refusal": None}


def completion(head: Head, ended: Sequence[Ended], choices: int) -> dict[str, Any]:
    """A ``text_completion``: ``choices`` of each prompt."""
    return {
        "id": COMPLETION_ID + head.task_id,
        "object": "text_completion",
        "created": head.created_s,
        "model": head.model,
        "choices": [
            {
                "index": index,
                "text": each.content,
                "finish_reason": each.finish_reason,
                "logprobs": None if each.tokens is None else completion_tokens(each.tokens),
            }
            for index, each in enumerate(ended)
        ],
        "usage": usage(ended, choices),
    }


class _Chunks:
    """What the chunks of chats and of completions have in common. ``include_usage``: the last one
    tells the tokens."""

    content_type: Final = EVENTS

    def __init__(self, head: Head, id_prefix: str, kind: str, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._task_id = head.task_id
        self._spoken: dict[int, Spoken] = {}
        self._head = {
            "id": id_prefix + head.task_id,
            "object": kind,
            "created": head.created_s,
            "model": head.model,
        }

    def speaks(self, index: int, dialect: str) -> None:
        """Its text, before any of that, is of this dialect."""
        self._spoken[index] = Spoken(dialect)

    def _of(self, index: int) -> Spoken:
        if index not in self._spoken:
            self._spoken[index] = Spoken(None)
        return self._spoken[index]

    def close(self, ended: Sequence[Ended], choices: int) -> bytes:
        """The end of all."""
        if not self._include_usage:
            return DONE
        return event({**self._head, "choices": [], "usage": usage(ended, choices)}) + DONE

    def fail(self, error: ElwiftError) -> bytes:
        """The end of an answer that comes to nothing more."""
        return event(errors.told(error))


class ChatChunks(_Chunks):
    """The chunks of a chat."""

    def __init__(self, head: Head, *, include_usage: bool = False) -> None:
        super().__init__(head, CHAT_ID, "chat.completion.chunk", include_usage=include_usage)

    def begin(self, index: int) -> bytes:
        """The first of a choice. The role is said once: libraries put all that come together."""
        return self._chunk(index, {"role": "assistant", "content": ""})

    def text(self, index: int, text: str, tokens: Tokens | None) -> bytes:
        """More of its text, with the tokens whose text begins in it where they are wanted."""
        logs = None if tokens is None else chat_tokens(tokens)
        said = self._said(index, self._of(index).feed(text))
        if logs is None:
            return b"".join(self._chunk(index, delta) for delta in said)
        first, *others = said or [{"content": ""}]
        return self._chunk(index, first, logs) + b"".join(
            self._chunk(index, delta) for delta in others
        )

    def end(self, index: int, ended: Ended) -> bytes:
        """The last of a choice."""
        rest = self._said(index, self._of(index).end())
        last = self._chunk(index, {}, reason=ended.finish_reason)
        return b"".join(self._chunk(index, delta) for delta in rest) + last

    def _said(self, index: int, deltas: Sequence[Delta]) -> list[dict[str, Any]]:
        task_id = choice_id(self._task_id, index)
        said = [as_delta(delta, task_id) for delta in deltas]
        return [each for each in said if each is not None]

    def nothing(self, index: int) -> bytes:
        """Says that the connection lives, to whoever counts the time between two chunks."""
        return self._chunk(index, {"content": ""})

    def _chunk(
        self, index: int, delta: dict[str, Any], logs: object = None, reason: str | None = None
    ) -> bytes:
        choice = {"index": index, "delta": delta, "finish_reason": reason, "logprobs": logs}
        return event({**self._head, "choices": [choice]})


class CompletionChunks(_Chunks):
    """The chunks of a completion."""

    def __init__(self, head: Head, *, include_usage: bool = False) -> None:
        super().__init__(head, COMPLETION_ID, "text_completion", include_usage=include_usage)

    def begin(self, index: int) -> bytes:
        """The first of a choice."""
        return self.nothing(index)

    def text(self, index: int, text: str, tokens: Tokens | None) -> bytes:
        """More of its text, with the tokens whose text begins in it where they are wanted."""
        logs = None if tokens is None else completion_tokens(tokens)
        content = content_of(self._of(index).feed(text))
        return self._chunk(index, content, logs) if content or logs else b""

    def end(self, index: int, ended: Ended) -> bytes:
        """The last of a choice."""
        rest = content_of(self._of(index).end())
        return self._chunk(index, rest, reason=ended.finish_reason)

    def nothing(self, index: int) -> bytes:
        """Says that the connection lives."""
        return self._chunk(index, "")

    def _chunk(
        self, index: int, text: str, logs: object = None, reason: str | None = None
    ) -> bytes:
        choice = {"index": index, "text": text, "finish_reason": reason, "logprobs": logs}
        return event({**self._head, "choices": [choice]})
