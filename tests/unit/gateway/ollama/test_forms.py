"""Answers, whole and line by line."""

from __future__ import annotations

import re
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from edge.clock import NS_PER_MS, WALL_NS_MAX, ManualClock
from edge.errors import InvalidRequest
from edge.gateway.calls.forms import Ended
from edge.gateway.ollama import forms
from edge.gateway.ollama.forms import Answer, line, stamp

CALLED = '<tool_call>{"name": "go", "arguments": {"n": 1}}</tool_call>'
USAGE = {"prompt_tokens": 5, "cached_tokens": 2, "completion_tokens": 3}
TIMINGS = {"queued_ms": 1.5, "prefill_ms": 20.0, "decode_ms": None, "ttft_ms": 30.0}
TOKEN = {
    "token": "a", "bytes": [97], "logprob": -0.5, "offset": 4,
    "top_logprobs": [{"token": "b", "bytes": [98], "logprob": -1.0}],
}  # fmt: skip
TOLD = {
    "token": "a", "bytes": [97], "logprob": -0.5,
    "top_logprobs": [{"token": "b", "bytes": [98], "logprob": -1.0}],
}  # fmt: skip


def ended(text: str = "hello", tokens: Any = None) -> Ended:
    return Ended(text, "length", USAGE, tokens, TIMINGS)


def answer(say: Any = forms.message) -> tuple[Answer, ManualClock]:
    clock = ManualClock()
    return Answer("tiny:latest", say, clock), clock


@given(st.text())
def test_a_line_is_ascii_and_one_line_for_whoever_splits_it(text: str) -> None:
    data = line({"text": text})
    assert data.isascii()
    assert len(data.decode().splitlines()) == 1
    assert orjson.loads(data) == {"text": text}


@given(st.integers(-NS_PER_MS, WALL_NS_MAX))
def test_times_have_nine_decimals(at_ns: int) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", stamp(at_ns))
    assert stamp(1_700_000_000_123_456_789) == "2023-11-14T22:13:20.123456789Z"


def test_a_stream() -> None:
    said, clock = answer()
    assert said.begin(0) + said.end(0, ended()) == b""
    first = orjson.loads(said.text(0, "hé", None))
    assert (first["message"], first["done"]) == ({"role": "assistant", "content": "hé"}, False)
    assert "logprobs" not in first
    silence = orjson.loads(said.nothing(0))
    assert (silence["message"]["content"], silence["done"]) == ("", False)
    clock.advance(7 * NS_PER_MS)
    last = orjson.loads(said.close([ended()], 1))
    assert last.pop("created_at")
    assert last == {
        "model": "tiny:latest", "message": {"role": "assistant", "content": ""}, "done": True,
        "done_reason": "length", "total_duration": 7_000_000, "load_duration": 1_500_000,
        "prompt_eval_count": 5, "prompt_eval_duration": 20_000_000, "eval_count": 3,
        "eval_duration": 1,
    }  # fmt: skip


def test_a_generation_has_its_text_in_another_member() -> None:
    said, _ = answer(forms.response)
    assert orjson.loads(said.text(0, "a", None))["response"] == "a"
    whole = said.whole([ended()])
    assert (whole["response"], whole["done"], whole["eval_count"]) == ("hello", True, 3)
    assert "message" not in whole


def test_logprobs_are_told_as_clients_read_them() -> None:
    said, _ = answer()
    assert orjson.loads(said.text(0, "a", [TOKEN]))["logprobs"] == [TOLD]
    assert said.whole([ended(tokens=[TOKEN])])["logprobs"] == [TOLD]


def test_a_failure_is_the_last_line() -> None:
    said, _ = answer()
    assert orjson.loads(said.fail(InvalidRequest("no"))) == {"error": "no"}


def test_who_only_loads_is_told_so() -> None:
    said, _ = answer(forms.response)
    loaded = said.loaded()
    assert (loaded["response"], loaded["done"], loaded["done_reason"]) == ("", True, "load")


def test_a_call_is_said_when_it_is_whole() -> None:
    said, _ = answer()
    said.speaks(0, "hermes calls")
    assert said.text(0, CALLED[:20], None) == b""
    told = orjson.loads(said.text(0, CALLED[20:], None) + said.end(0, ended()))
    (call,) = told["message"]["tool_calls"]
    assert call["function"] == {"index": 0, "name": "go", "arguments": {"n": 1}}
    assert told["message"]["content"] == ""
    last = orjson.loads(said.close([ended()._replace(finish_reason="tool_calls")], 1))
    assert (last["done_reason"], "tool_calls" in last["message"]) == ("stop", False)


def test_thinking_is_apart() -> None:
    said, _ = answer(forms.response)
    said.speaks(0, "hermes </think> within")
    told = orjson.loads(said.text(0, "hm</think>yes", None))
    assert (told["response"], told["thinking"]) == ("yes", "hm")
