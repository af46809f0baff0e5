"""What an answer says, as Ollama's clients read it: content, thinking, and calls that are whole.
Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from edge.answers.deltas import Answer, CallEnded, Content, Delta, Reasoning
from edge.gateway.calls.forms import Ended
from edge.gateway.calls.spoken import Spoken


class Call(NamedTuple):
    """A call of a tool. ``number`` counts those of the answer from 0."""

    number: int
    call_id: str
    name: str
    arguments: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """As clients read it."""
        function = {"index": self.number, "name": self.name, "arguments": self.arguments}
        return {"id": self.call_id, "function": function}


class Said(NamedTuple):
    """What a piece of an answer says, or all of it."""

    content: str = ""
    thinking: str = ""
    calls: tuple[Call, ...] = ()

    @classmethod
    def of(cls, ended: Ended) -> Said:
        """All of an answer. A call that was cut short is none."""
        told = ended.message
        if told is None:
            return cls(ended.text)
        calls = (
            _call(index, each["id"], each["function"]["name"], each["function"]["arguments"])
            for index, each in enumerate(told.get("tool_calls") or ())
        )
        return cls(
            told["content"] or "",
            told.get("reasoning_content") or "",
            tuple(each for each in calls if each is not None),
        )


class Pieces:
    """Reads the text of one answer, of this task, as it comes. Unless it `speaks` a dialect, the
    text is its content."""

    def __init__(self, task_id: str) -> None:
        self._task_id = task_id
        self._spoken = Spoken(None)
        self._answer = Answer()

    def speaks(self, dialect: str) -> None:
        """The text, before any of it, is of this dialect (see `edge.tasks.task.Task`)."""
        self._spoken = Spoken(dialect)

    def feed(self, text: str) -> Said:
        """What more of the text says."""
        return self._said(self._spoken.feed(text))

    def end(self) -> Said:
        """What was held back, at its end."""
        return self._said(self._spoken.end())

    def _said(self, deltas: Iterable[Delta]) -> Said:
        content, thinking, calls = "", "", []
        for delta in deltas:
            self._answer.add([delta])
            if isinstance(delta, Content):
                content += delta.text
            elif isinstance(delta, Reasoning):
                thinking += delta.text
            elif isinstance(delta, CallEnded):
                called = self._answer.calls(self._task_id)[delta.call]
                call = _call(delta.call, called.call_id, called.name, called.arguments)
                calls += [] if call is None else [call]
        return Said(content, thinking, tuple(calls))


def _call(index: int, call_id: str | None, name: str, arguments: str) -> Call | None:
    try:
        value = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return None
    return Call(index, call_id or "", name, value) if isinstance(value, dict) else None
