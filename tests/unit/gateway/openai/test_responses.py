"""Responses: what they repeat of their requests, and the numbers of their events."""

from __future__ import annotations

import re

import orjson
import pytest

from edge.gateway.calls import errors
from edge.gateway.calls.forms import Ended, Head
from edge.gateway.openai import responses
from edge.gateway.openai.responses import Asked, ResponseChunks

HEAD = Head("t", 7, "tiny")
ASKED = Asked(None, False, 9, 0.5, 1.0, None, '{"a":"b"}', None)
USAGE = {"prompt_tokens": 5, "cached_tokens": 2, "completion_tokens": 3}


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
