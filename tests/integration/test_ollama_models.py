"""A real model through Ollama's own library."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import ollama
import pytest
import pytest_asyncio
from pydantic import BaseModel, Field

from tests.support.node import RunningNode, serving
from tests.support.ollama_calls import lines, ollama_library
from tests.support.openai_calls import says
from tests.support.smollm2 import smollm2

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASK: Any = says("Name one animal.")


class Animal(BaseModel):
    """What is asked for."""

    name: str = Field(max_length=20)
    legs: int = Field(ge=0, le=1_000)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningNode]:
    """One node for the whole file: loading the model takes longest."""
    data_dir = tmp_path_factory.mktemp("node")
    async with serving(data_dir, "--model", str(smollm2())) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def client(node: RunningNode) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama_library(node.url) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def model(client: ollama.AsyncClient) -> str:
    """By the name that the list has."""
    model, *_ = (await client.list()).models
    return str(model.model)


def certain(**options: Any) -> dict[str, Any]:
    """The same answer each time, and not for ever."""
    return {"temperature": 0, "seed": 1, "num_predict": 40} | options


async def test_what_is_told_of_it(client: ollama.AsyncClient, model: str) -> None:
    listed, *_ = (await client.list()).models
    assert listed.details is not None
    assert listed.details.parameter_size == "134.52M"
    assert listed.details.quantization_level == "Q4_1"
    shown = await client.show(model)
    assert shown.template is not None
    assert "<|im_start|>" in shown.template
    assert shown.modelinfo is not None
    assert shown.modelinfo["llama.context_length"] == 4_096, "less than it was trained with"
    assert shown.license


async def test_a_stop_string_is_not_said(client: ollama.AsyncClient, model: str) -> None:
    whole = (await client.chat(model, ASK, options=certain())).message.content or ""
    stop = whole[3:6]
    cut = await client.chat(model, ASK, options=certain(stop=[stop]))
    assert (cut.message.content, cut.done_reason) == (whole[: whole.index(stop)], "stop")
    stream = await client.chat(model, ASK, options=certain(stop=[stop]), stream=True)
    said = "".join([each.message.content or "" async for each in stream])
    assert said == whole[: whole.index(stop)]


async def test_a_chat_and_a_generation_read_the_same(
    client: ollama.AsyncClient, model: str
) -> None:
    system: Any = [{"role": "system", "content": "You are brief."}]
    chat = await client.chat(model, system + ASK, options=certain())
    text = await client.generate(
        model, "Name one animal.", system="You are brief.", options=certain()
    )
    # Not that they say the same: what is cached of a prompt changes the last bits of its numbers.
    assert text.response
    assert chat.message.content
    assert text.prompt_eval_count == chat.prompt_eval_count
    assert text.prompt_eval_count is not None
    assert text.prompt_eval_count > 10


async def test_forms(client: ollama.AsyncClient, model: str) -> None:
    schema = Animal.model_json_schema()
    answer = await client.chat(model, ASK, format=schema, options=certain(num_predict=200))
    found = Animal.model_validate_json(answer.message.content or "")
    assert 0 <= found.legs <= 1_000
    text = await client.generate(
        model, "An animal as JSON.", format="json", options=certain(num_predict=200)
    )
    assert (text.response or "").startswith("{")


async def test_logprobs(client: ollama.AsyncClient, model: str) -> None:
    how: Any = {"logprobs": True, "top_logprobs": 2, "options": certain(num_predict=5)}
    whole = await client.chat(model, ASK, **how)
    assert whole.logprobs is not None
    assert "".join(each.token for each in whole.logprobs) == whole.message.content
    assert all(each.top_logprobs and len(each.top_logprobs) == 2 for each in whole.logprobs)
    said: list[Any] = []
    async for each in await client.chat(model, ASK, stream=True, **how):
        said += each.logprobs or []
    assert [each.token for each in said] == [each.token for each in whole.logprobs]


async def test_a_prompt_that_is_too_long_is_refused(client: ollama.AsyncClient, model: str) -> None:
    with pytest.raises(ollama.ResponseError, match="too long") as caught:
        await client.chat(model, says("one two three four " * 6_000))
    assert caught.value.status_code == 400


async def test_tools(client: ollama.AsyncClient, model: str, node: RunningNode) -> None:
    tools: Any = [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "description": "The weather of a city.",
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string", "maxLength": 12}},
                    "required": ["city"],
                },
            },
        }
    ]
    choice = {"type": "function", "function": {"name": "get_weather"}}
    body = {
        "model": model, "messages": says("What is the weather in Rome?"), "tools": tools,
        "tool_choice": choice, "parallel_tool_calls": False, "options": certain(num_predict=80),
    }  # fmt: skip
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{node.url}/api/chat", json=body) as response:
            said = lines(await response.read())
        async with http.post(f"{node.url}/api/chat", json=body | {"stream": False}) as response:
            whole = await response.json()
    calls = [call for each in said for call in each["message"].get("tool_calls", ())]
    assert [call["function"]["name"] for call in calls] == ["get_weather"]
    assert list(calls[0]["function"]["arguments"]) == ["city"]
    assert [call["function"]["name"] for call in whole["message"]["tool_calls"]] == ["get_weather"]
    assert said[-1]["done_reason"] == whole["done_reason"] == "stop"
    answered: Any = [
        *says("What is the weather in Rome?"),
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "tool_name": "get_weather", "content": "sunny"},
    ]
    last = await client.chat(model, answered, tools=tools, options=certain())
    assert last.done
    assert "tools" in ((await client.show(model)).capabilities or ())
