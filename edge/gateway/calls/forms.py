"""What all interfaces make their answers of, whole or in pieces. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from edge.errors import ElwiftError

Tokens = Sequence[Mapping[str, Any]]
"""Logprobs as `edge.tasks.logprobs.shown` has them."""
_REASONS: Final = {"stop": "stop", "length": "length", "tool_calls": "tool_calls"}
UNTIMED: Final[Mapping[str, float | None]] = MappingProxyType({})


class Ended(NamedTuple):
    """A task's answer. ``tokens`` are its logprobs as a task's document has them, where they were
    asked for; ``timings`` are that document's, too. ``message`` is what its text says, None where
    that is content alone."""

    text: str
    finish_reason: str
    usage: Mapping[str, int]
    tokens: Tokens | None
    timings: Mapping[str, float | None] = UNTIMED
    message: Mapping[str, Any] | None = None

    @property
    def content(self) -> str:
        """The text of the answer, without what was thought and called."""
        return self.text if self.message is None else self.message["content"] or ""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Ended:
        """That of the document of a completed task."""
        result = document["result"]
        reason = _REASONS.get(result["finish_reason"], "stop")
        return cls(
            result["text"], reason, result["usage"], result["logprobs"], result["timings"],
            result["message"],
        )  # fmt: skip


class Head(NamedTuple):
    """What all chunks of an answer have in common with it: the id of its first task, when that was
    created, in Unix time, and the name of the model."""

    task_id: str
    created_s: int
    model: str


class Chunks(Protocol):
    """An answer in chunks, of this type. ``index`` is that of a choice; each chunk is bytes as they
    are written, none where an interface has nothing to say there."""

    @property
    def content_type(self) -> str: ...

    def begin(self, index: int) -> bytes: ...

    def speaks(self, index: int, dialect: str) -> None:
        """Its text is of this dialect (see `edge.tasks.task.Task`); said before any of that."""

    def text(self, index: int, text: str, tokens: Tokens | None) -> bytes: ...

    def end(self, index: int, ended: Ended) -> bytes: ...

    def nothing(self, index: int) -> bytes: ...

    def close(self, ended: Sequence[Ended], choices: int) -> bytes: ...

    def fail(self, error: ElwiftError) -> bytes: ...
