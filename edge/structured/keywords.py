"""What one JSON Schema says for itself, keyword by keyword, and what two of them say together.

Source: JSON Schema 2020-12, and of older drafts and OpenAPI 3.0 what still is in use (``items`` as
a list, ``exclusiveMinimum`` as a flag, ``nullable``).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final, Literal

import orjson

from edge.errors import InvalidRequest
from edge.json_values import whole_number

Path = tuple[str, ...]

TYPES: Final = ("object", "array", "string", "number", "integer", "boolean", "null")
_ALL: Final = frozenset(TYPES) - {"integer"}
NAME_CHARS_MAX: Final = 256
TOGETHER_MAX: Final = 16
"""Schemas that a value has to satisfy together."""
LENGTH_MAX: Final = 100_000
"""A longer string or list is not made where the schema would allow it, and not to be had where the
schema demands it."""

_UNSUPPORTED: Final = frozenset(
    {
        "not", "if", "then", "else", "patternProperties", "propertyNames", "dependentRequired",
        "dependentSchemas", "dependencies", "contains", "minContains", "maxContains",
        "$dynamicRef", "$recursiveRef", "unevaluatedItems",
    }
)  # fmt: skip
"""Keywords that forbid values. All others that are not known forbid nothing."""


@dataclass(frozen=True, slots=True)
class Place:
    """A schema within the document; the path is that of a JSON pointer (RFC 6901)."""

    path: Path
    schema: Any

    def at(self, *steps: str | int) -> Place:
        schema = self.schema
        for step in steps:
            schema = schema[step]
        return Place((*self.path, *map(str, steps)), schema)


Conjunction = tuple[Place, ...]
"""What satisfies all of these; none of them, and it may be anything."""


class SchemaError(InvalidRequest):
    """The schema cannot be had; ``path`` says where in it."""


@dataclass(slots=True)
class Said:
    """What is said of a value. ``values`` are all that it may be, None for no such list. Of an
    object, ``extra`` are members that are not named: None nothing is said, False none may be.
    ``listed`` says that members are named at all. Of an array, ``prefix`` are the first items and
    ``items`` the others."""

    path: Path = ()
    types: frozenset[str] = _ALL
    typed: bool = False
    values: list[Any] | None = None
    properties: dict[str, Conjunction] = field(default_factory=dict)
    required: dict[str, None] = field(default_factory=dict)
    listed: bool = False
    extra: Conjunction | Literal[False] | None = None
    members_least: int = 0
    members_most: int | None = None
    prefix: list[Conjunction] = field(default_factory=list)
    items: Conjunction | Literal[False] | None = None
    items_least: int = 0
    items_most: int | None = None
    unique: bool = False
    chars_least: int = 0
    chars_most: int | None = None
    pattern: str | None = None
    format: str | None = None
    low: tuple[Decimal, bool] | None = None
    high: tuple[Decimal, bool] | None = None

    def kinds(self) -> frozenset[str]:
        """The types that it may have. Where none is said, those that something is said about."""
        types = self.types
        if self.values is not None:
            return types & {kind_of(value) for value in self.values} | (
                frozenset({"integer"}) & types
            )
        if not self.typed:
            about = {
                "object": self.listed or self.required or self.extra is not None
                or self.members_least or self.members_most is not None,
                "array": self.prefix or self.items is not None or self.items_least
                or self.items_most is not None or self.unique,
                "string": self.chars_least or self.chars_most is not None or self.pattern
                or self.format,
                "number": self.low or self.high,
            }  # fmt: skip
            types = frozenset(kind for kind, said in about.items() if said) or types
        return types

    @property
    def anything(self) -> bool:
        """Nothing is said of it."""
        return not self.typed and self.values is None and self.kinds() == _ALL


def refuse(sentence: str, path: Path) -> SchemaError:
    """The error; who knows what the schema is for puts that before it."""
    pointer = "#" + "".join(
        "/" + step.replace("~", "~0").replace("/", "~1")[:80] for step in path[:40]
    )
    return SchemaError(f"{pointer}: {sentence}")


def kind_of(value: Any) -> str:
    """The JSON type of a value; a whole number is a number too."""
    if value is None:
        return "null"
    for kind, types in (
        ("boolean", bool), ("number", int | float), ("string", str), ("array", list),
    ):  # fmt: skip
        if isinstance(value, types):
            return kind
    return "object"


def same(value: Any) -> bytes:
    """Equal for values that JSON Schema calls equal: 1 and 1.0 are, 1 and true are not."""

    def plain(each: Any) -> Any:
        if isinstance(each, list):
            return [plain(item) for item in each]
        if isinstance(each, dict):
            return {name: plain(item) for name, item in each.items()}
        whole = whole_number(each)
        return each if whole is None else whole

    return orjson.dumps(plain(value), option=orjson.OPT_SORT_KEYS)


# ---- one schema


def read(place: Place) -> Said:
    """What this schema says itself, without what it combines. `SchemaError` for what is not a
    schema, or cannot be held to."""
    schema, path = place.schema, place.path
    for name in schema:
        if name in _UNSUPPORTED:
            raise refuse(f"'{name}' is not supported", (*path, name))
    said = Said(path)
    _read_types(said, schema, path)
    _read_object(said, place)
    _read_array(said, place)
    _read_string(said, schema, path)
    _read_number(said, schema, path)
    return said


def _read_types(said: Said, schema: dict[str, Any], path: Path) -> None:
    given = schema.get("type")
    if given is not None:
        names = [given] if isinstance(given, str) else given
        if not isinstance(names, list) or not names or any(each not in TYPES for each in names):
            raise refuse(f"'type' has to be of {', '.join(TYPES)}", (*path, "type"))
        said.types, said.typed = frozenset(names), True
    values = schema.get("enum")
    if values is not None:
        if not isinstance(values, list) or not values:
            raise refuse("'enum' has to be a list that is not empty", (*path, "enum"))
        said.values = values
    if "const" in schema:
        const = schema["const"]
        if said.values is None or same(const) in map(same, said.values):
            said.values = [const]
        else:
            said.values = []


def _read_object(said: Said, place: Place) -> None:
    schema, path = place.schema, place.path
    properties = schema.get("properties")
    if properties is not None:
        if not isinstance(properties, dict):
            raise refuse("'properties' has to be an object", (*path, "properties"))
        said.listed = True
        for name in properties:
            if len(name) > NAME_CHARS_MAX:
                raise refuse(f"a name of more than {NAME_CHARS_MAX} characters", path)
            said.properties[name] = (place.at("properties", name),)
    required = schema.get("required")
    if required is not None:
        if not isinstance(required, list) or not all(isinstance(each, str) for each in required):
            raise refuse("'required' has to be a list of names", (*path, "required"))
        said.required = dict.fromkeys(required)
    extra = schema.get("additionalProperties")
    if extra is not None:
        _subschema(extra, (*path, "additionalProperties"))
        said.extra = False if extra is False else (place.at("additionalProperties"),)
    if schema.get("unevaluatedProperties") not in (None, False, True):
        raise refuse(
            "'unevaluatedProperties' is supported as true or false alone",
            (*path, "unevaluatedProperties"),
        )
    if schema.get("unevaluatedProperties") is False:
        # Members are made that are named somewhere; this only keeps others from being made.
        said.listed = True
    said.members_least = _count(schema, "minProperties", path) or 0
    said.members_most = _count(schema, "maxProperties", path)


def _read_array(said: Said, place: Place) -> None:
    schema, path = place.schema, place.path
    key, rest = "prefixItems", "items"
    if isinstance(schema.get("items"), list):
        key, rest = "items", "additionalItems"
    prefix = schema.get(key)
    if prefix is not None:
        if not isinstance(prefix, list):
            raise refuse(f"'{key}' has to be a list", (*path, key))
        said.prefix = [(place.at(key, at),) for at in range(len(prefix))]
    items = schema.get(rest)
    if items is not None:
        _subschema(items, (*path, rest))
        said.items = False if items is False else (place.at(rest),)
    said.items_least = _count(schema, "minItems", path) or 0
    said.items_most = _count(schema, "maxItems", path)
    said.unique = schema.get("uniqueItems") is True


def _read_string(said: Said, schema: dict[str, Any], path: Path) -> None:
    said.chars_least = _count(schema, "minLength", path) or 0
    said.chars_most = _count(schema, "maxLength", path)
    for name in ("pattern", "format"):
        text = schema.get(name)
        if text is not None and not isinstance(text, str):
            raise refuse(f"'{name}' has to be text", (*path, name))
    said.pattern, said.format = schema.get("pattern"), schema.get("format")


def _read_number(said: Said, schema: dict[str, Any], path: Path) -> None:
    low, high = _bound(schema, "minimum", path), _bound(schema, "maximum", path)
    above, below = (_bound(schema, name, path) for name in ("exclusiveMinimum", "exclusiveMaximum"))
    if low is not None:
        said.low = (low, schema.get("exclusiveMinimum") is True)
    if high is not None:
        said.high = (high, schema.get("exclusiveMaximum") is True)
    if above is not None:
        said.low = _tighter(said.low, (above, True), 1)
    if below is not None:
        said.high = _tighter(said.high, (below, True), -1)
    if schema.get("multipleOf") not in (None, 1) or (
        schema.get("multipleOf") == 1 and schema.get("type") != "integer"
    ):
        raise refuse("'multipleOf' is not supported", (*path, "multipleOf"))


def _subschema(value: Any, path: Path) -> None:
    if not isinstance(value, dict | bool):
        raise refuse("a schema has to be an object, true or false", path)


def _count(schema: dict[str, Any], name: str, path: Path) -> int | None:
    value = schema.get(name)
    if value is None:
        return None
    count = whole_number(value)
    if count is None or count < 0:
        raise refuse(f"'{name}' has to be a whole number from 0", (*path, name))
    if name.startswith("min") and count > LENGTH_MAX:
        raise refuse(f"'{name}' may be {LENGTH_MAX} at most", (*path, name))
    return min(count, LENGTH_MAX)


def _bound(schema: dict[str, Any], name: str, path: Path) -> Decimal | None:
    value = schema.get(name)
    if value is None or (isinstance(value, bool) and name.startswith("exclusive")):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refuse(f"'{name}' has to be a number", (*path, name))
    return Decimal(repr(value))


# ---- two schemas


def together(one: Said, other: Said) -> Said | None:
    """What both say; None when nothing satisfies both. `SchemaError` when that cannot be told."""
    types = _common_types(one.types, other.types)
    if not types:
        return None
    values = one.values if other.values is None else other.values
    if one.values is not None and other.values is not None:
        known = {same(value) for value in other.values}
        values = [value for value in one.values if same(value) in known]
    both = replace(
        one,
        path=one.path or other.path,
        prefix=[],
        types=types,
        typed=one.typed or other.typed,
        values=values,
        properties=_both_properties(one, other),
        required=one.required | other.required,
        listed=one.listed or other.listed,
        extra=_both(one.extra, other.extra),
        members_least=max(one.members_least, other.members_least),
        members_most=_least(one.members_most, other.members_most),
        items_least=max(one.items_least, other.items_least),
        items_most=_least(one.items_most, other.items_most),
        unique=one.unique or other.unique,
        chars_least=max(one.chars_least, other.chars_least),
        chars_most=_least(one.chars_most, other.chars_most),
        low=_tighter(one.low, other.low, 1),
        high=_tighter(one.high, other.high, -1),
        pattern=_either(one, other, "pattern"),
        format=_either(one, other, "format"),
    )
    for at in range(max(len(one.prefix), len(other.prefix))):
        item = _both(_item(one, at), _item(other, at))
        both.prefix.append(_FALSE if item is False else item or ())
    both.items = _both(one.items, other.items)
    return both


_FALSE: Final[Conjunction] = (Place(("false",), False),)


def _item(said: Said, at: int) -> Conjunction | Literal[False] | None:
    return said.prefix[at] if at < len(said.prefix) else said.items


def _common_types(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    found = one & other
    for some, rest in ((one, other), (other, one)):
        if "integer" in some and "number" in rest and "number" not in some:
            found |= {"integer"}
    return found


def _both_properties(one: Said, other: Said) -> dict[str, Conjunction]:
    found: dict[str, Conjunction] = {}
    for name in one.properties | other.properties:
        sides = []
        for said in (one, other):
            side = said.properties.get(name, said.extra)
            sides.append(_FALSE if side is False else side or ())
        found[name] = _joined(sides[0], sides[1])
    return found


def _joined(one: Conjunction, other: Conjunction) -> Conjunction:
    known = {place.path for place in one}
    both = (*one, *(place for place in other if place.path not in known))
    if len(both) > TOGETHER_MAX:
        raise refuse(f"more than {TOGETHER_MAX} schemas of one value", both[-1].path)
    return both


def _both(
    one: Conjunction | Literal[False] | None, other: Conjunction | Literal[False] | None
) -> Conjunction | Literal[False] | None:
    if one is False or other is False:
        return False
    if one is None:
        return other
    return one if other is None else _joined(one, other)


def _least(one: int | None, other: int | None) -> int | None:
    given = [each for each in (one, other) if each is not None]
    return min(given) if given else None


def _tighter(
    one: tuple[Decimal, bool] | None, other: tuple[Decimal, bool] | None, sign: int
) -> tuple[Decimal, bool] | None:
    """The bound that leaves less; ``sign`` is 1 for lower bounds and -1 for upper ones."""
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda bound: (sign * bound[0], bound[1]))


def _either(one: Said, other: Said, name: str) -> str | None:
    mine, theirs = getattr(one, name), getattr(other, name)
    if mine is not None and theirs is not None and mine != theirs:
        path = (*other.path, name)
        raise refuse(f"'{name}' is said twice of one value; that is not supported", path)
    found: str | None = theirs if mine is None else mine
    return found
