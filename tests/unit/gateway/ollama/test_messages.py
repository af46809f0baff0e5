"""Conversations as Ollama's clients write them."""

from __future__ import annotations

from typing import Any

import pytest

from edge.conversation import Message, ToolCall
from edge.errors import InvalidRequest
from edge.gateway.ollama.messages import read
from edge.gateway.submission import MESSAGES_MAX

HI = {"role": "user", "content": "hi"}


def calling(*names: str) -> dict[str, Any]:
    calls = [{"function": {"name": name, "arguments": {"n": 1}}} for name in names]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def refused(field: str, *messages: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(list(messages))
    assert caught.value.field == field


def test_what_the_app_says_stands_in_front() -> None:
    system = [{"role": "system", "content": text} for text in ("a", "", "b")]
    assert read([system[0], HI, *system[1:]]) == (
        Message("system", "a\n\nb"),
        Message("user", "hi"),
    )


def test_an_empty_content_may_be_left_out() -> None:
    assert read([HI, {"role": "assistant"}, HI])[1] == Message("assistant", "")
    assert read([{**HI, "images": [], "tool_calls": None, "x": [[]]}]) == (Message("user", "hi"),)


def test_thinking_goes_to_templates_that_know_it() -> None:
    said = read([HI, {"role": "assistant", "content": "a", "thinking": "hm"}])
    assert said[1].reasoning_content == "hm"


def test_calls_have_objects_as_arguments_and_get_names() -> None:
    said = read([HI, calling("add", "sub"), {"role": "tool", "content": "3", "tool_name": "sub"}])
    assert said[1].tool_calls == (
        ToolCall("add", '{"n":1}', "call_0"), ToolCall("sub", '{"n":1}', "call_1")
    )  # fmt: skip
    assert said[2] == Message("tool", "3", (), "call_1", "sub")


def test_names_of_calls_go_on_over_a_whole_chat() -> None:
    said = read([HI, calling("a"), {"role": "tool", "content": "1"}, calling("a")])
    assert [call.call_id for each in said for call in each.tool_calls] == ["call_0", "call_1"]


def test_answers_go_to_the_calls_that_they_name_or_in_order() -> None:
    call = {"id": "x", "function": {"name": "a", "arguments": '{"half'}}
    asked = {"role": "assistant", "tool_calls": [call, *calling("a")["tool_calls"]]}
    by_id = {"role": "tool", "content": "1", "tool_call_id": "x"}
    in_order = {"role": "tool", "content": "2", "name": "a"}
    said = read([HI, asked, in_order, {"role": "tool", "content": "3"}])
    assert [each.tool_call_id for each in said[2:]] == ["x", "call_1"]
    said = read([HI, asked, by_id, in_order])
    assert [each.tool_call_id for each in said[2:]] == ["x", "call_1"]
    assert said[1].tool_calls[0].arguments == '{"half'
    refused("messages[2]", HI, asked, {"role": "tool", "content": "1", "tool_name": "b"})
    refused("messages[3]", HI, asked, by_id, by_id)
    refused("messages[1]", HI, by_id)


def test_what_is_wrong_is_named_by_its_place() -> None:
    refused("messages", *([HI] * (MESSAGES_MAX + 1)))
    refused("messages", {"role": "user", "content": " "})
    refused("messages[1]", HI, "hi")
    refused("messages[0].role", {"role": "developer", "content": "a"})
    refused("messages[0].role", {"role": 1, "content": "a"})
    refused("messages[0].content", {"role": "user", "content": [{"type": "text"}]})
    refused("messages[0].images", {**HI, "images": ["aGk="]})
    refused("messages[1].thinking", HI, {"role": "assistant", "thinking": 1})
    refused("messages[1].tool_calls", HI, {"role": "assistant", "tool_calls": {}})
    refused("messages[1].tool_calls[0]", HI, {"role": "assistant", "tool_calls": [{}]})
    name = "messages[1].tool_calls[0].function.name"
    refused(name, HI, calling("no name"))
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    call = {"function": {"name": "a", "arguments": {"a": deep}}}
    refused(
        "messages[1].tool_calls[0].function.arguments",
        HI, {"role": "assistant", "tool_calls": [call]},
    )  # fmt: skip
    values: list[Any] = [None, [], "hi", {}]
    for value in values:
        with pytest.raises(InvalidRequest):
            read(value)
