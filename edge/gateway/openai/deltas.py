"""What an answer says as it comes, as deltas of a chat. Pure."""

from __future__ import annotations

from typing import Any

from edge.answers.deltas import Arguments, CallBegun, CallEnded, Content, Delta, Reasoning
from edge.answers.ids import call_id


def as_delta(delta: Delta, task_id: str) -> dict[str, Any] | None:
    """The ``delta`` of a chunk that says this of the answer of a task; None where it says nothing.
    The id, the type and the name of a call are said once: libraries put all that come together."""
    if isinstance(delta, Reasoning):
        return {"reasoning_content": delta.text}
    if isinstance(delta, Content):
        return {"content": delta.text}
    if isinstance(delta, CallEnded):
        return None
    call: dict[str, Any] = {"index": delta.call}
    if isinstance(delta, CallBegun):
        name = call_id(task_id, delta.call)
        function = {"name": delta.name, "arguments": ""}
        call |= {"id": name, "type": "function", "function": function}
    else:
        assert isinstance(delta, Arguments)
        call["function"] = {"arguments": delta.text}
    return {"tool_calls": [call]}
