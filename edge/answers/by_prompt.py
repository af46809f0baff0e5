"""Tools for a model whose template knows none: a message of ours says what there is and how it is
called, in the dialect `HERMES`, and a conversation has the calls and their answers as text. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import orjson

from edge.answers.dialects import HERMES
from edge.conversation import Message, ToolCall

_BETWEEN: Final = "\n\n"
_OPENS, _CLOSES = HERMES.opens[0], HERMES.closes[-1]
_INTRODUCTION: Final = (
    "You can call functions to help the user. These there are, each as a line of JSON:\n"
    "<tools>\n{tools}\n</tools>\n"
    "To call one, write its name and its arguments as a JSON object, like this:\n"
    f"{_OPENS}\n"
    '{{"name": "the name of the function", "arguments": {{"the name of a parameter": "a value"}}}}'
    f"\n{_CLOSES}\n"
    "What it returns is told to you between <tool_response> and </tool_response>."
)


def told(messages: Sequence[Message], tools: str | None) -> tuple[Message, ...]:
    """The same conversation, in which the system's message says what tools there are, and all that
    was called and answered stands in contents."""
    said = list(_plain(messages))
    if tools is None:
        return tuple(said)
    lines = "\n".join(orjson.dumps(tool).decode() for tool in orjson.loads(tools))
    introduction = _INTRODUCTION.format(tools=lines)
    if said and said[0].role in ("system", "developer"):
        first = said.pop(0)
        introduction = f"{first.content}{_BETWEEN}{introduction}"
        return (first._replace(content=introduction), *said)
    return (Message("system", introduction), *said)


def without_system(messages: Sequence[Message]) -> tuple[Message, ...]:
    """For a template that has no place for a system's message: the user's first one says it."""
    if len(messages) < 2 or messages[0].role != "system" or messages[1].role != "user":
        return tuple(messages)
    content = f"{messages[0].content}{_BETWEEN}{messages[1].content}"
    return (messages[1]._replace(content=content), *messages[2:])


def _plain(messages: Sequence[Message]) -> Iterator[Message]:
    answers: list[str] = []
    for message in messages:
        if message.role == "tool":
            answers.append(f"<tool_response>\n{message.content}\n</tool_response>")
            continue
        if answers:
            # Many templates want the user and the model to speak in turn.
            yield Message("user", "\n".join(answers))
            answers = []
        if message.tool_calls:
            calls = "\n".join(map(_call, message.tool_calls))
            content = f"{message.content}\n{calls}" if message.content else calls
            message = Message("assistant", content, reasoning_content=message.reasoning_content)
        yield message
    if answers:
        yield Message("user", "\n".join(answers))


def _call(call: ToolCall) -> str:
    # The arguments as they were said: a model may have written what is no JSON.
    name = orjson.dumps(call.name).decode()
    return f'{_OPENS}\n{{"name": {name}, "arguments": {call.arguments}}}\n{_CLOSES}'
