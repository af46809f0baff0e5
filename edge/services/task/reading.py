"""What a running task's text says besides its content: which tools it calls, and what it thinks."""

from __future__ import annotations

from typing import Any

from edge.answers.deltas import Answer, CallBegun, CallEnded
from edge.answers.dialects import form_of
from edge.answers.ids import call_id
from edge.answers.reader import read, reader
from edge.tasks.task import Task

TOOL_CALL = "tool_call"
"""The event that tells of a call: once its name is known, and once its arguments are."""


class Reading:
    """Reads the text of a task on from where it is. All that it knows is of that text, so that
    whoever comes after a crash begins with another one."""

    __slots__ = ("_answer", "_reader", "_task_id")

    def __init__(self, task_id: str, dialect: str, text: str) -> None:
        self._task_id = task_id
        self._reader = reader(form_of(dialect))
        self._answer = Answer(self._reader.feed(text))

    @property
    def thinks(self) -> bool:
        """What comes next is of what the model thinks."""
        return self._reader.thinks

    @property
    def calls_whole(self) -> bool:
        """It calls tools, and no call is cut short."""
        return self._answer.calls_whole

    def feed(self, text: str) -> list[dict[str, Any]]:
        """The payloads of the events `TOOL_CALL` that follow from more text."""
        deltas = self._reader.feed(text)
        self._answer.add(deltas)
        return [self._event(each) for each in deltas if isinstance(each, CallBegun | CallEnded)]

    def _event(self, delta: CallBegun | CallEnded) -> dict[str, Any]:
        call = self._answer.calls(self._task_id)[delta.call]
        return {
            "index": delta.call,
            "id": call_id(self._task_id, delta.call),
            "name": call.name,
            "arguments": call.arguments if isinstance(delta, CallEnded) else None,
        }


def reading_of(task: Task) -> Reading | None:
    """For a task whose text has a dialect; None for any other."""
    if task.dialect is None:
        return None
    return Reading(task.task_id, task.dialect, task.text)


def message_of(task: Task) -> dict[str, Any] | None:
    """The answer of a task as a message; None where its text is all that it says."""
    if task.dialect is None:
        return None
    return read(task.dialect, task.text).message(task.task_id)
