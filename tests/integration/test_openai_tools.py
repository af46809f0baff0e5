"""Tools through what apps are made with, OpenAI's library and LangChain, on a real model. The
numbers are those of the checks that an OpenAI surface has to pass."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from tests.support.node import RunningNode, serving
from tests.support.node_inside import scripted_node
from tests.support.openai_calls import library, says
from tests.support.smollm2 import smollm2

pytestmark = pytest.mark.asyncio(loop_scope="module")

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": None,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 12}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
HOME: Any = {"type": "function", "function": {"name": "go_home"}}
NAMED: Any = {"type": "function", "function": {"name": "get_weather"}}
ASK: Any = {
    "model": "", "messages": says("What is the weather in Rome?"), "temperature": 0, "seed": 1,
    "max_tokens": 60,
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningNode]:
    data_dir = tmp_path_factory.mktemp("node")
    async with serving(data_dir, "--model", str(smollm2())) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(node: RunningNode) -> AsyncIterator[openai.AsyncOpenAI]:
    async with library(node.url) as running:
        yield running


async def test_16_a_call(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        tools=[WEATHER, HOME], tool_choice=NAMED, parallel_tool_calls=False, **ASK
    )
    (choice,) = answer.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    calls: Any = choice.message.tool_calls
    assert {call.function.name for call in calls} == {"get_weather"}
    assert all(list(json.loads(call.function.arguments)) == ["city"] for call in calls)
    home = await client.chat.completions.create(
        tools=[HOME], tool_choice="required", parallel_tool_calls=False, **ASK
    )
    only: Any = home.choices[0].message.tool_calls
    assert [call.function.arguments for call in only] == ["{}"]


async def test_17_a_call_as_it_comes(client: openai.AsyncOpenAI) -> None:
    how: Any = {"tools": [WEATHER], "tool_choice": NAMED, "parallel_tool_calls": False} | ASK
    whole = (await client.chat.completions.create(**how)).choices[0].message.tool_calls
    parts: list[Any] = []
    reasons = []
    async for chunk in await client.chat.completions.create(stream=True, **how):
        delta = chunk.choices[0].delta
        assert not delta.content
        parts += delta.tool_calls or []
        reasons.append(chunk.choices[0].finish_reason)
    first, *others = parts
    assert (first.index, first.type, first.function.name) == (0, "function", "get_weather")
    assert first.id.startswith("call_")
    assert all(each.id is None and each.function.name is None for each in others)
    said = "".join(each.function.arguments for each in parts)
    assert whole is not None
    assert said == whole[0].function.arguments
    assert reasons[-1] == "tool_calls"
    async with client.chat.completions.stream(**how) as stream:
        final = await stream.get_final_completion()
    helped: Any = final.choices[0].message.tool_calls
    assert (helped[0].function.name, helped[0].function.arguments) == ("get_weather", said)


async def test_18_several_calls_or_one(client: openai.AsyncOpenAI) -> None:
    how: Any = ASK | {"tools": [HOME], "tool_choice": "required", "max_tokens": 200}
    one = await client.chat.completions.create(parallel_tool_calls=False, **how)
    assert len(one.choices[0].message.tool_calls or ()) == 1
    seen: dict[int, str] = {}
    async for chunk in await client.chat.completions.create(stream=True, **how):
        for each in chunk.choices[0].delta.tool_calls or ():
            if each.id is not None:
                assert each.index == len(seen), "no gaps"
                seen[each.index] = each.id
    assert len(set(seen.values())) == len(seen) >= 1


async def test_19_choices(client: openai.AsyncOpenAI) -> None:
    none = await client.chat.completions.create(tools=[WEATHER], tool_choice="none", **ASK)
    assert none.choices[0].message.tool_calls is None
    assert none.choices[0].message.content
    for choice in ({"type": "function", "function": {"name": "x"}}, "some", {"type": "custom"}):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(tools=[WEATHER], tool_choice=choice, **ASK)  # type: ignore[call-overload]  # on purpose
        assert caught.value.param == "tool_choice"


async def test_20_and_21_what_was_called_before(client: openai.AsyncOpenAI) -> None:
    for arguments in ('{"city": "Rome"}', "{"):
        call = {
            "id": "c1", "type": "function", "index": 0,
            "function": {"name": "get_weather", "arguments": arguments},
        }  # fmt: skip
        said: Any = [
            *ASK["messages"],
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "Sun."}]},
        ]
        ask: Any = ASK | {"messages": said, "max_tokens": 5, "tools": [WEATHER]}
        answer = await client.chat.completions.create(**ask)
        assert answer.choices[0].message.content
    alone: Any = {"role": "tool", "tool_call_id": "c1", "content": "Sun."}
    ask = ASK | {"messages": [*ASK["messages"], alone]}
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(**ask)
    assert caught.value.param == "messages[1].tool_call_id"


async def test_22_a_call_or_an_answer_of_a_form(client: openai.AsyncOpenAI) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
    form: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    answer = await client.chat.completions.create(
        tools=[WEATHER], response_format=form, parallel_tool_calls=False, **ASK
    )
    message = answer.choices[0].message
    if message.tool_calls:
        assert answer.choices[0].finish_reason == "tool_calls"
    else:
        assert isinstance(json.loads(message.content or "")["a"], bool)


async def test_27_effort_is_taken(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        reasoning_effort="none", extra_body={"chat_template_kwargs": {"x": True}},
        **ASK | {"max_tokens": 2},
    )  # fmt: skip
    details: Any = answer.usage and answer.usage.completion_tokens_details
    assert details.reasoning_tokens == 0


async def test_39_a_response_with_calls(client: openai.AsyncOpenAI) -> None:
    flat: Any = [{"type": "function", **WEATHER["function"], "strict": True}]
    how: Any = {
        "model": "", "input": "What is the weather in Rome?", "tools": flat, "temperature": 0,
        "tool_choice": {"type": "function", "name": "get_weather"}, "parallel_tool_calls": False,
        "max_output_tokens": 60,
    }  # fmt: skip
    answer = await client.responses.create(**how)
    (call,) = answer.output
    assert call.type == "function_call"
    assert (answer.status, call.name) == ("completed", "get_weather")
    assert list(json.loads(call.arguments)) == ["city"]
    choice: Any = answer.tool_choice
    assert choice.name == "get_weather"
    async with client.responses.stream(**how) as stream:
        kinds = [each.type async for each in stream]
        final = await stream.get_final_response()
    assert "response.function_call_arguments.done" in kinds
    assert final.output[0].arguments == call.arguments  # type: ignore[union-attr]  # it is a call
    said: Any = [
        {"role": "user", "content": "What is the weather in Rome?"},
        *[each.model_dump() for each in answer.output],
        {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny."},
    ]
    more = await client.responses.create(
        model="", input=said, tools=flat, max_output_tokens=5, temperature=0
    )
    assert more.output


@tool
def get_weather(city: str) -> str:
    """Tells the weather of a city."""
    return f"sunny in {city}"


async def test_langchain_calls_tools(node: RunningNode) -> None:
    chat = ChatOpenAI(
        base_url=f"{node.url}/v1", api_key=SecretStr("none"), model="", max_retries=0,
        temperature=0, seed=1, max_completion_tokens=80,
    )  # fmt: skip
    bound = chat.bind_tools([get_weather], tool_choice="get_weather", parallel_tool_calls=False)
    answer = await bound.ainvoke("What is the weather in Rome?")
    (call,) = answer.tool_calls
    assert (call["name"], list(call["args"])) == ("get_weather", ["city"])
    pieces: Any = None
    async for piece in bound.astream("What is the weather in Rome?"):
        pieces = piece if pieces is None else pieces + piece
    assert [(each["name"], each["args"]) for each in pieces.tool_calls] == [
        (call["name"], call["args"])
    ]
    result = await get_weather.ainvoke(call)
    more = await chat.bind_tools([get_weather]).ainvoke(
        [("user", "What is the weather in Rome?"), answer, result], max_completion_tokens=5
    )
    assert more.content or more.tool_calls


async def test_a_killed_engine_goes_on_with_the_call(tmp_path: Path) -> None:
    own: dict[str, Any] = {"model__name": str(smollm2())}
    async with scripted_node(tmp_path, real=True, **own) as node, library(node.url) as client:
        how: Any = ASK | {"tools": [WEATHER], "tool_choice": NAMED, "parallel_tool_calls": False}
        del how["seed"]  # with one, what was said is read again token by token
        said, names, killed = "", [], False
        async for chunk in await client.chat.completions.create(stream=True, **how):
            for each in chunk.choices[0].delta.tool_calls or ():
                if each.id is not None:
                    names.append(each.function.name)
                said += each.function.arguments
            if said and not killed:
                killed = True
                await node.kill_engine()
        assert killed
        assert names == ["get_weather"]
        assert list(json.loads(said)) == ["city"]
