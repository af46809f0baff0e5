"""Bodies of Ollama's interface, read into the requests of tasks."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.conversation import Message
from edge.errors import InvalidRequest
from edge.gateway.calls.reading import Bounds, Call, Caller
from edge.gateway.ollama import reading
from edge.settings import Tasks
from tests.support.rows import uid

CALLER = Caller("ada", None, None, "print")
BOUNDS = Bounds(Tasks(), 4_096, "tiny")
HI = [{"role": "user", "content": "hi"}]


def chat(**fields: Any) -> Call:
    return reading.chat({"messages": HI} | fields, uid(1), CALLER, BOUNDS)


def generate(**fields: Any) -> Call:
    return reading.generate({"prompt": "hi"} | fields, uid(1), CALLER, BOUNDS)


def options(**given: Any) -> Any:
    return chat(options=given).requests[0].options


def refused(field: str, read: Any = chat, **fields: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(**fields)
    assert caught.value.field == field


def test_a_chat_is_a_task_of_the_model_that_was_named() -> None:
    (request,) = chat(keep_alive="5m", x_new=[[]], tools=[]).requests
    assert (request.model, request.fallback, request.submission) == ("tiny", False, "print")
    assert request.messages == (Message("user", "hi"),)
    assert request.prompt is None


def test_an_answer_streams_unless_told_otherwise() -> None:
    assert chat().stream
    assert not chat(stream=False).stream
    refused("stream", stream="no")


def test_a_generation_is_what_a_user_says() -> None:
    (request,) = generate(system="be brief").requests
    assert request.messages == (Message("system", "be brief"), Message("user", "hi"))
    assert generate(system="").requests[0].messages == (Message("user", "hi"),)


def test_how_long_an_answer_may_be() -> None:
    assert options().max_tokens == 4_096
    assert options(num_predict=7).max_tokens == 7
    for unlimited in (-2, -1, 0):
        assert options(num_predict=unlimited).max_tokens == 4_096
    assert options(num_predict=10**9).max_tokens == 4_096
    assert options(num_ctx=100).max_tokens == 100
    assert options(num_ctx=100, num_predict=7).max_tokens == 7
    assert options(num_ctx=131_072).max_tokens == 4_096
    assert options(num_ctx=0).max_tokens == 4_096
    refused("num_predict", options={"num_predict": "7"})
    refused("num_predict", options={"num_predict": 7.5})


def test_samplers_are_the_tasks() -> None:
    found = options(
        temperature=0, top_k=5, top_p=0.5, min_p=0.1, typical_p=0.9, repeat_penalty=1.1,
        repeat_last_n=-1, presence_penalty=0.5, frequency_penalty=0.5, mirostat=1, seed=3,
        stop=["\n", ""], num_gpu=99, num_thread=4, use_mmap=True, tfs_z=1.0, penalize_newline=True,
        logit_bias=None,
    )  # fmt: skip
    assert (found.temperature, found.top_k, found.top_p, found.min_p) == (0.0, 5, 0.5, 0.1)
    assert (found.repeat_penalty, found.repeat_last_n, found.typical_p) == (1.1, -1, 0.9)
    assert (found.mirostat, found.seed, found.stop) == (1, 3, ("\n",))
    refused("temperature", options={"temperature": "hot"})
    refused("options", options=[])


def test_forms() -> None:
    def form(**fields: Any) -> Any:
        text = chat(**fields).requests[0].options.response_format
        return None if text is None else orjson.loads(text)

    assert form(format="") is form() is form(options={"response_format": {"type": "xml"}}) is None
    assert form(format="json") == {"type": "json_object"}
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    assert form(format=schema) == {"type": "json_schema", "json_schema": {"schema": schema}}
    refused("format", format="xml")
    refused("format", format=["json"])


def test_thinking_is_told_to_the_template() -> None:
    def told(**fields: Any) -> Any:
        text = chat(**fields).requests[0].template_variables
        return None if text is None else orjson.loads(text)

    assert told() is None
    assert told(think=False) == {"enable_thinking": False}
    assert told(think=True) == {"enable_thinking": True}
    assert told(think="low") == {"enable_thinking": True, "reasoning_effort": "low"}
    wishes: list[Any] = ["hardly", 1, []]
    for wish in wishes:
        refused("think", think=wish)


@pytest.mark.parametrize(
    ("wish", "kept_ms"),
    [
        (None, None), (0, 0), (90, 90_000), (1.5, 1_500), (-1, -1), ("-1m", -1), ("5m", 300_000),
        ("1h30m", 5_400_000), ("300ms", 300), ("60", 60_000), ("0", 0),
        ("999999h", 31 * 86_400_000), (10**30, 31 * 86_400_000),
    ],
)  # fmt: skip
def test_how_long_a_model_stays(wish: Any, kept_ms: int | None) -> None:
    assert chat(keep_alive=wish).requests[0].keep_alive_ms == kept_ms


def test_what_is_no_time() -> None:
    wishes: list[Any] = ["soon", "5 minutes", "", [], True, float("inf"), "٣s"]
    for wish in wishes:
        refused("keep_alive", keep_alive=wish)


def test_tools_are_the_tasks() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    (request,) = chat(tools=[tool]).requests
    assert request.tools is not None
    assert orjson.loads(request.tools) == [tool]
    assert request.tool_choice == "auto"
    choice = {"type": "function", "function": {"name": "f"}}
    assert chat(tools=[tool], tool_choice=choice).requests[0].tool_choice == "name:f"
    assert chat(tools=[]).requests[0].tools is None
    refused("tools", tools={})
    refused("tool_choice", tool_choice=choice)


def test_logprobs() -> None:
    assert chat(logprobs=True, top_logprobs=2).requests[0].options.logprobs == 2
    assert generate(logprobs=True).requests[0].options.logprobs == 0
    refused("top_logprobs", top_logprobs=2)


def test_what_is_known_and_cannot_be_done_is_refused_by_its_name() -> None:
    for name, value in (
        ("raw", True), ("template", "{{ .Prompt }}"), ("suffix", "x"), ("context", [1]),
        ("images", ["aGk="]), ("prompt", " "), ("system", 1),
    ):  # fmt: skip
        refused(name, generate, **{name: value})
    assert generate(raw=False, template="", suffix="", context=[], images=[]).requests


@pytest.mark.parametrize(
    ("body", "what", "loads"),
    [
        ({}, "prompt", True), ({"prompt": ""}, "prompt", True), ({"prompt": "a"}, "prompt", False),
        ({}, "messages", True), ({"messages": []}, "messages", True),
        ({"messages": HI}, "messages", False), ({"prompt": " "}, "prompt", False),
    ],
)  # fmt: skip
def test_who_says_nothing_wants_the_model_loaded(
    body: dict[str, Any], what: str, loads: bool
) -> None:
    assert reading.only_loads(body, what) is loads


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
MEMBERS = (
    "messages", "prompt", "system", "format", "options", "stream", "think", "images", "tools",
    "logprobs", "top_logprobs", "keep_alive", "raw",
)  # fmt: skip


# The first draw builds the strategy, which takes its time on a busy machine.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(MEMBERS), JSON), st.sampled_from([chat, generate]))
def test_any_body_is_read_or_refused(body: dict[str, Any], read: Any) -> None:
    given = {name: value for name, value in body.items() if value is not None}
    try:
        call = read(**given)
    except InvalidRequest:
        return
    assert call.requests[0].to_json()
