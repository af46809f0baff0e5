"""The conversation of a request, as OpenAI's clients write it, and as a task has it. Pure."""

from __future__ import annotations

from typing import Any, Final

from edge.errors import InvalidRequest
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


def read(value: Any, field: str = "messages") -> tuple[tuple[str, str], ...]:
    """The messages as pairs of role and content; what the app says itself is merged and stands in
    front. InvalidRequest names the place of what is wrong."""
    if not isinstance(value, list) or not 0 < len(value) <= MESSAGES_MAX:
        raise InvalidRequest(f"{field} has to be a list of 1 to {MESSAGES_MAX}", field=field)
    pairs = [_message(f"{field}[{at}]", each) for at, each in enumerate(value)]
    if not any(content.strip() for _, content in pairs):
        raise InvalidRequest(f"{field} has to say something", field=field)
    return in_order(pairs)


def in_order(pairs: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """With what the app says itself as one message in front: most templates know no other."""
    system = _BETWEEN_SYSTEMS.join(text for role, text in pairs if role in _SYSTEM and text)
    others = [pair for pair in pairs if pair[0] not in _SYSTEM]
    return (("system", system), *others) if system else tuple(others)


def _message(where: str, value: Any) -> tuple[str, str]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where} has to be an object", field=where)
    role = value.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidRequest(f"the role has to be one of {', '.join(ROLES)}", field=f"{where}.role")
    if value.get("tool_calls") or value.get("function_call") or role in ("tool", "function"):
        raise InvalidRequest(
            "tools are not supported yet, nor what was said of them before", field=where
        )
    return role, content(f"{where}.content", value.get("content"), needed=role != "assistant")


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
