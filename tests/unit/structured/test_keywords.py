"""What schemas say, alone and together."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from edge.structured.keywords import Place, Said, SchemaError, kind_of, read, same, together


def said(schema: dict[str, Any]) -> Said:
    return read(Place((), schema))


def test_bounds_of_all_drafts() -> None:
    for schema in (
        {"exclusiveMinimum": 3, "minimum": 2},
        {"exclusiveMinimum": True, "minimum": 3},
        {"minimum": 3, "exclusiveMinimum": 3},
    ):
        assert said(schema).low == (Decimal(3), True)
    assert said({"maximum": 3, "exclusiveMaximum": 4}).high == (Decimal(3), False)


def test_together_the_tighter_bound_holds() -> None:
    both = together(
        said({"minimum": 1, "maxLength": 5, "minItems": 1, "required": ["a"]}),
        said({"exclusiveMinimum": 1, "maxLength": 7, "minItems": 2, "required": ["b"]}),
    )
    assert both is not None
    assert both.low == (Decimal(1), True)
    assert (both.chars_most, both.items_least, list(both.required)) == (5, 2, ["a", "b"])


@pytest.mark.parametrize(
    ("one", "other", "types"),
    [
        (["integer"], ["number"], {"integer"}),
        (["number", "null"], ["integer", "null"], {"integer", "null"}),
        (["string"], ["null"], None),
    ],
)
def test_types_together(one: list[str], other: list[str], types: set[str] | None) -> None:
    both = together(said({"type": one}), said({"type": other}))
    assert (None if both is None else both.types) == types


def test_a_member_that_another_schema_does_not_name_is_under_what_it_says_of_others() -> None:
    one = said({"properties": {"a": {}}})
    for other, expected in (
        ({"properties": {"b": {}}, "additionalProperties": False}, [False]),
        ({"additionalProperties": {"type": "string"}}, [{}, {"type": "string"}]),
        ({}, [{}]),
    ):
        both = together(one, said(other))
        assert both is not None
        assert [place.schema for place in both.properties["a"]][-len(expected) :] == expected


def test_what_is_said_twice_is_refused() -> None:
    with pytest.raises(SchemaError, match="'pattern' is said twice"):
        together(said({"pattern": "a"}), said({"pattern": "b"}))
    assert together(said({"pattern": "a"}), said({"pattern": "a"})) is not None


def test_values_are_the_same_as_json_schema_has_it() -> None:
    assert same(1) == same(1.0) != same(True)
    assert same({"a": [1], "b": 2}) == same({"b": 2.0, "a": [1.0]})
    values: list[Any] = [None, True, 1, 1.5, "a", [], {}]
    kinds = [kind_of(value) for value in values]
    assert kinds == ["null", "boolean", "number", "number", "string", "array", "object"]


def test_types_follow_from_what_is_said() -> None:
    assert said({"minLength": 1}).kinds() == {"string"}
    assert said({"properties": {}}).kinds() == {"object"}
    assert said({}).anything
    assert not said({"type": "object"}).anything
