"""How the members of a large object are written: each once."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from edge.structured.emission import Emitter
from edge.structured.grammar import Grammar, gbnf
from edge.structured.keywords import Conjunction, Place, Said, SchemaError, read, together
from edge.structured.pruning import pruned
from tests.support.drawn import Drawer


def alternatives(places: Conjunction) -> list[Said]:
    found: Said | None = Said()
    for place in places:
        assert found is not None
        found = together(found, read(place))
    return [] if found is None else [found]


def emitted(schema: Any) -> Grammar:
    grammar: Grammar = {}
    name = Emitter(alternatives, lambda _path, _cost: None, grammar, "s0").emit(
        (Place((), schema),)
    )
    assert name == "s0"
    return pruned(grammar)


def values(schema: Any) -> list[Any]:
    drawer = Drawer(f"root ::= s0\n{gbnf(emitted(schema))}", Random(1))
    return [json.loads(drawer.text()) for _ in range(100)]


def test_two_hundred_optional_members_take_two_hundred_rules() -> None:
    grammar = emitted({"properties": {f"m{at}": {"const": at} for at in range(200)}})
    assert len(grammar) == 402
    assert all(
        text.startswith("m") for value in values({"properties": {"m": {}}}) for text in value
    )


def test_items_by_their_places() -> None:
    schema = {"prefixItems": [{"const": 1}, {"const": 2}], "items": {"const": 3}, "maxItems": 4}
    found = {tuple(value) for value in values(schema)}
    assert found == {(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 3)}
    found = {tuple(value) for value in values(schema | {"minItems": 2, "items": False})}
    assert found == {(1, 2)}


def test_different_items_come_in_their_order() -> None:
    schema = {"items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 1}
    found = {tuple(value) for value in values(schema)}
    assert found == {(1,), (2,), (3,), (1, 2), (1, 3), (2, 3), (1, 2, 3)}


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": ["a"], "pattern": "a"},
        {"enum": [{}], "properties": {"a": {}}},
        {"prefixItems": [{}] * 65},
        {"type": "integer", "minimum": 1e300},
        {"type": "number", "minimum": 1.2345678901234567},
        {"type": "integer", "format": "int128"},
        {"type": "number", "format": "money"},
    ],
)
def test_what_is_refused(schema: Any) -> None:
    with pytest.raises(SchemaError):
        emitted(schema)


def test_formats_of_numbers() -> None:
    assert all(
        -(2**31) <= value < 2**31 for value in values({"type": "integer", "format": "int32"})
    )
    assert values({"type": "number", "format": "double"})
