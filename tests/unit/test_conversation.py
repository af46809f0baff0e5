"""Messages and calls of tools, as they are stored, cross the pipe and are shown."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.conversation import (
    AUTO,
    Message,
    ToolCall,
    as_stored,
    choice_document,
    message_from_pipe,
    message_from_stored,
    name_of,
    named,
)

TEXT = st.text(max_size=8)
OPTIONAL = st.none() | TEXT.filter(bool)
CALLS = st.lists(st.builds(ToolCall, TEXT, TEXT, OPTIONAL), max_size=3).map(tuple)
MESSAGES = st.builds(Message, TEXT, TEXT, CALLS, OPTIONAL, OPTIONAL, OPTIONAL)


@given(MESSAGES)
def test_a_message_comes_back_from_the_disk_and_from_the_pipe(message: Message) -> None:
    stored = orjson.loads(orjson.dumps(message, default=as_stored))
    assert message_from_stored(stored) == message
    crossed = [*message[:2], [list(call) for call in message.tool_calls], *message[3:]]
    assert message_from_pipe(crossed) == message


def test_what_was_stored_as_a_pair_still_is_a_message() -> None:
    assert message_from_stored(["user", "hi"]) == Message("user", "hi")
    assert Message("user", "hi").stored() == ["user", "hi"]


@pytest.mark.parametrize(
    "stored",
    [
        [], ["user"], ["user", None], ["user", 1], [1, "hi"], ["user", "hi", {"unknown": "x"}],
        ["user", "hi", {"name": 1}], ["user", "hi", {}, {}],
        ["assistant", None, {"tool_calls": [["f", 1]]}],
        ["assistant", None, {"tool_calls": [["f", "{}", 1]]}],
    ],
)  # fmt: skip
def test_what_is_none_is_not_taken_for_one(stored: list[Any]) -> None:
    with pytest.raises((TypeError, ValueError, LookupError)):
        message_from_stored(stored)


def test_a_message_is_shown_as_clients_send_it() -> None:
    message = Message("assistant", None, (ToolCall("f", "{}", "call_1"),))
    function = {"name": "f", "arguments": "{}"}
    assert message.document() == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }
    assert Message("user", "hi").document() == {"role": "user", "content": "hi"}


def test_all_that_was_written_counts() -> None:
    message = Message("tool", "four", (ToolCall("f", "{}", "id"),), "call", "me", "so")
    assert sorted(message.texts()) == sorted(["four", "f", "{}", "id", "call", "me", "so"])
    assert message.chars == len("fourf{}idcallmeso")


def test_a_choice_is_a_word_or_a_name() -> None:
    assert name_of(named("f")) == "f"
    assert name_of(AUTO) is None
    assert choice_document(AUTO) == AUTO
    assert choice_document(named("f")) == {"type": "function", "function": {"name": "f"}}
