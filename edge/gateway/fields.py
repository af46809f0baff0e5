"""The members of a body: each with its check, and with the JSON Schema that says the same.

Both are made from the same bounds, so that what is published (`edge.gateway.openapi`) is what is
checked. A member that is null is one that is not given, everywhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import orjson

from edge.errors import InvalidRequest
from edge.json_values import LEVELS_MAX, whole_number
from edge.structured import formats
from edge.tasks import ids

Schema = dict[str, Any]


class Field(NamedTuple):
    """One member. ``check`` takes its name and its value, and returns the value as it is used;
    InvalidRequest, with the member's name, says what is wrong with it. ``levels`` bounds how deep
    it may be; with None the check does."""

    check: Callable[[str, Any], Any]
    schema: Schema
    levels: int | None = LEVELS_MAX


def optional(check: Callable[[str, Any], Any], schema: Schema) -> Field:
    """A member that may be null, in which case it is not checked."""

    def check_given(name: str, value: Any) -> Any:
        return None if value is None else check(name, value)

    kinds = schema["type"]
    return Field(
        check_given, schema | {"type": [*([kinds] if isinstance(kinds, str) else kinds), "null"]}
    )


def whole(low: int, high: int, about: str) -> Field:
    """A whole number within bounds."""

    def check(name: str, value: Any) -> int:
        number = whole_number(value)
        if number is None:
            raise InvalidRequest(f"{name} has to be a whole number", field=name)
        if not low <= number <= high:
            raise InvalidRequest(f"{name} has to be from {low} to {high}", field=name)
        return number

    schema = {"type": "integer", "minimum": low, "maximum": high, "description": about}
    return optional(check, schema)


def number(low: float, high: float, about: str) -> Field:
    """A number within bounds."""

    def check(name: str, value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise InvalidRequest(f"{name} has to be a number", field=name)
        if not low <= value <= high or math.isnan(value):
            raise InvalidRequest(f"{name} has to be from {low:g} to {high:g}", field=name)
        return float(value)

    schema = {"type": "number", "minimum": low, "maximum": high, "description": about}
    return optional(check, schema)


def flag(about: str) -> Field:
    """True or false."""

    def check(name: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise InvalidRequest(f"{name} has to be true or false", field=name)
        return value

    return optional(check, {"type": "boolean", "description": about})


NOT_BLANK: Final = r"\S"
"""As a JSON Schema pattern: text that is more than white space."""


_TOKEN_ID: Final = re.compile("(0|[1-9][0-9]{0,8})")
"""Written in one way only, so that no two names mean the same token."""


def text(about: str) -> Field:
    """Text that is not empty."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise InvalidRequest(f"{name} has to be text", field=name)
        if not value.strip():
            raise InvalidRequest(f"{name} must not be empty", field=name)
        return value

    return optional(check, {"type": "string", "pattern": NOT_BLANK, "description": about})


def name(chars_max: int, about: str) -> Field:
    """Text that is not empty, of bounded length."""
    unbounded = text(about)

    def check(name: str, value: Any) -> Any:
        checked = unbounded.check(name, value)
        if checked is not None and len(checked) > chars_max:
            raise InvalidRequest(f"{name} has to have 1 to {chars_max} characters", field=name)
        return checked

    return Field(check, unbounded.schema | {"maxLength": chars_max})


def task_id(about: str) -> Field:
    """A UUID in any spelling, which becomes the canonical one."""

    def check(name: str, value: Any) -> str:
        canonical = ids.canonical(value) if isinstance(value, str) else None
        if canonical is None:
            raise InvalidRequest(f"{name} has to be a UUID", field=name)
        return canonical

    return optional(check, {"type": "string", "format": "uuid", "description": about})


def texts(items_max: int, chars_max: int, about: str) -> Field:
    """One text or a list of them, of bounded length."""

    def check(name: str, value: Any) -> tuple[str, ...]:
        given = [value] if isinstance(value, str) else value
        if not isinstance(given, list) or len(given) > items_max:
            raise InvalidRequest(
                f"{name} has to be text or a list of up to {items_max}", field=name
            )
        for each in given:
            if not isinstance(each, str) or not 0 < len(each) <= chars_max:
                raise InvalidRequest(
                    f"each {name} has to be text of 1 to {chars_max} characters", field=name
                )
        return tuple(given)

    chars = {"minLength": 1, "maxLength": chars_max}
    items: Schema = {"type": "string"} | chars
    schema = {"type": ["string", "array"], "maxItems": items_max, "items": items} | chars
    return optional(check, schema | {"description": about})


def biases(items_max: int, most: float, about: str) -> Field:
    """Numbers by token ids, as an object, because JSON has no other keys than texts."""
    each = number(-most, most, about)

    def check(name: str, value: Any) -> tuple[tuple[int, float], ...]:
        if not isinstance(value, dict) or len(value) > items_max:
            raise InvalidRequest(
                f"{name} has to be an object of up to {items_max} members", field=name
            )
        if not all(map(_TOKEN_ID.fullmatch, value)):
            raise InvalidRequest(
                f'{name} has to have token ids as its names, such as "42"', field=name
            )
        for bias in value.values():
            if bias is None:
                raise InvalidRequest(f"{name} has to be of numbers", field=name)
            each.check(name, bias)
        return tuple(sorted((int(token), float(bias)) for token, bias in value.items()))

    schema: Schema = {
        "type": "object",
        "maxProperties": items_max,
        "propertyNames": {"pattern": f"^{_TOKEN_ID.pattern}$"},
        "additionalProperties": {"type": "number", "minimum": -most, "maximum": most},
    }
    return optional(check, schema | {"description": about})


def free_object(bytes_max: int, about: str) -> Field:
    """Any object, as JSON text; how deep it may be is the whole body's matter."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, dict):
            raise InvalidRequest(f"{name} has to be an object", field=name)
        json = orjson.dumps(value)
        if len(json) > bytes_max:
            raise InvalidRequest(f"{name} is over {bytes_max} bytes", field=name)
        return json.decode()

    bounds = f"At most {bytes_max} bytes of compact JSON and {LEVELS_MAX} levels."
    return optional(check, {"type": "object", "description": f"{about} {bounds}"})


def answer_format(about: str) -> Field:
    """The form of an answer, as JSON text; None where any text will do."""

    def check(name: str, value: Any) -> str | None:
        found = formats.read(value, name)
        return None if found.kind == "text" else found.text

    schema: Schema = {
        "type": "object",
        "properties": {
            "type": {"type": "string", "enum": list(formats.KINDS)},
            "json_schema": {
                "type": "object",
                "description": "name, description, schema (JSON Schema) and strict.",
            },
            "grammar": {"type": "string", "description": "GBNF, llama.cpp's notation."},
            "choices": {
                "type": "array",
                "minItems": 1,
                "maxItems": formats.CHOICES_MAX,
                "items": {"type": "string", "minLength": 1},
            },
        },
        "required": ["type"],
        "additionalProperties": False,
    }
    given = optional(check, schema | {"description": about})
    return given._replace(levels=None)
