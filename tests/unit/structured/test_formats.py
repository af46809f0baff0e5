"""``response_format`` as clients send it."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from edge.errors import InvalidRequest
from edge.structured import formats
from edge.structured.formats import CHOICES_MAX, read, stored
from tests.support.drawn import Drawer


def schema(value: Any, **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": value} | more}


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ({"type": "grammar", "grammar": 'root ::= "yes" | "no"'}, {"yes", "no"}),
        ({"type": "choice", "choices": ["red", "red wine", "blue"]}, {"red", "red wine", "blue"}),
        (schema({"type": "boolean"}, strict=True, description="d"), {"true", "false"}),
        (schema({"type": "boolean"}, strict=False, name=None), {"true", "false"}),
    ],
)
def test_what_may_be_said(value: Any, texts: set[str]) -> None:
    grammar = read(value, "response_format").grammar()
    assert grammar is not None
    drawer = Drawer(grammar, Random(1))
    assert {drawer.text() for _ in range(60)} == texts


def test_any_object() -> None:
    grammar = read({"type": "json_object"}, "response_format").grammar()
    assert grammar is not None
    assert isinstance(json.loads(Drawer(grammar, Random(1)).text()), dict)


def test_text_is_no_format_at_all() -> None:
    found = read({"type": "text"}, "response_format")
    assert (found.kind, found.grammar()) == ("text", None)


def test_what_is_stored_is_the_same_format() -> None:
    found = read(schema({"type": "integer"}), "format")
    again = stored(found.text)
    assert again == found
    assert again.grammar() == found.grammar()


def test_a_grammar_is_made_once() -> None:
    before = formats._made.cache_info().misses
    value = schema({"const": "made once"})
    for _ in range(3):
        stored(read(value, "response_format").text).grammar()
    assert formats._made.cache_info().misses == before + 1


@pytest.mark.parametrize(
    ("value", "field", "sentence"),
    [
        ("json", "", "response_format has to be an object"),
        ({}, ".type", "the type has to be one of text, json_object"),
        ({"type": "xml"}, ".type", "the type has to be one of text, json_object"),
        ({"type": ["text"]}, ".type", "the type has to be one of text, json_object"),
        ({"type": "text", "x": 1}, ".x", "there is no 'x' here; there are type"),
        ({"type": "json_schema"}, ".json_schema", "has to be an object"),
        (schema(None), ".json_schema.schema", "the schema is missing"),
        (schema({}, name=""), ".json_schema.name", "the name has to be text of 1 to 64"),
        (schema({}, name="n" * 65), ".json_schema.name", "the name has to be text of 1 to 64"),
        (schema({}, strict=1), ".json_schema.strict", "strict has to be true or false"),
        (schema({}, description=1), ".json_schema.description", "has to be text"),
        (schema({}, more=1), ".json_schema.more", "there is no 'more' here"),
        (
            schema({"not": {}}),
            ".json_schema.schema",
            "Invalid schema for response_format 'x': #/not",
        ),
        ({"type": "grammar"}, ".grammar", "the grammar has to be text and not empty"),
        ({"type": "grammar", "grammar": "x"}, ".grammar", "cannot be read: ::= is missing"),
        ({"type": "choice", "choices": []}, ".choices", "has to be a list of 1 to 1000"),
        ({"type": "choice", "choices": ["a"] * (CHOICES_MAX + 1)}, ".choices", "has to be a list"),
        ({"type": "choice", "choices": ["a", ""]}, ".choices", "each choice has to be text"),
        ({"type": "grammar", "grammar": "a" * 131_073}, "", "is over 131072"),
        ({"type": "grammar", "grammar": "a" * 65_537}, ".grammar", "is over 65536"),
        ({"type": "choice", "choices": ["\n" * 60_000]}, ".choices", "are too long together"),
    ],
)
def test_what_is_refused(value: Any, field: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(value, "response_format")
    assert caught.value.field == "response_format" + field
    assert sentence in str(caught.value)


def test_three_hundred_levels_are_refused_as_an_invalid_schema() -> None:
    value: Any = {}
    for _ in range(300):
        value = {"items": value}
    with pytest.raises(InvalidRequest, match="Invalid schema for response_format"):
        read(schema(value), "response_format")
