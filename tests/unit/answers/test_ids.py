from __future__ import annotations

import re

from edge.answers.ids import call_id, shortened
from edge.conversation import Message, ToolCall


def test_calls_have_ids_of_their_own_that_stay() -> None:
    ids = {call_id(task, index) for task in ("a", "b", "a/1") for index in range(20)}
    assert len(ids) == 60
    assert call_id("a", 1) == call_id("a", 1)


def test_short_ids_name_the_same_calls() -> None:
    calls = (
        ToolCall("look", "{}", "call_1"),
        ToolCall("go", "{}", "abcdefghi"),
        ToolCall("x", "{}"),
    )
    said = (
        Message("user", "hi"),
        Message("assistant", None, calls),
        Message("tool", "a", tool_call_id="call_1"),
        Message("tool", "b", tool_call_id="abcdefghi"),
    )
    user, called, first, second = shortened(said)
    ids = [call.call_id for call in called.tool_calls]
    assert all(re.fullmatch("[a-zA-Z0-9]{9}", each or "") for each in ids)
    assert len(set(ids)) == 3
    assert ids[:2] == [first.tool_call_id, "abcdefghi"] == [first.tool_call_id, second.tool_call_id]
    assert user == said[0]
