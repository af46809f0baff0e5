"""Conversations as OpenAI's clients write them."""

from __future__ import annotations

from typing import Any

import pytest

from edge.conversation import Message, ToolCall
from edge.errors import InvalidRequest
from edge.gateway.openai import messages


def said(role: str, content: Any = None, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def pairs(given: Any) -> list[tuple[str, str | None]]:
    return [(each.role, each.content) for each in messages.read(given)]


def test_what_the_app_says_is_one_message_in_front() -> None:
    given = [said("user", "hi"), said("developer", "be brief"), said("system", "be kind")]
    assert pairs(given) == [("system", "be brief\n\nbe kind"), ("user", "hi")]


def test_parts_of_text_in_any_role() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    given = [said("system", parts), said("user", parts), said("assistant", parts)]
    assert pairs(given) == [("system", "a\nb"), ("user", "a\nb"), ("assistant", "a\nb")]


def test_an_assistant_may_have_said_nothing() -> None:
    given = [said("user", "a"), said("assistant"), said("assistant", []), said("user", "b")]
    assert [text for _, text in pairs(given)] == ["a", "", "", "b"]


def test_names_are_passed_over() -> None:
    assert messages.read([said("user", "a", name="x", extra=1)]) == (Message("user", "a"),)


CALL: dict[str, Any] = {
    "id": "c1", "type": "function", "index": 0, "function": {"name": "f", "arguments": '{"a": 1'},
}  # fmt: skip
ANSWER = said("tool", [{"type": "text", "text": "4"}], tool_call_id="c1")


def test_calls_and_what_came_of_them() -> None:
    without = {"function": {"name": "g", "arguments": None}, "id": None}
    given = [
        said("user", "hi"),
        said("assistant", None, tool_calls=[CALL, without], reasoning_content="Hm"),
        ANSWER,
        said("assistant", "So:", tool_calls=[CALL | {"function": {"name": "f", "arguments": {}}}]),
        said("function", "5", name="f", tool_call_id="c1"),
    ]
    assert messages.read(given)[1:] == (
        Message(
            "assistant", None, (ToolCall("f", '{"a": 1', "c1"), ToolCall("g", "{}")),
            reasoning_content="Hm",
        ),
        Message("tool", "4", tool_call_id="c1"),
        Message("assistant", "So:", (ToolCall("f", "{}", "c1"),)),
        Message("tool", "5", tool_call_id="c1"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("messages", []),
        ("messages", "hi"),
        ("messages", [said("user", " ")]),
        ("messages[0]", ["hi"]),
        ("messages[0].role", [said("robot", "a")]),
        ("messages[0].role", [{"content": "a"}]),
        ("messages[1].content", [said("user", "a"), said("user")]),
        ("messages[0].content", [said("user", 7)]),
        ("messages[0].content[1]", [said("user", ["a", {"type": "image_url", "image_url": "x"}])]),
        ("messages[0].content[0]", [said("user", [{"type": "input_audio"}])]),
        ("messages[0].content[0]", [said("user", [{"text": "a"}])]),
        ("messages[0].content[0]", [said("user", [{"type": "text", "text": 5}])]),
        ("messages[0].function_call", [said("assistant", "", function_call={"name": "f"})]),
        ("messages[0].tool_calls", [said("assistant", tool_calls={})]),
        ("messages[0].tool_calls[0]", [said("assistant", tool_calls=["f"])]),
        ("messages[0].tool_calls[0]", [said("assistant", tool_calls=[CALL | {"type": "custom"}])]),
        ("messages[0].tool_calls[0]", [said("assistant", tool_calls=[CALL | {"id": 1}])]),
        (
            "messages[0].tool_calls[0].function.name",
            [said("assistant", tool_calls=[{"function": {"name": "a b"}}])],
        ),
        (
            "messages[0].tool_calls[0].function.arguments",
            [said("assistant", tool_calls=[{"function": {"name": "f", "arguments": 1}}])],
        ),
        ("messages[0].tool_call_id", [ANSWER]),
        (
            "messages[1].tool_call_id",
            [said("assistant", tool_calls=[CALL]), ANSWER | {"tool_call_id": "c2"}],
        ),
        ("messages[0].reasoning_content", [said("assistant", "a", reasoning_content=1)]),
    ],
)
def test_what_is_wrong_is_named_by_its_place(field: str, given: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        messages.read(given)
    assert caught.value.field == field
