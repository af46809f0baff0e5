"""Tools on a real model whose template knows none: a message of ours tells it, its calls follow a
grammar, and what they are survives whatever dies."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from edge.answers.ids import call_id
from tests.support.node import Channel, RunningNode, joined, serving, start_node
from tests.support.smollm2 import smollm2

LOOK: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
GO: dict[str, Any] = {"type": "function", "function": {"name": "go_home"}}
ASK: dict[str, Any] = {
    "messages": [{"role": "user", "content": "What is the weather in Rome?"}],
    "tools": [LOOK, GO],
    "max_tokens": 80,
    "temperature": 0,
    "seed": 1,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningNode]:
    data_dir = tmp_path_factory.mktemp("node")
    async with serving(data_dir, "--model", str(smollm2())) as running:
        yield running


async def submit(http: aiohttp.ClientSession, url: str, **body: Any) -> str:
    async with http.post(f"{url}/tasks", json=ASK | body) as response:
        answer = await response.json(content_type=None)
        assert response.status == 202, answer
        return str(answer["task_id"])


async def followed(http: aiohttp.ClientSession, url: str, task_id: str) -> Channel:
    async with joined(http, url, task_id) as channel:
        if channel.reply["task"]["result"] is None:
            await channel.until("completed")
        return channel


async def task(http: aiohttp.ClientSession, url: str, task_id: str) -> dict[str, Any]:
    async with http.get(f"{url}/tasks/{task_id}") as response:
        return dict(await response.json(content_type=None))


@pytest.mark.asyncio(loop_scope="module")
async def test_a_call_that_has_to_be(node: RunningNode) -> None:
    async with aiohttp.ClientSession() as http:
        task_id = await submit(http, node.url, tool_choice="required", parallel_tool_calls=False)
        await followed(http, node.url, task_id)
        document = await task(http, node.url, task_id)
    result = document["result"]
    assert result["finish_reason"] == "tool_calls"
    assert result["text"].startswith("<tool_call>")
    message = result["message"]
    assert message["content"] is None
    (call,) = message["tool_calls"]
    assert call["id"] == call_id(task_id, 0)
    arguments = json.loads(call["function"]["arguments"])
    if call["function"]["name"] == "get_weather":
        assert list(arguments) == ["city"]
    else:
        assert (call["function"]["name"], arguments) == ("go_home", {})


@pytest.mark.asyncio(loop_scope="module")
async def test_the_tool_that_was_named_is_called_and_told_of(node: RunningNode) -> None:
    choice = {"type": "function", "function": {"name": "get_weather"}}
    calls: list[dict[str, Any]] = []
    async with aiohttp.ClientSession() as http:
        task_id = await submit(http, node.url, tool_choice=choice, parallel_tool_calls=False)
        async with joined(http, node.url, task_id) as channel:
            while await channel.until("tool_call", "completed") == "tool_call":
                calls.append(channel.last)
            assert channel.last["result"]["message"]["tool_calls"][0]["id"] == calls[0]["id"]
            assert [first for first, _ in channel.seqs[1:]] == [
                last + 1 for _, last in channel.seqs[:-1]
            ]
    assert [(each["name"], each["index"]) for each in calls] == [("get_weather", 0)] * 2
    assert calls[0]["arguments"] is None
    assert list(json.loads(calls[1]["arguments"])) == ["city"]


@pytest.mark.asyncio(loop_scope="module")
async def test_without_a_choice_the_text_is_the_models(node: RunningNode) -> None:
    async with aiohttp.ClientSession() as http:
        task_id = await submit(http, node.url, tool_choice="none")
        await followed(http, node.url, task_id)
        document = await task(http, node.url, task_id)
        assert document["result"]["message"] is None
        task_id = await submit(http, node.url)
        await followed(http, node.url, task_id)
        document = await task(http, node.url, task_id)
    message = document["result"]["message"]
    assert message["content"] or message["tool_calls"]


@pytest.mark.asyncio(loop_scope="module")
async def test_what_was_called_and_answered_goes_on(node: RunningNode) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{"}}
    said = [
        *ASK["messages"],
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "Sunny."},
    ]
    async with aiohttp.ClientSession() as http:
        task_id = await submit(http, node.url, messages=said, max_tokens=8)
        await followed(http, node.url, task_id)
        assert (await task(http, node.url, task_id))["result"]["text"]


@pytest.mark.asyncio(loop_scope="module")
async def test_what_cannot_be_is_refused_by_name(node: RunningNode) -> None:
    strict = {"function": {"name": "x", "strict": True, "parameters": {"not": {}}}}
    async with aiohttp.ClientSession() as http:
        for body, field in (
            ({"tool_choice": "required", "tools": []}, "tool_choice"),
            ({"tool_choice": {"function": {"name": "x"}}}, "tool_choice"),
            ({"tools": [strict]}, "tools[0].function.parameters"),
            ({"ignore_eos": True}, "ignore_eos"),
            ({"dry_multiplier": 1}, "dry_multiplier"),
        ):
            async with http.post(f"{node.url}/tasks", json=ASK | body) as response:
                problem = await response.json(content_type=None)
                assert (response.status, problem["field"]) == (422, field)


async def test_a_killed_node_goes_on_with_the_call(tmp_path: Path) -> None:
    model = ("--model", str(smollm2()))
    node = await start_node(tmp_path, *model)
    async with aiohttp.ClientSession() as http:
        task_id = await submit(http, node.url, tool_choice="required", parallel_tool_calls=False)
        async with joined(http, node.url, task_id) as channel:
            while len(channel.text) < 20:
                assert await channel.hear()
        await node.kill()
        async with serving(tmp_path, *model) as again:
            await followed(http, again.url, task_id)
            document = await task(http, again.url, task_id)
    (call,) = document["result"]["message"]["tool_calls"]
    assert document["result"]["finish_reason"] == "tool_calls"
    assert isinstance(json.loads(call["function"]["arguments"]), dict)
