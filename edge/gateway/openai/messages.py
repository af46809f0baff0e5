"""The conversation of a request, as OpenAI's clients write it, and as a task has it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from edge.conversation import Message, ToolCall
from edge.errors import InvalidRequest
from edge.gateway.chat_fields import CALLS_MAX, ID_CHARS_MAX, check_answers, tool_name
from edge.gateway.reading import clipped
from edge.gateway.submission import MESSAGES_MAX

ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
SPEAKERS: Final = ("system", "developer", "user", "assistant")
TEXT_PARTS: Final = {
    "text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal",
}  # fmt: skip
"""The types of parts that are text, and the member that has it."""
_SYSTEM: Final = ("system", "developer")
_BETWEEN_SYSTEMS: Final = "\n\n"


def read(value: Any, field: str = "messages") -> tuple[Message, ...]:
    """The messages; what the app says itself is merged and stands in front. InvalidRequest names
    the place of what is wrong."""
    if not isinstance(value, list) or not 0 < len(value) <= MESSAGES_MAX:
        raise InvalidRequest(f"{field} has to be a list of 1 to {MESSAGES_MAX}", field=field)
    said = [_message(f"{field}[{at}]", each) for at, each in enumerate(value)]
    check_answers(field, said)
    if not any(each.tool_calls or (each.content or "").strip() for each in said):
        raise InvalidRequest(f"{field} has to say something", field=field)
    return in_order(said)


def in_order(said: Sequence[Message]) -> tuple[Message, ...]:
    """With what the app says itself as one message in front: most templates know no other."""
    system = _BETWEEN_SYSTEMS.join(
        each.content for each in said if each.role in _SYSTEM and each.content
    )
    others = [each for each in said if each.role not in _SYSTEM]
    return (Message("system", system), *others) if system else tuple(others)


def _message(where: str, value: Any) -> Message:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where} has to be an object", field=where)
    role = value.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidRequest(f"the role has to be one of {', '.join(ROLES)}", field=f"{where}.role")
    if value.get("function_call"):
        raise InvalidRequest(
            "function_call is not supported: use tool_calls", field=f"{where}.function_call"
        )
    text = content(f"{where}.content", value.get("content"), needed=role != "assistant")
    if role in ("tool", "function"):
        return Message("tool", text, tool_call_id=call_id(where, value.get("tool_call_id")))
    if role != "assistant":
        return Message(role, text)
    calls = _calls(f"{where}.tool_calls", value.get("tool_calls"))
    reasoning = value.get("reasoning_content")
    if reasoning is not None and not isinstance(reasoning, str):
        field = f"{where}.reasoning_content"
        raise InvalidRequest(f"{field} has to be text", field=field)
    return Message(role, (text or None) if calls else text, calls, reasoning_content=reasoning)


def _calls(where: str, value: Any) -> tuple[ToolCall, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > CALLS_MAX:
        raise InvalidRequest(f"{where} has to be a list of up to {CALLS_MAX}", field=where)
    return tuple(_call(f"{where}[{at}]", each) for at, each in enumerate(value))


def _call(where: str, value: Any) -> ToolCall:
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(function, dict) or value.get("type") not in (None, "function"):
        raise InvalidRequest(f"{where} has to be a call of a function", field=where)
    return call(f"{where}.function", function, call_id(where, value.get("id")))


def call(where: str, function: dict[str, Any], called: str | None) -> ToolCall:
    """A call whose name and arguments are members of this object. A model may have written anything
    as its arguments, and its clients send it back for ever; some send what they have read."""
    arguments = function.get("arguments")
    if isinstance(arguments, dict):
        arguments = orjson.dumps(arguments).decode()
    if arguments is not None and not isinstance(arguments, str):
        field = f"{where}.arguments"
        raise InvalidRequest(f"{field} has to be text", field=field)
    return ToolCall(tool_name(f"{where}.name", function.get("name")), arguments or "{}", called)


def call_id(where: str, value: Any) -> str | None:
    """By which an answer names its call, if it has one."""
    if value is not None and not (isinstance(value, str) and len(value) <= ID_CHARS_MAX):
        raise InvalidRequest(
            f"the id of a call has to be text of up to {ID_CHARS_MAX} characters", field=where
        )
    return value


def content(where: str, value: Any, *, needed: bool = True) -> str:
    """The text of a message's content: text, or parts that are text; without any, empty where none
    is needed. InvalidRequest for other kinds of parts."""
    if isinstance(value, str):
        return value
    if value is None or value == []:
        if needed:
            raise InvalidRequest(f"{where} is missing", field=where)
        return ""
    if not isinstance(value, list):
        raise InvalidRequest(f"{where} has to be text or a list of parts", field=where)
    return "\n".join(_part(f"{where}[{at}]", each) for at, each in enumerate(value))


def _part(where: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str):
        raise InvalidRequest(f"{where} has to be an object with a type", field=where)
    if kind not in TEXT_PARTS:
        raise InvalidRequest(
            f"parts of the type {clipped(kind)!r} are not supported: this model reads text",
            field=where,
        )
    text = value.get(TEXT_PARTS[kind])
    if not isinstance(text, str):
        raise InvalidRequest(f"{where}.{TEXT_PARTS[kind]} has to be text", field=where)
    return text
