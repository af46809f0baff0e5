"""What is read out of an answer's text, piece by piece, and what the pieces make together. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from edge.answers.ids import call_id
from edge.conversation import ToolCall


class Reasoning(NamedTuple):
    """More of what the model thinks before it answers."""

    text: str


class Content(NamedTuple):
    """More of what it says."""

    text: str


class CallBegun(NamedTuple):
    """A call of this tool; ``call`` counts those of the answer from 0."""

    call: int
    name: str


class Arguments(NamedTuple):
    """More of a call's arguments, as they stand in the text: JSON, once it is whole."""

    call: int
    text: str


class CallEnded(NamedTuple):
    """The call's arguments are whole."""

    call: int


Delta = Reasoning | Content | CallBegun | Arguments | CallEnded


@dataclass(slots=True)
class _Call:
    name: str
    arguments: list[str] = field(default_factory=list)
    whole: bool = False


class Answer:
    """What the deltas of one answer make together."""

    __slots__ = ("_calls", "_content", "_reasoning")

    def __init__(self, deltas: Iterable[Delta] = ()) -> None:
        self._reasoning: list[str] = []
        self._content: list[str] = []
        self._calls: list[_Call] = []
        self.add(deltas)

    def add(self, deltas: Iterable[Delta]) -> None:
        """Goes on with these."""
        for delta in deltas:
            if isinstance(delta, Reasoning):
                self._reasoning.append(delta.text)
            elif isinstance(delta, Content):
                self._content.append(delta.text)
            elif isinstance(delta, CallBegun):
                self._calls.append(_Call(delta.name))
            elif isinstance(delta, Arguments):
                self._calls[delta.call].arguments.append(delta.text)
            else:
                self._calls[delta.call].whole = True

    @property
    def reasoning(self) -> str:
        return "".join(self._reasoning)

    @property
    def content(self) -> str:
        return "".join(self._content)

    @property
    def has_calls(self) -> bool:
        """There are calls, whole or not."""
        return bool(self._calls)

    @property
    def calls_whole(self) -> bool:
        """There are calls, and the arguments of each are whole."""
        return bool(self._calls) and all(call.whole for call in self._calls)

    def calls(self, task_id: str) -> tuple[ToolCall, ...]:
        """The calls, with the ids that they have in the answer of this task."""
        return tuple(
            ToolCall(call.name, "".join(call.arguments), call_id(task_id, index))
            for index, call in enumerate(self._calls)
        )

    def message(self, task_id: str) -> dict[str, Any]:
        """As a message of the model, in OpenAI's form: ``content`` is null beside calls where there
        is none; what there is nothing of besides is not there."""
        calls = [call.document() for call in self.calls(task_id)]
        message: dict[str, Any] = {"role": "assistant", "content": self.content or None}
        if not calls:
            message["content"] = self.content
        if self._reasoning:
            message["reasoning_content"] = self.reasoning
        if calls:
            message["tool_calls"] = calls
        return message
