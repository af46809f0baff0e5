"""Answers, whole and in chunks."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from edge.answers.ids import call_id
from edge.answers.reader import read as read_answer
from edge.errors import NotFound
from edge.gateway.calls.forms import Ended, Head
from edge.gateway.openai import forms
from edge.gateway.openai.forms import ChatChunks, CompletionChunks

HEAD = Head("t", 7, "tiny")
USAGE = {"prompt_tokens": 5, "cached_tokens": 2, "completion_tokens": 3, "reasoning_tokens": 1}
TOKEN = {
    "token": "a", "bytes": [97], "logprob": -0.5, "offset": 4,
    "top_logprobs": [{"token": "b", "bytes": [98], "logprob": -1.0}],
}  # fmt: skip


def ended(text: str = "hello", reason: str = "stop", tokens: Any = None) -> Ended:
    return Ended(text, reason, USAGE, tokens)


def read(chunk: bytes) -> Any:
    assert chunk.startswith(b"data: ")
    assert chunk.endswith(b"\n\n")
    return orjson.loads(chunk[6:])


@given(st.text())
def test_an_event_is_one_line_for_whoever_splits_it(text: str) -> None:
    chunk = forms.event({"text": text})
    # As httpx splits text; an event has its own two line ends.
    assert len(chunk.decode().splitlines()) == 2
    assert read(chunk) == {"text": text}


def test_a_chat() -> None:
    document = forms.chat(HEAD, [ended(), ended("x", "length", [TOKEN])])
    assert (document["id"], document["created"], document["model"]) == ("chatcmpl-t", 7, "tiny")
    first, second = document["choices"]
    assert first["message"] == {"role": "assistant", "content": "hello", "refusal": None}
    assert (first["finish_reason"], first["logprobs"]) == ("stop", None)
    assert second["index"] == 1
    assert second["logprobs"]["refusal"] is None
    assert second["logprobs"]["content"] == [
        {"token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": TOKEN["top_logprobs"]}
    ]
    assert document["usage"]["prompt_tokens"] == 5, "one prompt, two answers"
    assert document["usage"]["completion_tokens"] == 6
    assert document["usage"]["total_tokens"] == 11
    assert document["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}
    assert document["usage"]["completion_tokens_details"] == {"reasoning_tokens": 2}


def test_a_completion_has_the_prompts_of_all_its_choices() -> None:
    document = forms.completion(HEAD, [ended(tokens=[TOKEN])] * 4, 2)
    assert document["id"] == "cmpl-t"
    assert [each["index"] for each in document["choices"]] == [0, 1, 2, 3]
    assert document["usage"]["prompt_tokens"] == 10
    assert document["choices"][0]["logprobs"] == {
        "tokens": ["a"], "token_logprobs": [-0.5], "top_logprobs": [{"b": -1.0}],
        "text_offset": [4],
    }  # fmt: skip


def test_chunks_of_a_chat() -> None:
    chunks = ChatChunks(HEAD)
    begin = read(chunks.begin(1))
    assert begin["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert (begin["choices"][0]["index"], begin["object"]) == (1, "chat.completion.chunk")
    text = read(chunks.text(0, "hi", [TOKEN]))["choices"][0]
    assert (text["delta"], text["finish_reason"]) == ({"content": "hi"}, None)
    assert text["logprobs"]["content"][0]["token"] == "a"
    assert read(chunks.nothing(0))["choices"][0]["delta"] == {"content": ""}
    end = read(chunks.end(0, ended(reason="length")))["choices"][0]
    assert (end["delta"], end["finish_reason"]) == ({}, "length")
    assert chunks.close([ended()], 1) == forms.DONE
    told = ChatChunks(HEAD, include_usage=True).close([ended()], 1)
    assert told.endswith(forms.DONE)
    last = read(told.removesuffix(forms.DONE))
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 8)
    assert "usage" not in begin, "who adds all usages up would count it twice"


def test_chunks_of_a_completion() -> None:
    chunks = CompletionChunks(HEAD)
    assert read(chunks.begin(0))["choices"][0]["text"] == ""
    assert read(chunks.text(2, "hi", None))["choices"][0]["text"] == "hi"
    assert read(chunks.end(0, ended()))["choices"][0]["finish_reason"] == "stop"
    failed = read(chunks.fail(NotFound("no")))
    assert (set(failed), failed["error"]["message"]) == ({"error"}, "no")


CALL_TEXT = 'Hm</think>So <tool_call>{"name": "go", "arguments": {"a":1}}</tool_call>'
DIALECT = "hermes calls </think> within"


def deltas(data: bytes) -> list[Any]:
    return [read(each + b"\n\n")["choices"][0]["delta"] for each in data.split(b"\n\n")[:-1]]


def test_chunks_tell_of_thoughts_and_calls() -> None:
    chunks = ChatChunks(HEAD)
    chunks.speaks(0, DIALECT)
    told = [each for char in CALL_TEXT for each in deltas(chunks.text(0, char, None))]
    told += deltas(chunks.end(0, ended(reason="tool_calls")))
    assert "".join(each.get("reasoning_content", "") for each in told) == "Hm"
    assert "".join(each.get("content", "") for each in told) == "So"
    (first, *others) = [call for each in told for call in each.get("tool_calls", ())]
    assert (first["id"], first["type"], first["index"]) == (call_id("t", 0), "function", 0)
    assert first["function"] == {"name": "go", "arguments": ""}
    assert "".join(each["function"]["arguments"] for each in others) == '{"a":1}'
    assert all(set(each) == {"index", "function"} for each in others)
    assert told[-1] == {}


def test_tokens_are_told_also_where_text_is_held_back() -> None:
    chunks = ChatChunks(HEAD)
    chunks.speaks(0, DIALECT)
    chunk = read(chunks.text(0, "</thi", [TOKEN]))["choices"][0]
    assert (chunk["delta"], len(chunk["logprobs"]["content"])) == ({"content": ""}, 1)
    assert chunks.text(0, "nk", None) == b""


def test_a_chat_with_calls() -> None:
    message = read_answer(DIALECT, CALL_TEXT).message("t")
    said = ended(CALL_TEXT, "tool_calls")._replace(message=message)
    (choice,) = forms.chat(HEAD, [said])["choices"]
    assert choice["message"] == message | {"refusal": None}
    assert choice["finish_reason"] == "tool_calls"
    assert forms.completion(HEAD, [said], 1)["choices"][0]["text"] == "So"


def test_a_completion_is_content_alone() -> None:
    chunks = CompletionChunks(HEAD)
    chunks.speaks(0, DIALECT)
    assert chunks.text(0, "Hm", None) == b""
    assert read(chunks.text(0, "</think>So ", None))["choices"][0]["text"] == "So"
    assert read(chunks.end(0, ended()))["choices"][0]["text"] == " "
