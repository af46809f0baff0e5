"""Responses: what they repeat of their requests, and the numbers of their events."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from edge.answers.reader import read as read_answer
from edge.errors import InvalidRequest
from edge.gateway.calls import errors, reading
from edge.gateway.calls.forms import Ended, Head
from edge.gateway.openai import responses
from edge.gateway.openai.responses import Asked, ResponseChunks
from edge.settings import Tasks as Defaults

HEAD = Head("t", 7, "tiny")
ASKED = Asked(None, False, 9, 0.5, 1.0, None, '{"a":"b"}', None)
USAGE = {"prompt_tokens": 5, "cached_tokens": 2, "completion_tokens": 3, "reasoning_tokens": 1}


@pytest.mark.parametrize(
    ("state", "reason", "status"),
    [
        ("scheduled", None, "queued"),
        ("available", None, "queued"),
        ("executing", None, "in_progress"),
        ("retryable", None, "in_progress"),
        ("completed", "stop", "completed"),
        ("completed", "length", "incomplete"),
        ("cancelled", "cancelled", "cancelled"),
        ("discarded", None, "failed"),
    ],
)
def test_how_far_a_task_is(state: str, reason: str | None, status: str) -> None:
    document = {"state": state, "result": {"finish_reason": reason}}
    assert responses.status_of(document) == status


def test_a_whole_one() -> None:
    ended = Ended("hi", "stop", USAGE, None)
    found = orjson.loads(orjson.dumps(responses.response(HEAD, ASKED, "completed", ended=ended)))
    assert (found["id"], found["metadata"], found["error"]) == ("resp_t", {"a": "b"}, None)
    assert found["usage"]["total_tokens"] == 8
    assert found["usage"]["input_tokens_details"] == {"cached_tokens": 2}
    (message,) = found["output"]
    assert (message["status"], message["content"][0]["text"]) == ("completed", "hi")
    assert found["text"] == {"format": {"type": "text"}}


def test_a_failure_has_its_code() -> None:
    chunk = ResponseChunks(HEAD, ASKED).fail(errors.failed({"code": "c", "message": "m"}))
    name, _, rest = chunk.partition(b"\n")
    assert name == b"event: response.failed"
    failed = orjson.loads(rest[6:])
    assert failed["response"]["error"] == {"code": "c", "message": "m"}
    assert (failed["response"]["status"], failed["sequence_number"]) == ("failed", 0)


def test_a_message_begins_once_also_without_text() -> None:
    ended = Ended("", "stop", USAGE, None)
    silent = ResponseChunks(HEAD, ASKED).end(0, ended)
    assert silent.count(b"event: response.output_item.added") == 1
    chunks = ResponseChunks(HEAD, ASKED)
    both = chunks.text(0, "a", None) + chunks.text(0, "b", None) + chunks.end(0, ended)
    assert both.count(b"event: response.output_item.added") == 1
    numbers = re.findall(rb'"sequence_number":(\d+)', both)
    assert numbers == [b"%d" % number for number in range(7)]


def test_what_was_thought_and_called_are_items() -> None:
    chunks = ResponseChunks(HEAD, ASKED)
    chunks.speaks(0, "hermes calls </think> within")
    text = 'Hm</think><tool_call>{"name": "go", "arguments": {}}</tool_call>'
    message = read_answer("hermes calls </think> within", text).message("t")
    ended = Ended(text, "tool_calls", USAGE, None, message=message)
    said = chunks.text(0, text, None) + chunks.end(0, ended) + chunks.close([ended], 1)
    last = orjson.loads(said.rstrip().rpartition(b"\ndata: ")[2])
    assert last["type"] == "response.completed"
    assert [each["type"] for each in last["response"]["output"]] == ["reasoning", "function_call"]
    whole = responses.response(HEAD, ASKED, "completed", ended=ended)
    assert whole["output"] == last["response"]["output"]
    assert whole["usage"]["output_tokens_details"] == {"reasoning_tokens": 1}


def body(**members: Any) -> Any:
    bounds = reading.Bounds(Defaults(), 512, "tiny")
    return responses.read(members, TASK, reading.Caller("me", None), bounds).requests[0]


TASK = "00000000-0000-4000-8000-000000000000"
CALL = {"type": "function_call", "call_id": "c", "name": "go", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "gone"}


def test_calls_are_items_of_their_own() -> None:
    said = [
        {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, CALL,
        CALL | {"call_id": "d"}, OUTPUT, OUTPUT | {"call_id": "d"},
    ]  # fmt: skip
    user, model, first, second = body(input=said).messages
    assert (user.content, model.content, first.content) == ("a", "b", "gone")
    assert [call.call_id for call in model.tool_calls] == ["c", "d"]
    assert second.tool_call_id == "d"
    (_, alone, _) = body(input=[said[0], CALL, OUTPUT]).messages
    assert alone.content is None


def test_tools_and_effort_of_a_response() -> None:
    request = body(
        input="a", tools=[{"type": "function", "name": "go"}], tool_choice="required",
        reasoning={"effort": "low"}, parallel_tool_calls=False,
    )  # fmt: skip
    assert (request.tool_choice, request.parallel_tool_calls) == ("required", False)
    assert orjson.loads(request.template_variables or "")["reasoning_effort"] == "low"
    with pytest.raises(InvalidRequest, match="answers no call"):
        body(input=[{"role": "user", "content": "a"}, OUTPUT])
