"""Tools and the choice among them as OpenAI's clients write it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from edge.conversation import AUTO, NONE, REQUIRED, named
from edge.errors import InvalidRequest
from edge.gateway.openai import tools
from edge.gateway.openai.tools import Wanted

ONE: dict[str, Any] = {"type": "function", "function": {"name": "one", "description": None, "x": 1}}
TWO: dict[str, Any] = {"type": "function", "function": {"name": "two", "parameters": {}}}
FLAT: list[Any] = [
    {"type": "function", "name": "one", "description": None},
    {"type": "web_search"},
    {"type": "function", "name": "two", "strict": None},
]


def names(wanted: Wanted) -> list[str]:
    return [each["function"]["name"] for each in orjson.loads(wanted.tools or "[]")]


def test_without_tools_there_is_nothing_to_choose() -> None:
    body: Any
    for body in ({}, {"tools": []}, {"tools": [], "tool_choice": "none"}, {"tool_choice": "auto"}):
        assert tools.read(body).tools is None


def test_what_a_function_does_not_say_is_not_there() -> None:
    wanted = tools.read({"tools": [ONE, TWO], "parallel_tool_calls": False})
    assert orjson.loads(wanted.tools or "")[0] == {"type": "function", "function": {"name": "one"}}
    assert (wanted.choice, wanted.parallel) == (AUTO, False)


def test_in_responses_functions_lie_flat_and_other_tools_are_passed_over() -> None:
    assert names(tools.read({"tools": FLAT}, flat=True)) == ["one", "two"]


@pytest.mark.parametrize("flat", [False, True])
def test_choices(flat: bool) -> None:
    body: dict[str, Any] = {"tools": FLAT if flat else [ONE, TWO]}
    by_name: Any = {"type": "function", "name": "two"}
    if not flat:
        by_name = {"type": "function", "function": {"name": "two"}}
    for word in (AUTO, NONE, REQUIRED):
        assert tools.read(body | {"tool_choice": word}, flat=flat).choice == word
    assert tools.read(body | {"tool_choice": by_name}, flat=flat).choice == named("two")
    allowed: Any = {"mode": "required", "tools": [by_name]}
    choice = {"type": "allowed_tools"} | (allowed if flat else {"allowed_tools": allowed})
    wanted = tools.read(body | {"tool_choice": choice}, flat=flat)
    assert (wanted.choice, names(wanted)) == (REQUIRED, ["two"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tools": {}}, "tools"),
        ({"tools": ["one"]}, "tools[0]"),
        ({"tools": [ONE, {"type": "custom"}]}, "tools[1].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tools": [ONE, ONE]}, "tools[1].function.name"),
        ({"tools": [{"function": {"name": "x", "strict": True, "parameters": {"not": {}}}}]},
         "tools[0].function.parameters"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [ONE], "tool_choice": "some"}, "tool_choice"),
        ({"tools": [ONE], "tool_choice": {"type": "custom"}}, "tool_choice"),
        ({"tools": [ONE], "tool_choice": {"type": "function"}}, "tool_choice"),
        ({"tools": [ONE], "tool_choice": {"function": {"name": "two"}}}, "tool_choice"),
        ({"tools": [ONE], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"tools": [ONE], "tool_choice": {"type": "allowed_tools", "allowed_tools": {
            "mode": "auto", "tools": [TWO]}}}, "tool_choice"),
        ({"tools": [ONE], "parallel_tool_calls": "no"}, "parallel_tool_calls"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        tools.read(body)
    assert caught.value.field == field


def test_a_response_repeats_its_tools() -> None:
    assert tools.as_told(None) == []
    (flat,) = tools.as_told('[{"function":{"name":"one","strict":true}}]')
    assert flat == {
        "type": "function", "name": "one", "description": None, "parameters": None, "strict": True,
    }  # fmt: skip
