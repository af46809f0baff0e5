"""Bodies of OpenAI's interface, read into the requests of tasks."""

from __future__ import annotations

from typing import Any

import pytest

from edge.conversation import Message
from edge.errors import InvalidRequest
from edge.gateway.calls.reading import Bounds, Call, Caller, choice_id
from edge.gateway.openai import reading
from edge.settings import Tasks
from edge.tasks import logprobs
from tests.support.rows import uid

CALLER = Caller("ada", None, None, "print")
BOUNDS = Bounds(Tasks(), 4_096, "tiny")
HI = [{"role": "user", "content": "hi"}]


def chat(**fields: Any) -> Call:
    body = {name: value for name, value in ({"messages": HI} | fields).items() if value is not None}
    return reading.chat(body, uid(1), CALLER, BOUNDS)


def completions(**fields: Any) -> Call:
    return reading.completions(fields, uid(1), CALLER, BOUNDS)


def options(**fields: Any) -> Any:
    return chat(**fields).requests[0].options


def refused(field: str, **fields: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        chat(**fields)
    assert caught.value.field == field


def test_nobody_else_answers_under_the_models_name() -> None:
    request = chat().requests[0]
    assert (request.model, request.fallback, request.submission) == ("tiny", False, "print")


def test_members_that_nobody_knows_are_passed_over() -> None:
    call = chat(store=True, x_new={"deep": []}, service_tier="auto", tools=[], tool_choice="none")
    assert call.requests[0].messages == (Message("user", "hi"),)


def test_the_first_limit_counts_within_the_context() -> None:
    assert options().max_tokens == 4_096
    assert options(max_tokens=-1).max_tokens == 4_096
    assert options(max_tokens=7).max_tokens == 7
    assert options(max_tokens=7, max_completion_tokens=5).max_tokens == 5
    assert options(max_tokens=10**9).max_tokens == 4_096
    refused("max_tokens", max_tokens=0)
    refused("max_completion_tokens", max_completion_tokens=-2)
    refused("max_tokens", max_tokens="7")


def test_logprobs_are_of_as_many_tokens_as_a_task_may_have() -> None:
    assert options().logprobs is None
    assert options(logprobs=True).logprobs == 0
    found = options(logprobs=True, top_logprobs=20)
    assert (found.logprobs, found.max_tokens) == (20, logprobs.FIGURES_MAX // 21)
    refused("logprobs", logprobs=True, top_logprobs=20, max_tokens=4_000)
    refused("top_logprobs", top_logprobs=2)
    refused("top_logprobs", logprobs=True, top_logprobs=21)


def test_each_choice_is_a_task_with_its_own_seed() -> None:
    call = chat(n=3, seed=2**32 - 2)
    ids = [each.task_id for each in call.requests]
    assert ids[0] == call.task_id == uid(1)
    assert ids == [choice_id(uid(1), number) for number in range(3)]
    assert len(set(ids)) == 3
    assert [each.options.seed for each in call.requests] == [2**32 - 2, 0, 1]
    for wrong in (0, 9, -1, "2"):
        refused("n", n=wrong)


def test_a_key_is_that_of_the_first_task() -> None:
    caller = CALLER._replace(key="k")
    call = reading.chat({"messages": HI, "n": 2}, uid(1), caller, BOUNDS)
    assert [each.idempotency_key for each in call.requests] == ["k", None]
    with pytest.raises(InvalidRequest):
        reading.chat({"messages": HI}, uid(1), CALLER._replace(key=""), BOUNDS)


def test_what_is_known_and_cannot_be_done_is_refused_by_its_name() -> None:
    refused("functions", functions=[{"name": "f"}])
    refused("audio", audio={"voice": "x"})
    refused("modalities", modalities=["audio"])
    refused("response_format.type", response_format={"type": "xml"})
    refused("tool_choice", tool_choice="required")
    refused("messages", messages=None)
    refused("stream", stream="yes")
    refused("stream_options", stream=True, stream_options=[])
    refused("stream_options.include_usage", stream=True, stream_options={"include_usage": 1})
    refused("metadata", metadata=[])
    refused("temperature", temperature=9)


def test_usage_is_told_in_a_stream_that_wants_it() -> None:
    wish = {"include_usage": True}
    assert chat(stream=True, stream_options=wish).include_usage
    assert not chat(stream_options=wish).include_usage
    assert not chat(stream=True, stream_options={"include_usage": None}).include_usage


def test_formats_and_metadata_and_users_are_the_tasks() -> None:
    call = chat(response_format={"type": "json_object"}, metadata={"a": "b"}, user="carl")
    (request,) = call.requests
    assert request.options.response_format == '{"type":"json_object"}'
    assert (request.metadata, request.user) == ('{"a":"b"}', "carl")
    assert options(response_format={"type": "text"}).response_format is None
    refused("ignore_eos", response_format={"type": "json_object"}, ignore_eos=True)


def test_completions_are_choices_of_each_prompt() -> None:
    call = completions(prompt=["a", "b"], n=2, top_k=-1)
    assert [each.prompt for each in call.requests] == ["a", "a", "b", "b"]
    assert len({each.task_id for each in call.requests}) == 4
    assert (call.choices, call.requests[0].options.top_k) == (2, 0)
    assert completions(prompt="a", logprobs=0).requests[0].options.logprobs == 0
    wrong: list[dict[str, Any]] = [
        {"prompt": [1, 2]}, {"prompt": []}, {"prompt": ""}, {}, {"prompt": "a", "echo": True},
        {"prompt": "a", "suffix": "b"}, {"prompt": "a", "best_of": 2},
        {"prompt": ["a"] * (reading.PROMPTS_MAX + 1)},
    ]  # fmt: skip
    for fields in wrong:
        with pytest.raises(InvalidRequest):
            completions(**fields)
