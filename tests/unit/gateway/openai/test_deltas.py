from __future__ import annotations

from edge.answers.deltas import Arguments, CallBegun, CallEnded, Content, Reasoning
from edge.answers.ids import call_id
from edge.gateway.openai.deltas import as_delta


def test_deltas_of_a_chat() -> None:
    assert as_delta(Content("a"), "t") == {"content": "a"}
    assert as_delta(Reasoning("a"), "t") == {"reasoning_content": "a"}
    assert as_delta(CallEnded(0), "t") is None
    begun = as_delta(CallBegun(1, "go"), "t")
    assert begun == {
        "tool_calls": [
            {
                "index": 1,
                "id": call_id("t", 1),
                "type": "function",
                "function": {"name": "go", "arguments": ""},
            }
        ]
    }
    more = as_delta(Arguments(1, "{}"), "t")
    assert more == {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]}
