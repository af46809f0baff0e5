"""The items of a response, whole and as they come."""

from __future__ import annotations

from typing import Any

from edge.answers.deltas import Arguments, CallBegun, CallEnded, Content, Delta, Reasoning
from edge.answers.ids import call_id
from edge.gateway.openai.items import Items, of_answer

TASK = "6f0c"
DELTAS: list[Delta] = [
    Reasoning("Hm"), Reasoning("m"), Content("Let me "), Content("see."),
    CallBegun(0, "look"), Arguments(0, '{"a"'), Arguments(0, ":1}"), CallEnded(0),
    CallBegun(1, "go"), Arguments(1, "{}"), CallEnded(1),
]  # fmt: skip
MESSAGE: dict[str, Any] = {
    "content": "Let me see.",
    "reasoning_content": "Hmm",
    "tool_calls": [
        {"function": {"name": "look", "arguments": '{"a":1}'}},
        {"function": {"name": "go", "arguments": "{}"}},
    ],
}


def test_items_as_they_come_are_those_of_the_whole_answer() -> None:
    items = Items(TASK)
    events = [event for delta in DELTAS for event in items.add([delta])] + items.end("completed")
    assert items.output == of_answer(TASK, "", MESSAGE, "completed")
    assert [each["type"] for each in items.output] == [
        "reasoning", "message", "function_call", "function_call",
    ]  # fmt: skip
    assert items.output[2] | {"id": ""} == {
        "id": "", "type": "function_call", "status": "completed", "call_id": call_id(TASK, 0),
        "name": "look", "arguments": '{"a":1}',
    }  # fmt: skip
    open_items: list[int] = []
    for kind, members in events:
        if kind == "response.output_item.added":
            open_items.append(members["output_index"])
            assert members["item"]["id"] == items.output[members["output_index"]]["id"]
        elif kind == "response.output_item.done":
            assert members["output_index"] == open_items.pop()
            assert members["item"] == items.output[members["output_index"]]
        else:
            assert members["output_index"] == open_items[-1], "one is open at a time"
    assert open_items == []


def test_the_text_of_an_answer_is_told_piece_by_piece() -> None:
    items = Items(TASK)
    first = items.add([Content("a")])
    assert [kind for kind, _ in first] == [
        "response.output_item.added", "response.content_part.added", "response.output_text.delta",
    ]  # fmt: skip
    assert items.output == []
    ((kind, more),) = items.add([Content("b")])
    assert (kind, more["delta"], more["item_id"]) == (
        "response.output_text.delta", "b", f"msg_{TASK}",
    )  # fmt: skip
    last = items.end("incomplete")
    assert [kind for kind, _ in last] == [
        "response.output_text.done", "response.content_part.done", "response.output_item.done",
    ]  # fmt: skip
    assert items.output[0]["status"] == "incomplete"
    assert items.output[0]["content"][0]["text"] == "ab"


def test_an_answer_of_nothing_is_an_empty_message() -> None:
    (item,) = of_answer(TASK, "", None, "completed")
    assert item["content"][0]["text"] == ""


def test_what_is_said_behind_a_call_is_a_message_of_its_own() -> None:
    items = Items(TASK)
    items.add([Content("a"), CallBegun(0, "go"), Arguments(0, "{}"), CallEnded(0), Content("b")])
    items.end("completed")
    assert [each["id"] for each in items.output][::2] == [f"msg_{TASK}", f"msg_{TASK}_1"]


def test_a_call_that_is_cut_short_says_so() -> None:
    items = Items(TASK)
    items.add([CallBegun(0, "go"), Arguments(0, '{"a')])
    items.end("incomplete")
    assert items.output[0] | {"id": 0} == items.output[0] | {
        "id": 0, "status": "incomplete", "arguments": '{"a',
    }  # fmt: skip
