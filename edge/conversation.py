"""What a conversation is made of, in the same words from a client's body to the engine.

Messages, and the calls of tools in them, are tuples: thousands of them are kept, cross the pipe and
are compared. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

AUTO: Final = "auto"
NONE: Final = "none"
REQUIRED: Final = "required"
_NAMED: Final = "name:"
"""Before the name of the one tool that has to be called. No tool's name has a colon."""

TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")
"""Nothing that means something in a template, a grammar or JSON."""


class ToolCall(NamedTuple):
    """A call that a model made. ``arguments`` are JSON text, or what the model wrote instead of
    it. ``call_id`` is what its answer names, if it has one."""

    name: str
    arguments: str
    call_id: str | None = None

    def document(self) -> dict[str, Any]:
        """As clients send and get it."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.call_id, "type": "function", "function": function}


class Message(NamedTuple):
    """One message. ``content`` is None only beside tool calls. ``tool_call_id`` says to which call
    a tool's message is the answer, ``name`` who speaks. ``reasoning_content`` is what the model
    thought before it said the content."""

    role: str
    content: str | None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    reasoning_content: str | None = None

    def texts(self) -> Iterator[str]:
        """All that somebody wrote, but for the role."""
        for text in (self.content, self.tool_call_id, self.name, self.reasoning_content):
            if text is not None:
                yield text
        for call in self.tool_calls:
            yield call.name
            yield call.arguments
            if call.call_id is not None:
                yield call.call_id

    @property
    def chars(self) -> int:
        """How long all of it is."""
        return sum(map(len, self.texts()))

    def _further(self) -> dict[str, Any]:
        """What it has besides role and content."""
        values = self._asdict()
        return {name: values[name] for name in _FURTHER if values[name]}

    def document(self) -> dict[str, Any]:
        """As clients send it: what it does not have is not there."""
        further = self._further()
        if self.tool_calls:
            further["tool_calls"] = [call.document() for call in self.tool_calls]
        return {"role": self.role, "content": self.content, **further}

    def stored(self) -> list[Any]:
        """As JSON for the disk; `message_from_stored` is the inverse. Most are a pair of role and
        content, as all were before there was more."""
        further = self._further()
        if self.tool_calls:
            further["tool_calls"] = list(map(list, self.tool_calls))
        return [self.role, self.content, further] if further else [self.role, self.content]


_FURTHER: Final = Message._fields[2:]


def as_stored(value: object) -> object:
    """For orjson, which asks what it does not know: a message, as stored."""
    if isinstance(value, Message):
        return value.stored()
    raise TypeError(f"{type(value).__name__} is not stored")


def message_from_stored(stored: list[Any]) -> Message:
    """The inverse of `Message.stored`. TypeError, ValueError or LookupError on anything else."""
    role, content, *rest = stored
    further: dict[str, Any] = {}
    if rest:
        (further,) = rest
    calls = tuple(ToolCall(*call) for call in further.pop("tool_calls", []))
    message = Message(role, content, calls, **further)
    _check(message)
    return message


def message_from_pipe(values: list[Any]) -> Message:
    """Of all its members in their order, as nested lists."""
    role, content, calls, *rest = values
    return Message(role, content, tuple(ToolCall(*call) for call in calls), *rest)


def _check(message: Message) -> None:
    for call in message.tool_calls:
        if not all(isinstance(text, str) for text in call[:2]):
            raise TypeError("a tool call of something else than texts")
    optional = (*message[3:], *(call.call_id for call in message.tool_calls), message.content)
    if not all(isinstance(text, str | None) for text in optional):
        raise TypeError("a message of something else than texts")
    if not isinstance(message.role, str) or (message.content is None and not message.tool_calls):
        raise TypeError("a message without a role or a content")


def named(name: str) -> str:
    """The tool choice that says: call this one."""
    return _NAMED + name


def name_of(choice: str) -> str | None:
    """The name of the tool that this choice says to call, None for any other choice."""
    return choice.removeprefix(_NAMED) if choice.startswith(_NAMED) else None


def choice_document(choice: str) -> str | dict[str, Any]:
    """A tool choice as clients send it."""
    name = name_of(choice)
    return choice if name is None else {"type": "function", "function": {"name": name}}
