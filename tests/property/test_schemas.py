"""Schemas by chance: whatever is not refused is held to."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from edge.errors import InvalidRequest
from edge.structured import gbnf
from edge.structured.closing import closing
from edge.structured.schema import Rules
from tests.support.drawn import Drawer

NAMES = st.sampled_from(["a", "ab", "b", "kind"])
SMALL = st.integers(-3, 6)
HALVES = st.sampled_from([-2.5, -1, 0, 0.5, 1, 2.25, 7])
VALUES = st.sampled_from([None, True, False, 0, 1, 1.0, 2.5, "", "a", "ab", "kind"])
TYPES = st.sampled_from(["object", "array", "string", "number", "integer", "boolean", "null"])
COUNT = st.integers(0, 3)
LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
    "enum": st.lists(VALUES, min_size=1, max_size=4),
    "const": VALUES,
    "minimum": HALVES,
    "maximum": HALVES,
    "exclusiveMinimum": HALVES,
    "exclusiveMaximum": HALVES,
    "minLength": COUNT,
    "maxLength": COUNT,
    "pattern": st.sampled_from(["^[a-c]+$", "b", "^ab?c*$", "^(x|yz){1,2}$"]),
    "minItems": COUNT,
    "maxItems": COUNT,
    "required": st.lists(NAMES, max_size=2, unique=True),
    "minProperties": st.integers(0, 1),
    "maxProperties": COUNT,
    "uniqueItems": st.booleans(),
    "$ref": st.sampled_from(["#", "#/$defs/one", "#/$defs/two"]),
}


def _of(keywords: dict[str, st.SearchStrategy[Any]], most: int) -> st.SearchStrategy[Any]:
    """A few of the keywords: of a schema with all at once nothing would be left."""
    names = st.lists(st.sampled_from([*keywords]), max_size=most, unique=True)
    return names.flatmap(
        lambda chosen: st.fixed_dictionaries({name: keywords[name] for name in chosen})
    )


def _larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    schemas = st.lists(inner, min_size=1, max_size=3)
    more: dict[str, st.SearchStrategy[Any]] = {
        "properties": st.dictionaries(NAMES, inner, max_size=3),
        "additionalProperties": inner,
        "items": inner,
        "prefixItems": schemas,
        "allOf": schemas,
        "anyOf": schemas,
        "oneOf": schemas,
    }
    return _of(more | LEAVES, 4)


SCHEMAS = st.recursive(st.booleans() | _of(LEAVES, 3), _larger, max_leaves=8)


@given(SCHEMAS, SCHEMAS, SCHEMAS, st.integers(0, 2**32))
def test_what_is_not_refused_is_held_to(schema: Any, one: Any, two: Any, seed: int) -> None:
    if not isinstance(schema, dict):
        schema = {"anyOf": [schema]}
    schema = schema | {"$defs": {"one": one, "two": two}}
    rules = Rules()
    try:
        name = rules.add(schema, "x", "x")
    except InvalidRequest:
        return
    grammar = f"root ::= {name}\n{rules.gbnf()}"
    drawer = Drawer(grammar, Random(seed), budget=40)
    validator = Draft202012Validator(schema)
    texts = [drawer.text() for _ in range(6)]
    begun = texts[0][: len(texts[0]) // 2]
    rest = closing(gbnf.read(grammar), begun)
    if rest is not None:
        texts.append(begun + rest)
    for text in texts:
        validator.validate(json.loads(text))
