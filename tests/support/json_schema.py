"""As much of JSON Schema (2020-12) as the node's interface document uses, to hold values to it.

What is not known here raises KeyError: a document that says more than this would not be checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from edge.tasks import ids

Schema = dict[str, Any]
Say = Callable[[str], None]

TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and float(value).is_integer(),
    "number": lambda value: _is_number(value),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_time(text: str) -> bool:
    return datetime.fromisoformat(text).tzinfo is not None


def _searched(pattern: str, text: str) -> re.Match[str] | None:
    """An ECMAScript pattern, whose $ is not also before a last line's end, as Python's is."""
    return re.search(pattern.replace("$", r"\Z"), text)


FORMATS: dict[str, Callable[[str], bool]] = {
    "uuid": lambda text: ids.canonical(text) is not None,
    "date-time": _is_time,
}

# Each keyword: which values it is about, and what holds then.
_SIMPLE: dict[str, tuple[type[Any] | tuple[type[Any], ...], Callable[[Any, Any], bool]]] = {
    "minimum": ((int, float), lambda value, bound: isinstance(value, bool) or value >= bound),
    "maximum": ((int, float), lambda value, bound: isinstance(value, bool) or value <= bound),
    "minLength": (str, lambda value, bound: len(value) >= bound),
    "maxLength": (str, lambda value, bound: len(value) <= bound),
    "pattern": (str, lambda value, pattern: bool(_searched(pattern, value))),
    "format": (str, lambda value, name: FORMATS[name](value)),
    "minItems": (list, lambda value, bound: len(value) >= bound),
    "maxItems": (list, lambda value, bound: len(value) <= bound),
    "required": (dict, lambda value, names: set(names) <= set(value)),
    "enum": (object, lambda value, choices: value in choices),
    "const": (object, lambda value, only: value == only),
    "maxProperties": (dict, lambda value, most: len(value) <= most),
    "description": (object, lambda value, _: True),
    "default": (object, lambda value, _: True),
}


class Checker:
    """Holds values to schemas of one document, whose references it follows."""

    def __init__(self, document: Schema) -> None:
        self._document = document

    def resolve(self, schema: Schema) -> Schema:
        """The schema itself where this is a reference to it."""
        while "$ref" in schema:
            found: Any = self._document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            schema = found
        return schema

    def wrong(self, value: Any, schema: Schema, where: str = "it") -> str | None:
        """The first thing that is wrong with the value; None when nothing is."""
        schema = self.resolve(schema)
        for keyword, wanted in schema.items():
            found = self._keyword(keyword, wanted, value, schema, where)
            if found is not None:
                return found
        return None

    def _keyword(
        self, keyword: str, wanted: Any, value: Any, schema: Schema, where: str
    ) -> str | None:
        if keyword == "type":
            kinds = [wanted] if isinstance(wanted, str) else wanted
            good = any(TYPES[kind](value) for kind in kinds)
        elif keyword == "properties":
            return self._properties(value, wanted, where)
        elif keyword == "additionalProperties":
            others = (
                set(value) - set(schema.get("properties", ())) if isinstance(value, dict) else ()
            )
            if wanted is not False:
                return self._properties(value, dict.fromkeys(others, wanted), where)
            good = not others
        elif keyword == "propertyNames":
            good = not isinstance(value, dict) or all(
                self.wrong(name, wanted) is None for name in value
            )
        elif keyword == "items":
            entries = enumerate(value) if isinstance(value, list) else ()
            found = (self.wrong(each, wanted, f"{where}[{at}]") for at, each in entries)
            return next((each for each in found if each is not None), None)
        elif keyword in ("anyOf", "oneOf"):
            fitting = sum(self.wrong(value, each, where) is None for each in wanted)
            good = fitting == 1 if keyword == "oneOf" else fitting > 0
        elif keyword == "not":
            good = self.wrong(value, wanted, where) is not None
        else:
            kinds, holds = _SIMPLE[keyword]
            good = not isinstance(value, kinds) or holds(value, wanted)
        return None if good else f"{where} is {str(value)[:80]!r}, against {keyword} {wanted!r}"

    def _properties(self, value: Any, wanted: Schema, where: str) -> str | None:
        if not isinstance(value, dict):
            return None
        for name, schema in wanted.items():
            if name in value:
                found = self.wrong(value[name], schema, f"{where}.{name}")
                if found is not None:
                    return found
        return None
