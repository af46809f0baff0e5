"""Texts that a schema's grammar allows are valid by the schema; what cannot be had is refused."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

from edge.errors import InvalidRequest
from edge.structured import gbnf
from edge.structured.closing import is_whole
from edge.structured.schema import LEVELS_MAX, Rules
from tests.support.drawn import Drawer
from tests.support.schemas import SCHEMAS, items, of, one, ref

TEXT: dict[str, Any] = {"type": "string"}


def grammar(schema: Any) -> str:
    rules = Rules("t-")
    name = rules.add(schema, "response_format 'x'", "response_format")
    return f"root ::= {name}\n{rules.gbnf()}"


def drawn(schema: Any, count: int = 40) -> list[str]:
    drawer = Drawer(grammar(schema), Random(7))
    return [drawer.text() for _ in range(count)]


def refusal(schema: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        grammar(schema)
    assert caught.value.field == "response_format"
    sentence = str(caught.value)
    assert sentence.startswith("Invalid schema for response_format 'x': ")
    return sentence.partition(": ")[2]


def test_there_are_sixty() -> None:
    assert len(SCHEMAS) == 60


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_the_grammar_allows_is_valid(name: str) -> None:
    schema = SCHEMAS[name]
    kind = validator_for(schema, default=Draft202012Validator)
    validator = kind(schema, format_checker=kind.FORMAT_CHECKER)
    for text in drawn(schema):
        validator.validate(json.loads(text))


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        ({"not": {}}, "#/not: 'not' is not supported"),
        ({"properties": {"a": {"if": {}}}}, "#/properties/a/if: 'if' is not supported"),
        ({"patternProperties": {}}, "#/patternProperties: 'patternProperties' is not supported"),
        ({"items": {"contains": {}}}, "#/items/contains: 'contains' is not supported"),
        (items(TEXT, uniqueItems=True), "#/uniqueItems: 'uniqueItems' is supported for items"),
        ({"type": "number", "multipleOf": 0.01}, "#/multipleOf: 'multipleOf' is not supported"),
        ({"type": "string", "format": "regex"}, "#/format: 'format' 'regex' is not supported"),
        ({"type": "string", "pattern": "(?=a)"}, "#/pattern: 'pattern' '(?=a)': '(?=a)' at"),
        ({"type": "string", "pattern": "a", "format": "date"}, "#/format: 'format' beside"),
        ({"type": "text"}, "#/type: 'type' has to be of object, array"),
        ({"enum": []}, "#/enum: 'enum' has to be a list that is not empty"),
        ({"required": "a"}, "#/required: 'required' has to be a list of names"),
        ({"properties": []}, "#/properties: 'properties' has to be an object"),
        ({"properties": {"a/b": 1}}, "#/properties/a~1b: a schema has to be an object"),
        ({"minLength": -1}, "#/minLength: 'minLength' has to be a whole number from 0"),
        ({"minItems": 200_000}, "#/minItems: 'minItems' may be 100000 at most"),
        ({"minimum": "1"}, "#/minimum: 'minimum' has to be a number"),
        ({"anyOf": []}, "#/anyOf: 'anyOf' has to be a list that is not empty"),
        ({"$ref": "#/$defs/no"}, "#/$ref: '$ref' leads to #/$defs/no, where nothing is"),
        ({"$ref": "other.json"}, "#/$ref: '$ref' has to lead into the same schema"),
        ({"$ref": "#"}, "#/$ref: '$ref' leads back to itself"),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [ref("b")]}, "b": ref("a")}},
            "#/$defs/b/$ref: '$ref' leads back to itself",
        ),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "#/oneOf: 'oneOf' is supported"),
        ({"type": "object", "minProperties": 3}, "#/minProperties: 'minProperties' is supported"),
        (
            {"properties": {"a": {}, "b": {}}, "maxProperties": 1},
            "#/maxProperties: 'maxProperties' is supported",
        ),
        (False, "#: no value satisfies it"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "#: no value satisfies it"),
        (of({"child": {"$ref": "#"}}), "#: no value satisfies it"),
        ({"required": ["a"], "additionalProperties": False}, "#: no value satisfies it"),
        ({"allOf": [{"type": "string"}, {"type": "null"}]}, "#: no value satisfies it"),
        ({"type": "string", "enum": [1, 2]}, "#: no value satisfies it"),
        ([], "#: a schema has to be an object"),
        ("object", "#: a schema has to be an object"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_refused_by_name(schema: Any, sentence: str) -> None:
    assert refusal(schema).startswith(sentence)


def test_three_hundred_levels_are_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(300):
        schema = {"items": schema}
    assert refusal(schema) == f"#: it is nested deeper than {LEVELS_MAX} levels"
    schema = {"type": "string"}
    for _ in range(LEVELS_MAX - 1):
        schema = {"items": schema}
    assert grammar(schema)


def test_schemas_that_multiply_are_refused() -> None:
    unions = [{"anyOf": [{"title": str(at)} for at in range(20)]} for _ in range(20)]
    assert "alternatives" in refusal({"allOf": unions})
    chain = {f"a{at}": ref(f"a{at + 1}") for at in range(500)}
    sentence = refusal({"$ref": "#/$defs/a0", "$defs": chain | {"a500": TEXT}})
    assert "too many references" in sentence
    members = {f"m{at}": TEXT for at in range(20_000)}
    assert "too large" in refusal(of(members))


def test_what_need_not_be_there_is_left_out_where_it_cannot_be() -> None:
    schema = of({"a": one(1), "b": False, "c": {"type": "array", "items": False}}, "b")
    assert {json.dumps(json.loads(text)) for text in drawn(schema)} == {'{"a": 1, "c": []}'}


def test_members_come_in_their_order_and_any_subset() -> None:
    schema = of({"a": one(1), "b": one(2), "c": one(3)}, "a", "c")
    found = {tuple(json.loads(text)) for text in drawn(schema, 200)}
    assert found == {("b",), ("a", "b"), ("b", "c"), ("a", "b", "c")}


def test_other_members_have_other_names() -> None:
    schema = {"properties": {"ab": one(1), "abc": one(2)}, "additionalProperties": one(3)}
    for text in drawn(schema, 400):
        for name, value in json.loads(text).items():
            assert value == {"ab": 1, "abc": 2}.get(name, 3)


def test_one_of_needs_what_tells_them_apart() -> None:
    sure: list[list[Any]] = [
        [{"type": "string"}, {"type": "integer"}],
        [one(1, 2), one(3)],
        [one("a"), {"type": "number"}],
        [of({"a": TEXT}), of({"b": TEXT})],
        [of({"a": one(1)}), of({"a": one(2)})],
        [of({"a": of({"b": one(1)})}), of({"a": of({"b": one(2)})})],
    ]
    for schemas in sure:
        assert grammar({"oneOf": schemas})
    for schemas in [
        [one(1, 2), one(2)],
        [of({"a": TEXT}), of({"a": TEXT, "b": TEXT}, "b")],
        [{"type": "object"}, of({"a": TEXT})],
        [of({"a": one(1)}, "a"), of({"a": one(2)}, "a")],
    ]:
        assert "'oneOf'" in refusal({"oneOf": schemas})


def test_null_is_allowed_where_openapi_says_so() -> None:
    found = set(drawn(of({"a": {"type": "boolean", "nullable": True}}), 60))
    assert {json.dumps(json.loads(text)) for text in found} == {
        '{"a": true}', '{"a": false}', '{"a": null}',
    }  # fmt: skip


def test_values_are_those_that_all_else_holds_for() -> None:
    assert set(drawn({"enum": [1, 2.5, 3, "a"], "type": "integer", "minimum": 2})) == {"3"}
    assert set(drawn({"enum": ["a", "abc"], "maxLength": 2})) == {'"a"'}
    assert set(drawn({"allOf": [one(1, 2, 3), one(3.0, 2, True)]})) == {"2", "3"}


def test_several_schemas_share_a_grammar() -> None:
    rules = Rules("args-")
    first = rules.add(of({"a": TEXT}), "function 'one'", "tools[0]")
    second = rules.add(of({"b": TEXT}), "function 'two'", "tools[1]")
    text = f"root ::= {first} | {second}\n{rules.gbnf()}"
    drawer = Drawer(text, Random(1))
    names = {name for _ in range(40) for name in json.loads(drawer.text())}
    assert names == {"a", "b"}
    assert all(name.startswith("args-") for name in gbnf.read(text) if name != "root")


def test_a_small_schema_takes_few_looks_and_a_hundred_members_a_short_grammar() -> None:
    members = {f"member_{at}": {"type": "string", "maxLength": 5_000} for at in range(100)}
    assert len(grammar({"type": "object", "properties": members})) < 20_000


def test_others_beside_very_many_names_are_refused() -> None:
    members = {f"m{at}": TEXT for at in range(257)}
    sentence = refusal({"type": "object", "properties": members, "additionalProperties": TEXT})
    assert "'additionalProperties' beside more than 256 names" in sentence


def test_many_schemas_of_one_value_are_refused() -> None:
    bases = [{"properties": {"a": {"title": str(at)}}} for at in range(17)]
    assert "more than 16 schemas of one value" in refusal({"allOf": bases})
    assert grammar({"allOf": bases[:16]})


def test_many_members_in_many_alternatives_are_refused() -> None:
    members = {f"q{at}": TEXT for at in range(100)}
    options = [{"properties": {"p": one(at)}} for at in range(200)]
    assert "too large" in refusal({"properties": members, "anyOf": options})


def test_sixty_kinds_of_a_thing_are_told_apart() -> None:
    kinds = [of({"kind": one(str(at)), "text": TEXT}) for at in range(60)]
    assert grammar({"oneOf": kinds})


def test_the_rules_are_the_same_as_the_text() -> None:
    rules = Rules()
    name = rules.add(of({"a": one(1)}), "x", "x")
    whole = rules.whole(name)
    assert is_whole(whole, '{"a":1}')
    assert not is_whole(whole, '{"a":2}')
