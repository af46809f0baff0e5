"""Answers, whole and in chunks."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import NotFound
from edge.gateway.calls.forms import Ended, Head
from edge.gateway.openai import forms
from edge.gateway.openai.forms import ChatChunks, CompletionChunks

HEAD = Head("t", 7, "tiny")
USAGE = {"prompt_tokens": 5, "cached_tokens": 2, "completion_tokens": 3}
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
