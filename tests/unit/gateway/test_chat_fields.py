"""Messages, tools and variables of a body: what is taken, and by which path the rest is refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from edge.conversation import AUTO, REQUIRED, Message, ToolCall, named
from edge.errors import InvalidRequest
from edge.gateway import chat_fields

MESSAGES = chat_fields.messages(100, "")
TOOLS = chat_fields.tools(3, 1_000, "")
CHOICE = chat_fields.tool_choice("")
VARIABLES = chat_fields.variables(2, "")
USER = {"role": "user", "content": "hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
ANSWER = {"role": "tool", "content": "4", "tool_call_id": "c1"}
TOOL = {"type": "function", "function": {"name": "f", "description": None}}


def refused(field: Any, name: str, value: Any) -> str | None:
    with pytest.raises(InvalidRequest) as raised:
        field.check(name, value)
    return raised.value.field


def test_a_conversation_with_a_call_and_its_answer() -> None:
    assert MESSAGES.check("messages", [USER, CALLING, ANSWER]) == (
        Message("user", "hi"),
        Message("assistant", None, (ToolCall("f", "{}", "c1"),)),
        Message("tool", "4", tool_call_id="c1"),
    )


def test_what_a_model_wrote_instead_of_arguments_comes_back_as_it_was() -> None:
    broken = {"function": {"name": "f", "arguments": "{"}}
    none = {"function": {"name": "f"}}
    said = {"role": "assistant", "content": "", "tool_calls": [broken, none]}
    (message,) = MESSAGES.check("messages", [said])
    assert message.tool_calls == (ToolCall("f", "{"), ToolCall("f", "{}"))


@pytest.mark.parametrize(
    ("message", "place"),
    [
        ("hi", ""), ({}, ""), ({"role": "user"}, ""), ({"role": "king", "content": "x"}, ""),
        ({"role": "user", "content": " "}, ""), ({"role": "user", "content": None}, ""),
        (USER | {"tool_calls": [CALL]}, ""), (USER | {"x": 1}, ""), (USER | {"name": 1}, ".name"),
        (CALLING | {"tool_calls": "f"}, ".tool_calls"),
        (CALLING | {"tool_calls": [{}]}, ".tool_calls[0].function"),
        (CALLING | {"tool_calls": [CALL | {"type": "x"}]}, ".tool_calls[0].type"),
        (CALLING | {"tool_calls": [{"function": {}}]}, ".tool_calls[0].function.name"),
        (CALLING | {"tool_calls": [{"function": {"name": "a b"}}]}, ".tool_calls[0].function.name"),
        (CALLING | {"tool_calls": [{"function": {"name": "f", "arguments": 1}}]},
         ".tool_calls[0].function.arguments"),
        (ANSWER, ".tool_call_id"),
    ],
)  # fmt: skip
def test_a_message_is_refused_by_its_path(message: Any, place: str) -> None:
    assert refused(MESSAGES, "messages", [USER, message]) == f"messages[1]{place}"


def test_an_answer_belongs_to_a_call_of_the_message_before() -> None:
    other = ANSWER | {"tool_call_id": "c2"}
    assert refused(MESSAGES, "messages", [CALLING, other]) == "messages[1].tool_call_id"
    assert refused(MESSAGES, "messages", [CALLING, USER, ANSWER]) == "messages[2].tool_call_id"
    two = CALLING | {"tool_calls": [CALL, CALL | {"id": "c2"}]}
    assert len(MESSAGES.check("messages", [two, other, ANSWER])) == 3


def test_tools_are_kept_as_they_are_written() -> None:
    assert orjson.loads(TOOLS.check("tools", [TOOL])) == [TOOL]
    assert TOOLS.check("tools", []) is None
    assert TOOLS.check("tools", None) is None


@pytest.mark.parametrize(
    ("tools", "place"),
    [
        ("f", ""), ([TOOL] * 4, ""), ([TOOL, TOOL], "[1].function.name"), ([{}], "[0].function"),
        ([{"function": {}}], "[0].function.name"), ([TOOL | {"type": "x"}], "[0].type"),
        ([{"function": {"name": "f", "parameters": 1}}], "[0].function.parameters"),
        ([{"function": {"name": "f", "strict": 1}}], "[0].function.strict"),
        ([{"function": {"name": "f", "description": "x" * 1_000}}], ""),
    ],
)  # fmt: skip
def test_a_tool_is_refused_by_its_path(tools: Any, place: str) -> None:
    assert refused(TOOLS, "tools", tools) == f"tools{place}"


def test_a_choice_is_a_word_or_a_tool_that_is_there() -> None:
    wanted = CHOICE.check("tool_choice", {"function": {"name": "f"}})
    assert wanted == named("f")
    assert CHOICE.check("tool_choice", AUTO) == AUTO
    tools = TOOLS.check("tools", [TOOL])
    chat_fields.check_choice(tools, wanted)
    chat_fields.check_choice(None, AUTO)
    for given, choice in ((tools, named("g")), (None, wanted), (None, REQUIRED)):
        with pytest.raises(InvalidRequest, match="tool"):
            chat_fields.check_choice(given, choice)
    odd: Any
    for odd in ("f", 1, {}, {"function": {}}, {"type": "x", "function": {"name": "f"}}):
        assert str(refused(CHOICE, "tool_choice", odd)).startswith("tool_choice")


def test_variables_are_plain_values_under_names_of_their_own() -> None:
    given = {"enable_thinking": False, "effort": "low"}
    assert orjson.loads(VARIABLES.check("template_variables", given)) == given
    assert VARIABLES.check("template_variables", {}) is None
    odd: Any
    for odd in ([], {"a": []}, {"a b": 1}, {"messages": "x"}, {"eos_token": "x"},
                {"a": 1, "b": 1, "c": 1}):  # fmt: skip
        assert str(refused(VARIABLES, "template_variables", odd)).startswith("template_variables")
