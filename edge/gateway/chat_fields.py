"""The members of a body that make a conversation: messages, tools, and what the template is told.

In OpenAI's form, but stricter: what is not known is refused by its path, such as
``messages[2].tool_calls[0].function.name``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from edge.conversation import (
    AUTO,
    NONE,
    REQUIRED,
    TOOL_NAME,
    Message,
    ToolCall,
    name_of,
    named,
)
from edge.errors import InvalidRequest
from edge.gateway.fields import NOT_BLANK, Field, Schema, optional

ROLES: Final = ("system", "developer", "user", "assistant", "tool")
CALLS_MAX: Final = 128
ID_CHARS_MAX: Final = 256
NAME_CHARS_MAX: Final = 128
_NAME_SCHEMA: Final[Schema] = {"type": "string", "pattern": f"^({TOOL_NAME.pattern})$"}
_TEXT: Final[Schema] = {"type": ["string", "null"]}
_ID: Final[Schema] = {"type": ["string", "null"], "maxLength": ID_CHARS_MAX}
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_RESERVED: Final = re.compile(r"messages|tools|documents|add_generation_prompt|.*_token")
"""What the node itself gives to a template."""


def _object(where: str, value: Any, required: set[str], allowed: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where} has to be an object", field=where)
    for name in value:
        if name not in allowed:
            sentence = f"{where} has no member {name:.40}; there are {', '.join(sorted(allowed))}"
            raise InvalidRequest(sentence, field=where)
    for name in sorted(required):
        if value.get(name) is None:
            raise InvalidRequest(f"{where} has to have a {name}", field=f"{where}.{name}")
    return value


def _text(where: str, value: Any, chars_max: int | None = None) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InvalidRequest(f"{where} has to be text", field=where)
    if value is not None and chars_max is not None and len(value) > chars_max:
        raise InvalidRequest(f"{where} has to have {chars_max} characters at most", field=where)
    return value


def tool_name(where: str, value: Any) -> str:
    if not isinstance(value, str) or not TOOL_NAME.fullmatch(value):
        raise InvalidRequest(
            f"{where} has to have 1 to {NAME_CHARS_MAX} letters, digits, dots, hyphens or"
            " underscores",
            field=where,
        )
    return value


# ---- messages


def messages(items_max: int, about: str) -> Field:
    """A conversation, as messages."""

    def check(name: str, value: Any) -> tuple[Message, ...]:
        if not isinstance(value, list) or not 0 < len(value) <= items_max:
            raise InvalidRequest(f"{name} has to be a list of 1 to {items_max}", field=name)
        said = tuple(_message(f"{name}[{at}]", message) for at, message in enumerate(value))
        check_answers(name, said)
        return said

    schema = {"type": "array", "minItems": 1, "maxItems": items_max, "items": _MESSAGE}
    return optional(check, schema | {"description": about})


def _message(where: str, message: Any) -> Message:
    if not isinstance(message, dict) or not {"role", "content"} & message.keys():
        raise InvalidRequest(f"{where} has to have a role and a content", field=where)
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise InvalidRequest(f"the role has to be one of {', '.join(ROLES)}", field=where)
    allowed = {"role", "content", "name"}
    if role == "assistant":
        allowed |= {"tool_calls", "reasoning_content"}
    if role == "tool":
        allowed.add("tool_call_id")
    unknown = sorted(message.keys() - allowed)
    if unknown:
        raise InvalidRequest(f"{where} of role {role} may not have {unknown[0]:.40}", field=where)
    calls = _calls(f"{where}.tool_calls", message.get("tool_calls"))
    if content is not None or not calls:
        # What a tool had to say may be nothing.
        empty_is_fine = calls or role == "tool"
        if not isinstance(content, str) or not (content.strip() or empty_is_fine):
            raise InvalidRequest("the content has to be text and not empty", field=where)
    return Message(
        role,
        content,
        calls,
        _text(f"{where}.tool_call_id", message.get("tool_call_id"), ID_CHARS_MAX),
        _text(f"{where}.name", message.get("name"), NAME_CHARS_MAX),
        _text(f"{where}.reasoning_content", message.get("reasoning_content")),
    )


def _calls(where: str, value: Any) -> tuple[ToolCall, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > CALLS_MAX:
        raise InvalidRequest(f"{where} has to be a list of up to {CALLS_MAX}", field=where)
    return tuple(_call(f"{where}[{at}]", call) for at, call in enumerate(value))


def _call(where: str, value: Any) -> ToolCall:
    call = _object(where, value, {"function"}, {"id", "type", "function"})
    _check_type(where, call)
    where += ".function"
    function = _object(where, call["function"], {"name"}, {"name", "arguments"})
    name = tool_name(f"{where}.name", function["name"])
    # A model may have written anything, and its clients send it back for ever.
    arguments = _text(f"{where}.arguments", function.get("arguments")) or "{}"
    call_id = _text(where.replace(".function", ".id"), call.get("id"), ID_CHARS_MAX)
    return ToolCall(name, arguments, call_id)


def _check_type(where: str, value: Mapping[str, Any]) -> None:
    if value.get("type") not in (None, "function"):
        raise InvalidRequest(f"{where} has to be of type function", field=f"{where}.type")


def check_answers(name: str, said: Sequence[Message]) -> None:
    """Refuses an answer of a tool that belongs to no call in the message of the model before it."""
    calls: tuple[ToolCall, ...] = ()
    for at, message in enumerate(said):
        if message.role != "tool":
            calls = message.tool_calls
            continue
        ids = {call.call_id for call in calls}
        if not calls or (message.tool_call_id not in ids and None not in ids):
            raise InvalidRequest(
                f"{name}[{at}] answers no call of the assistant's message before it; its"
                " tool_call_id has to be the id of one",
                field=f"{name}[{at}].tool_call_id",
            )


_FUNCTION_CALLED: Final[Schema] = {
    "type": "object",
    "properties": {"name": _NAME_SCHEMA, "arguments": _TEXT},
    "required": ["name"],
    "additionalProperties": False,
}
_CALL: Final[Schema] = {
    "type": "object",
    "properties": {
        "id": _ID,
        "type": {"enum": ["function", None]},
        "function": _FUNCTION_CALLED,
    },
    "required": ["function"],
    "additionalProperties": False,
}
_SPEAKER: Final[Schema] = {"type": ["string", "null"], "maxLength": NAME_CHARS_MAX}
_SAID: Final[Schema] = {"type": "string", "pattern": NOT_BLANK}


def _said(roles: list[str], content: Schema, **further: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {
            "role": {"type": "string", "enum": roles},
            "content": content,
            "name": _SPEAKER,
            **further,
        },
        "required": ["role", "content"],
        "additionalProperties": False,
    }


_CALLING: Final = _said(
    ["assistant"],
    _TEXT,
    reasoning_content=_TEXT,
    tool_calls={"type": "array", "minItems": 1, "maxItems": CALLS_MAX, "items": _CALL},
)
_MESSAGE: Final[Schema] = {
    "anyOf": [
        _said(["system", "developer", "user"], _SAID),
        _said(
            ["assistant"], _SAID, reasoning_content=_TEXT,
            tool_calls={"type": ["array", "null"], "maxItems": CALLS_MAX, "items": _CALL},
        ),
        _CALLING | {"required": ["role", "tool_calls"]},
        _said(["tool"], {"type": "string"}, tool_call_id=_ID),
    ]
}  # fmt: skip


# ---- tools


def tools(items_max: int, bytes_max: int, about: str) -> Field:
    """Function tools, as JSON text; none when the list is empty."""

    def check(name: str, value: Any) -> str | None:
        if not isinstance(value, list) or len(value) > items_max:
            raise InvalidRequest(f"{name} has to be a list of up to {items_max}", field=name)
        names = [_tool(f"{name}[{at}]", tool) for at, tool in enumerate(value)]
        for at, each in enumerate(names):
            if each in names[:at]:
                where = f"{name}[{at}].function.name"
                raise InvalidRequest(f"there are two tools with the name {each}", field=where)
        json = orjson.dumps(value)
        if len(json) > bytes_max:
            raise InvalidRequest(f"{name} is over {bytes_max} bytes", field=name)
        return json.decode() if value else None

    schema = {"type": "array", "maxItems": items_max, "items": _TOOL}
    bounds = f"At most {bytes_max} bytes of compact JSON."
    return optional(check, schema | {"description": f"{about} {bounds}"})


def _tool(where: str, value: Any) -> str:
    tool = _object(where, value, {"function"}, {"type", "function"})
    _check_type(where, tool)
    where += ".function"
    allowed = {"name", "description", "parameters", "strict"}
    function = _object(where, tool["function"], {"name"}, allowed)
    _text(f"{where}.description", function.get("description"))
    if not isinstance(function.get("parameters", {}), dict | None):
        sentence = f"{where}.parameters has to be a JSON Schema"
        raise InvalidRequest(sentence, field=f"{where}.parameters")
    if not isinstance(function.get("strict"), bool | None):
        raise InvalidRequest(f"{where}.strict has to be true or false", field=f"{where}.strict")
    return tool_name(f"{where}.name", function["name"])


_TOOL: Final[Schema] = {
    "type": "object",
    "properties": {
        "type": {"enum": ["function", None]},
        "function": {
            "type": "object",
            "properties": {
                "name": _NAME_SCHEMA,
                "description": _TEXT,
                "parameters": {"type": ["object", "null"], "description": "A JSON Schema."},
                "strict": {"type": ["boolean", "null"]},
            },
            "required": ["name"],
            "additionalProperties": False,
        },
    },
    "required": ["function"],
    "additionalProperties": False,
}


def tool_choice(about: str) -> Field:
    """One of the three words, or the tool to call; see `edge.conversation.named`."""
    words = (AUTO, NONE, REQUIRED)

    def check(name: str, value: Any) -> str:
        if isinstance(value, str) and value in words:
            return value
        if not isinstance(value, dict):
            raise InvalidRequest(
                f"{name} has to be {', '.join(words)} or an object that names a function",
                field=name,
            )
        choice = _object(name, value, {"function"}, {"type", "function"})
        _check_type(name, choice)
        function = _object(f"{name}.function", choice["function"], {"name"}, {"name"})
        return named(tool_name(f"{name}.function.name", function["name"]))

    schema: Schema = {
        "type": ["string", "object"],
        "pattern": f"^({'|'.join(words)})$",
        "properties": {
            "type": {"enum": ["function", None]},
            "function": {
                "type": "object",
                "properties": {"name": _NAME_SCHEMA},
                "required": ["name"],
                "additionalProperties": False,
            },
        },
        "required": ["function"],
        "additionalProperties": False,
    }
    return optional(check, schema | {"description": about})


def check_choice(tools: str | None, choice: str, field: str = "tool_choice") -> None:
    """Refuses a choice of a tool that is not there."""
    if choice == REQUIRED and tools is None:
        raise InvalidRequest("a tool has to be called, and there is none in tools", field=field)
    wanted = name_of(choice)
    if wanted is not None:
        names = [tool["function"]["name"] for tool in orjson.loads(tools or "[]")]
        if wanted not in names:
            known = ", ".join(names)[:300] or "none at all"
            raise InvalidRequest(f"there is no tool {wanted}; the tools are {known}", field=field)


# ---- variables


def variables(items_max: int, about: str) -> Field:
    """Texts, numbers and booleans by name, as JSON text; none when there are none."""

    def check(name: str, value: Any) -> str | None:
        if not isinstance(value, dict) or len(value) > items_max:
            raise InvalidRequest(
                f"{name} has to be an object of up to {items_max} members", field=name
            )
        for key, each in value.items():
            where = f"{name}.{key:.40}"
            if not _VARIABLE.fullmatch(key):
                raise InvalidRequest(f"{where} is no name of a variable", field=name)
            if _RESERVED.fullmatch(key):
                raise InvalidRequest(f"{where} is set by the node itself", field=where)
            if not isinstance(each, str | int | float | None):
                raise InvalidRequest(f"{where} has to be text, a number or a boolean", field=where)
        return orjson.dumps(value).decode() if value else None

    schema: Schema = {
        "type": "object",
        "maxProperties": items_max,
        "propertyNames": {
            "pattern": f"^({_VARIABLE.pattern})$",
            "not": {"pattern": f"^({_RESERVED.pattern})$"},
        },
        "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
    }
    return optional(check, schema | {"description": about})
