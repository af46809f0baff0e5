"""What the grammar of calls allows is what the reader reads as calls, and no other."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from edge.answers.calls import AT_ONCE, CALLS_MAX, Calls, calls, check
from edge.answers.dialects import (
    DEEPSEEK,
    DEEPSEEK_FENCED,
    DEEPSEEK_NAME,
    DIALECTS,
    HARMONY,
    HERMES,
    LLAMA,
    MISTRAL,
    MISTRAL_NAMED,
    Dialect,
    Form,
)
from edge.answers.reader import read
from edge.errors import InvalidRequest
from edge.structured import gbnf
from edge.structured.closing import closing, is_whole
from edge.structured.schema import GRAMMAR_CHARS_MAX

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def tool(name: str, parameters: Any = None, **more: Any) -> dict[str, Any]:
    function = {"name": name, **more}
    if parameters:
        function["parameters"] = parameters
    return {
        "type": "function",
        "function": function | ({"parameters": parameters} if parameters else {}),
    }


def text_of(*tools: dict[str, Any]) -> str:
    return orjson.dumps(tools).decode()


TOOLS = text_of(tool("look", CITY, description=None), tool("go.home"))


def grammar(made: Calls, rule: str = AT_ONCE) -> Any:
    return gbnf.read(f"root ::= {rule}\n{made.gbnf}")


def made(dialect: Dialect = HERMES, name: str | None = None, *, parallel: bool = True) -> Calls:
    return calls(dialect, TOOLS, name, parallel=parallel)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=list(DIALECTS))
@pytest.mark.parametrize("name", ["look", "go.home"])
def test_the_shortest_call_is_read_as_one(dialect: Dialect, name: str) -> None:
    text = closing(grammar(made(dialect, name)), "")
    assert text is not None
    (call,) = read(Form(dialect, True).written(), text).calls("t")
    assert call.name == name
    arguments = json.loads(call.arguments)
    assert arguments == ({"city": ""} if name == "look" else {})


(ENDS,) = DEEPSEEK.ignored
SAID = {
    HERMES: [
        '<tool_call>\n{"name": "look", "arguments": {"city": "Rome"}}\n</tool_call>',
        '<tool_call>{"name":"go.home","arguments":{}}</tool_call>',
    ],
    LLAMA: ['{"name": "look", "parameters": {"city": "Rome"}}'],
    MISTRAL: ['[TOOL_CALLS] [{"name": "go.home", "arguments": {}}]'],
    MISTRAL_NAMED: ["[TOOL_CALLS]go.home[ARGS]{}"],
    DEEPSEEK: [f"{DEEPSEEK.opens[0]}go.home{DEEPSEEK_NAME}{{}}{DEEPSEEK.closes[-1]}{ENDS}"],
    DEEPSEEK_FENCED: [
        f"{DEEPSEEK.opens[0]}function{DEEPSEEK_NAME}go.home\n```json\n{{}}\n```"
        f"{DEEPSEEK.closes[-1]}{ENDS}"
    ],
    HARMONY: [
        '<|channel|>commentary to=functions.look <|constrain|>json<|message|>{"city": "Rome"}'
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("dialect", "text"),
    [(dialect, text) for dialect, texts in SAID.items() for text in texts],
    ids=lambda each: each.name if isinstance(each, Dialect) else None,
)
def test_a_call_as_models_write_it_is_allowed(dialect: Dialect, text: str) -> None:
    rules = grammar(made(dialect))
    assert is_whole(rules, text)
    assert not is_whole(rules, text.replace("look", "loop").replace("go.home", "go"))
    assert not is_whole(rules, text.replace("Rome", "\n").replace("{}", '{"x": 1}'))
    for mark in made(dialect).marks:
        at = text.find(mark.text)
        if at >= 0 and mark.rule != AT_ONCE:
            assert is_whole(grammar(made(dialect), mark.rule), text[at + len(mark.text) :])


def test_several_calls_or_one() -> None:
    first, second = SAID[HERMES]
    both = f"{first}\n{second}"
    assert is_whole(grammar(made()), both)
    assert not is_whole(grammar(made(parallel=False)), both)
    assert not is_whole(grammar(made()), "\n".join([second] * (CALLS_MAX + 1)))
    assert not is_whole(grammar(made(name="look")), second)
    listed = (
        '[TOOL_CALLS][{"name": "go.home", "arguments": {}},{"name": "go.home", "arguments": {}}]'
    )
    assert is_whole(grammar(made(MISTRAL)), listed)
    assert not is_whole(grammar(made(MISTRAL, parallel=False)), listed)


def test_a_schema_that_cannot_be_said_is_refused_where_it_is_strict() -> None:
    odd = {"type": "object", "not": {"required": ["a"]}}
    check(text_of(tool("look", odd)))
    with pytest.raises(InvalidRequest, match="Invalid schema for function 'look'") as raised:
        check(text_of(tool("go"), tool("look", odd, strict=True)))
    assert raised.value.field == "tools[1].function.parameters"
    loose = calls(HERMES, text_of(tool("look", odd)), None, parallel=True)
    text = '<tool_call>{"name": "look", "arguments": {"any": [1, "thing"]}}</tool_call>'
    assert is_whole(grammar(loose), text)


def test_arguments_are_an_object_even_if_the_schema_does_not_say_so() -> None:
    lax = calls(
        HERMES, text_of(tool("look", {"properties": {"a": {"type": "null"}}})), None, parallel=True
    )
    rules = grammar(lax)
    assert is_whole(rules, '<tool_call>{"name": "look", "arguments": {"a": null}}</tool_call>')
    assert not is_whole(rules, '<tool_call>{"name": "look", "arguments": 1}</tool_call>')


def test_schemas_that_are_too_long_together_are_any_objects() -> None:
    names = [{"enum": [f"{at:03}{place}{'x' * 50}" for at in range(200)]} for place in range(20)]
    many = text_of(
        *(
            tool(f"t{at}", {"type": "object", "properties": {"a": each}, "required": ["a"]})
            for at, each in enumerate(names)
        )
    )
    short = calls(HERMES, many, None, parallel=True)
    assert len(short.gbnf) < GRAMMAR_CHARS_MAX
    assert is_whole(grammar(short), '<tool_call>{"name": "t7", "arguments": {"b": 1}}</tool_call>')


def test_what_all_schemas_cost_together_is_bounded() -> None:
    one: dict[str, Any] = {f"m{at}": {"type": "string", "minLength": 1} for at in range(40)}
    schema = {"type": "object", "properties": one, "required": list(one)}
    many = [tool(f"t{at}", schema, strict=True) for at in range(128)]
    with pytest.raises(InvalidRequest, match="too large") as raised:
        check(text_of(*many))
    assert raised.value.field != "tools[0].function.parameters"
    check(text_of(*many[:8]))
    assert len(calls(HERMES, text_of(*many), None, parallel=True).gbnf) <= GRAMMAR_CHARS_MAX


def test_arguments_are_never_null() -> None:
    lax = calls(HERMES, text_of(tool("look", {"type": ["object", "null"]})), None, parallel=True)
    rules = grammar(lax)
    assert not is_whole(rules, '<tool_call>{"name": "look", "arguments": null}</tool_call>')
    assert is_whole(rules, '<tool_call>{"name": "look", "arguments": {"a": 1}}</tool_call>')
