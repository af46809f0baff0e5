"""Tools and which of them may be called, as OpenAI's clients write it, and as a task has it. Pure.

In chats a function's members lie within ``function``; in responses they lie flat.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson

from edge.conversation import AUTO, NONE, REQUIRED, named
from edge.errors import InvalidRequest
from edge.gateway.reading import clipped
from edge.gateway.submission import FIELDS, check_tools

_MEMBERS: Final = ("name", "description", "parameters", "strict")
_WORDS: Final = (AUTO, NONE, REQUIRED)


class Wanted(NamedTuple):
    """As `edge.tasks.task.Request` has it."""

    tools: str | None = None
    choice: str = AUTO
    parallel: bool = True


def read(body: dict[str, Any], *, flat: bool = False) -> Wanted:
    """What a body says of tools, ``flat`` where it is that of a response. InvalidRequest with the
    path of what is wrong."""
    parallel = body.get("parallel_tool_calls", True)
    if not isinstance(parallel, bool):
        raise InvalidRequest(
            "parallel_tool_calls has to be true or false", field="parallel_tool_calls"
        )
    tools = _tools(body.get("tools", []), flat=flat)
    choice, allowed = _choice(body.get("tool_choice", AUTO), flat=flat)
    if allowed is not None:
        known = [tool["function"]["name"] for tool in tools]
        for name in allowed:
            if name not in known:
                raise InvalidRequest(f"there is no tool {clipped(name)}", field="tool_choice")
        tools = [tool for tool in tools if tool["function"]["name"] in allowed]
    text = FIELDS["tools"].check("tools", tools) if tools else None
    if text is None and choice not in (AUTO, NONE):
        raise InvalidRequest("without tools there is none to choose", field="tool_choice")
    check_tools(text, choice)
    return Wanted(text, choice, parallel)


def _tools(value: Any, *, flat: bool) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise InvalidRequest("tools has to be a list", field="tools")
    return [
        tool for at, each in enumerate(value) for tool in _tool(f"tools[{at}]", each, flat=flat)
    ]


def _tool(where: str, tool: Any, *, flat: bool) -> list[dict[str, Any]]:
    if not isinstance(tool, dict):
        raise InvalidRequest(f"{where} has to be an object", field=where)
    kind = tool.get("type", "function")
    if kind != "function":
        if flat:
            # Agents name tools of OpenAI's own, too, which nobody has here; they can do without.
            return []
        raise InvalidRequest(
            f"tools of the type {clipped(str(kind))!r} are not supported", field=f"{where}.type"
        )
    function = tool if flat else tool.get("function")
    if not isinstance(function, dict):
        raise InvalidRequest(f"{where}.function has to be an object", field=f"{where}.function")
    said = {name: function[name] for name in _MEMBERS if function.get(name) is not None}
    return [{"type": "function", "function": said}]


def _choice(value: Any, *, flat: bool) -> tuple[str, list[str] | None]:
    """The choice, and among which tools it is made, if not among all."""
    if isinstance(value, str) and value in _WORDS:
        return value, None
    kind = value.get("type", "function") if isinstance(value, dict) else None
    if kind == "function":
        return named(_name(value, flat=flat)), None
    if kind == "allowed_tools":
        allowed = value if flat else value.get("allowed_tools")
        if isinstance(allowed, dict) and isinstance(allowed.get("tools"), list):
            mode = allowed.get("mode", AUTO)
            if mode in (AUTO, REQUIRED):
                return mode, [_name(tool, flat=flat) for tool in allowed["tools"]]
        raise InvalidRequest(
            "allowed_tools has to have a mode, auto or required, and tools", field="tool_choice"
        )
    raise InvalidRequest(
        f"tool_choice has to be {', '.join(_WORDS)} or an object that names a function",
        field="tool_choice",
    )


def _name(value: Any, *, flat: bool) -> str:
    function = value if flat or not isinstance(value, dict) else value.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        raise InvalidRequest("tool_choice has to name a function", field="tool_choice")
    return name


def as_told(tools: str | None) -> list[dict[str, Any]]:
    """A request's tools as a response repeats them: their members lie flat."""
    return [
        {"type": "function", "description": None, "parameters": None, "strict": False}
        | tool["function"]
        for tool in orjson.loads(tools or "[]")
    ]
