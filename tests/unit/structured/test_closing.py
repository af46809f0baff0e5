"""A text that was cut short is closed to one that the grammar allows."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

from edge.structured import closing as closing_module
from edge.structured import formats, gbnf
from edge.structured.closing import CLOSING_CHARS_MAX, Walk, closing, following, is_whole
from tests.support.drawn import Drawer
from tests.support.schemas import SCHEMAS


def grammar_of(schema: Any) -> str:
    value = {"type": "json_schema", "json_schema": {"schema": schema}}
    grammar = formats.read(value, "response_format").grammar()
    assert grammar is not None
    return grammar


GRAMMARS = {name: grammar_of(schema) for name, schema in SCHEMAS.items()}
ANY_OBJECT = formats.read({"type": "json_object"}, "response_format").grammar() or ""


@given(st.sampled_from([*SCHEMAS]), st.integers(0, 2**32), st.floats(0, 1))
def test_any_beginning_becomes_a_valid_answer(name: str, seed: int, share: float) -> None:
    grammar = gbnf.read(GRAMMARS[name])
    text = Drawer(GRAMMARS[name], Random(seed), budget=60).text()
    begun = text[: round(share * len(text))]
    rest = closing(grammar, begun)
    assert rest is not None
    whole = json.loads(begun + rest)
    kind = validator_for(SCHEMAS[name], default=Draft202012Validator)
    kind(SCHEMAS[name], format_checker=kind.FORMAT_CHECKER).validate(whole)
    assert is_whole(grammar, begun + rest)
    assert len(rest) <= len(text) - len(begun)
    assert closing(grammar, text) == ""


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("", "{}"), ("{", "}"), ('{"a', '":0}'), ('{"a":"b\\', '""}'), ('{"a": [1, [2', "]]}"),
        ('{"a": tr', "ue}"), ('{"a": -', "0}"), ('{"a": 1.', "0}"), ('{"a": {"b": null', "}}"),
        ('{"a": "\\u00', '00"}'), ('{"a":1, ', '"":0}'), ('{"a":1}', ""),
    ],
)  # fmt: skip
def test_the_shortest_end_of_any_object(text: str, rest: str) -> None:
    found = closing(gbnf.read(ANY_OBJECT), text)
    assert found is not None
    assert len(found) == len(rest)
    json.loads(text + found)


@pytest.mark.parametrize("text", ["x", '{"a":1}}', "[", '{"a":01', "{'"])
def test_what_is_no_beginning_has_no_end(text: str) -> None:
    grammar = gbnf.read(ANY_OBJECT)
    assert closing(grammar, text) is None
    assert following(grammar, text) is None
    assert not is_whole(grammar, text)


def test_an_end_that_is_too_long_is_none() -> None:
    for size, found in ((CLOSING_CHARS_MAX, True), (CLOSING_CHARS_MAX + 1, False)):
        blocks, rest = divmod(size, 100)
        grammar = gbnf.read(f'root ::= ("a"{{100}}){{{blocks}}} "b"{{{rest}}}')
        assert (closing(grammar, "") is not None) == found


def test_what_never_ends_has_no_end() -> None:
    grammar = gbnf.read('root ::= "a" root')
    assert closing(grammar, "aaa") is None


def test_a_grammar_that_leaves_too_many_ways_open_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grammar = gbnf.read('root ::= ("a"? "a"? "b"?){1,12}')
    assert closing(grammar, "ab" * 10) == ""
    monkeypatch.setattr(closing_module, "WORK_MAX", 100)
    assert closing(grammar, "ab" * 10) is None
    assert following(grammar, "ab" * 10) is None
    assert not is_whole(grammar, "ab" * 10)


def test_a_long_text_takes_little_work() -> None:
    walk = Walk(gbnf.read(ANY_OBJECT))
    item = '{"name": "a long name of a thing", "list": [1, 2, 3], "flag": true}'
    walk.go('{"items": [' + ", ".join([item] * 2_000))
    assert walk.fits
    assert walk._work < 1_000


@given(st.sampled_from([*SCHEMAS]), st.integers(0, 2**32), st.floats(0, 1))
def test_what_may_follow_is_what_is_left(name: str, seed: int, share: float) -> None:
    grammar = gbnf.read(GRAMMARS[name])
    text = Drawer(GRAMMARS[name], Random(seed), budget=60).text()
    begun = text[: round(share * len(text))]
    left = following(grammar, begun)
    assert left is not None
    assert is_whole(gbnf.read(left), text[len(begun) :])
    another = Drawer(left, Random(seed), budget=60).text()
    assert is_whole(grammar, begun + another)


def test_choices_may_begin_alike() -> None:
    grammar = gbnf.read('root ::= "red" | "red wine" | "rose"')
    assert closing(grammar, "r") == "ed"
    assert closing(grammar, "red") == ""
    assert closing(grammar, "red ") == "wine"
    assert following(grammar, "ro") is not None
