from __future__ import annotations

from edge.answers.deltas import Answer, Arguments, CallBegun, CallEnded, Content, Reasoning
from edge.answers.ids import call_id


def test_deltas_make_a_message() -> None:
    answer = Answer([Reasoning("Hm"), Reasoning("m"), CallBegun(0, "look"), Arguments(0, '{"a":')])
    assert not answer.calls_whole
    answer.add([Arguments(0, "1}"), CallEnded(0)])
    assert answer.calls_whole
    assert answer.message("t") == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Hmm",
        "tool_calls": [
            {
                "id": call_id("t", 0),
                "type": "function",
                "function": {"name": "look", "arguments": '{"a":1}'},
            }
        ],
    }


def test_an_answer_without_calls_has_a_content_even_if_it_is_empty() -> None:
    assert Answer().message("t") == {"role": "assistant", "content": ""}
    assert Answer([Content("a"), Content("b")]).message("t")["content"] == "ab"
    assert not Answer().calls_whole
