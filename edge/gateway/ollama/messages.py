"""The conversation of a request, as Ollama's clients write it, and as a task has it. Pure."""

from __future__ import annotations

from typing import Any, Final

import orjson

from edge.conversation import TOOL_NAME, Message, ToolCall
from edge.errors import InvalidRequest
from edge.gateway.chat_fields import CALLS_MAX
from edge.gateway.submission import MESSAGES_MAX
from edge.json_values import LEVELS_MAX, too_deep

ROLES: Final = ("system", "user", "assistant", "tool")
_BETWEEN_SYSTEMS: Final = "\n\n"


def read(value: Any) -> tuple[Message, ...]:
    """The messages; what the app says itself is merged and stands in front, since most templates
    know no other. InvalidRequest names the place of what is wrong."""
    if not isinstance(value, list) or not 0 < len(value) <= MESSAGES_MAX:
        raise InvalidRequest(f"messages has to be a list of 1 to {MESSAGES_MAX}", field="messages")
    said: list[Message] = []
    for at, each in enumerate(value):
        said.append(_message(f"messages[{at}]", each, said))
    if not any(text.strip() for message in said for text in message.texts()):
        raise InvalidRequest("messages has to say something", field="messages")
    systems = [message.content for message in said if message.role == "system" and message.content]
    others = tuple(message for message in said if message.role != "system")
    if not systems:
        return others
    return (Message("system", _BETWEEN_SYSTEMS.join(systems)), *others)


def refuse_images(where: str, value: Any) -> None:
    """Refuses what only a model that sees could be asked."""
    if value:
        raise InvalidRequest(f"{where} is not supported: this model reads text", field=where)


def _message(where: str, value: Any, before: list[Message]) -> Message:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where} has to be an object", field=where)
    role = value.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidRequest(
            f"{where}.role has to be one of {', '.join(ROLES)}", field=f"{where}.role"
        )
    refuse_images(f"{where}.images", value.get("images"))
    content = text(where, value, "content") or ""
    if role == "tool":
        return _answer(where, value, content, before)
    calls: tuple[ToolCall, ...] = ()
    thinking = None
    if role == "assistant":
        calls = _calls(f"{where}.tool_calls", value.get("tool_calls"), before)
        thinking = text(where, value, "thinking") or None
    return Message(role, content, calls, reasoning_content=thinking)


def text(where: str, value: dict[str, Any], name: str) -> str | None:
    """A member that is text; None where it is not given."""
    found = value.get(name)
    place = f"{where}.{name}" if where else name
    if found is not None and not isinstance(found, str):
        raise InvalidRequest(f"{place} has to be text", field=place)
    return found


# ---- what was said of tools before


def _calls(where: str, value: Any, before: list[Message]) -> tuple[ToolCall, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > CALLS_MAX:
        raise InvalidRequest(f"{where} has to be a list of up to {CALLS_MAX}", field=where)
    # Most clients name calls by nothing but their order; templates may want a name for each.
    first = sum(len(message.tool_calls) for message in before)
    return tuple(_call(f"{where}[{at}]", each, first + at) for at, each in enumerate(value))


def _call(where: str, value: Any, number: int) -> ToolCall:
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(function, dict):
        raise InvalidRequest(f"{where} has to have a function", field=where)
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
        raise InvalidRequest(
            f"{where}.function.name has to be a tool's name", field=f"{where}.function.name"
        )
    if too_deep(arguments):
        raise InvalidRequest(
            f"{where}.function.arguments is nested deeper than {LEVELS_MAX} levels",
            field=f"{where}.function.arguments",
        )
    # An object; or what a model wrote instead of one, which its clients send back for ever.
    written = arguments if isinstance(arguments, str) else orjson.dumps(arguments or {}).decode()
    return ToolCall(name, written, text(where, value, "id") or f"call_{number}")


def _answer(where: str, value: dict[str, Any], content: str, before: list[Message]) -> Message:
    """The answer of a tool, to the call that it names: by its id, else by the tool, else the next
    one that has no answer yet."""
    open_calls: list[ToolCall] = []
    answered = []
    for message in reversed(before):
        if message.role != "tool":
            open_calls = list(message.tool_calls)
            break
        answered.append(message.tool_call_id)
    open_calls = [call for call in open_calls if call.call_id not in answered]
    call_id = text(where, value, "tool_call_id")
    name = text(where, value, "tool_name") or text(where, value, "name")
    fitting = [
        call
        for call in open_calls
        if (call.call_id == call_id if call_id else name in (None, "", call.name))
    ]
    if not fitting:
        raise InvalidRequest(
            f"{where} answers no call of the assistant's message before it", field=where
        )
    return Message("tool", content, (), fitting[0].call_id, fitting[0].name)
