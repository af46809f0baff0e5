"""Conversations as OpenAI's clients write them."""

from __future__ import annotations

from typing import Any

import pytest

from edge.errors import InvalidRequest
from edge.gateway.openai import messages


def said(role: str, content: Any = None, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def test_what_the_app_says_is_one_message_in_front() -> None:
    given = [said("user", "hi"), said("developer", "be brief"), said("system", "be kind")]
    assert messages.read(given) == (("system", "be brief\n\nbe kind"), ("user", "hi"))


def test_parts_of_text_in_any_role() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    given = [said("system", parts), said("user", parts), said("assistant", parts)]
    assert messages.read(given) == (("system", "a\nb"), ("user", "a\nb"), ("assistant", "a\nb"))


def test_an_assistant_may_have_said_nothing() -> None:
    given = [said("user", "a"), said("assistant"), said("assistant", []), said("user", "b")]
    assert [text for _, text in messages.read(given)] == ["a", "", "", "b"]


def test_names_are_passed_over() -> None:
    assert messages.read([said("user", "a", name="x", extra=1)]) == (("user", "a"),)


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
    ],
)
def test_what_is_wrong_is_named_by_its_place(field: str, given: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        messages.read(given)
    assert caught.value.field == field
