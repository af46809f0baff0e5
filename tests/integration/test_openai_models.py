"""Real models through what apps are made with: OpenAI's library, LangChain, the command `llm`. The
numbers are those of the checks that an OpenAI surface has to pass."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
from langchain_core.exceptions import ContextOverflowError
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field, SecretStr

from tests.support.node import RunningNode, serving
from tests.support.openai_calls import library, says
from tests.support.smollm2 import smollm2

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASK: Any = says("Name one animal.")
CERTAIN: Any = {"temperature": 0, "seed": 1}
"""The same answer each time; a model that is let go by chance may say a string without an end."""
RESPONSE: Any = {"temperature": 0, "extra_body": {"seed": 1}}
"""The same where the library knows no seed."""


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
async def client(node: RunningNode) -> AsyncIterator[openai.AsyncOpenAI]:
    async with library(node.url) as running:
        yield running


def langchain(node: RunningNode, **how: Any) -> ChatOpenAI:
    options: dict[str, Any] = {"model": "", "max_retries": 0, "max_tokens": 60} | CERTAIN | how
    return ChatOpenAI(base_url=f"{node.url}/v1", api_key=SecretStr("none"), **options)


async def test_8_a_stop_string_is_not_said(client: openai.AsyncOpenAI) -> None:
    ask: Any = {"model": "", "messages": ASK, "max_tokens": 40} | CERTAIN
    whole = (await client.chat.completions.create(**ask)).choices[0].message.content or ""
    stop = whole[3:6]
    for given in (stop, [stop, ""]):
        cut = (await client.chat.completions.create(stop=given, **ask)).choices[0]
        assert (cut.message.content, cut.finish_reason) == (whole[: whole.index(stop)], "stop")
    stream = await client.chat.completions.create(stop=stop, stream=True, **ask)
    said = "".join([each.choices[0].delta.content or "" async for each in stream])
    assert said == whole[: whole.index(stop)]


async def test_11_logprobs(client: openai.AsyncOpenAI) -> None:
    ask: Any = {"model": "", "messages": ASK, "max_tokens": 5} | CERTAIN
    answer = await client.chat.completions.create(logprobs=True, top_logprobs=2, **ask)
    (choice,) = answer.choices
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    assert len(choice.logprobs.content) == 5
    assert all(len(each.top_logprobs) == 2 for each in choice.logprobs.content)
    assert "".join(each.token for each in choice.logprobs.content) == choice.message.content
    stream = await client.chat.completions.create(logprobs=True, stream=True, **ask)
    tokens: list[Any] = []
    async for each in stream:
        logs = each.choices[0].logprobs
        tokens += logs.content or [] if logs else []
    assert [each.token for each in tokens] == [each.token for each in choice.logprobs.content]
    assert all(each.top_logprobs == [] for each in tokens)
    text = await client.completions.create(
        model="", prompt="Hi", max_tokens=3, logprobs=1, **CERTAIN
    )
    said: Any = text.choices[0].logprobs
    assert len(said.tokens) == len(said.token_logprobs) == len(said.text_offset) == 3


async def test_23_forms(client: openai.AsyncOpenAI, node: RunningNode) -> None:
    parsed = await client.chat.completions.parse(
        model="", messages=ASK, response_format=Animal, max_tokens=60, **CERTAIN
    )
    assert isinstance(parsed.choices[0].message.parsed, Animal)
    response = await client.responses.parse(
        model="", input="Name one animal.", text_format=Animal, max_output_tokens=60, **RESPONSE
    )
    assert isinstance(response.output_parsed, Animal)
    chain = langchain(node).with_structured_output(Animal, method="json_schema")
    assert isinstance(await chain.ainvoke("Name one animal."), Animal)


async def test_24_a_form_that_is_cut_short(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.LengthFinishReasonError):
        await client.chat.completions.parse(
            model="", messages=ASK, response_format=Animal, max_tokens=2, **CERTAIN
        )


async def test_25_any_object(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="", messages=says("An animal as JSON."), response_format={"type": "json_object"},
        max_tokens=100, **CERTAIN,
    )  # fmt: skip
    assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)
    text = await client.chat.completions.create(
        model="", messages=ASK, response_format={"type": "text"}, max_tokens=2, **CERTAIN
    )
    assert text.choices[0].message.content


async def test_39_a_response_that_is_whole(client: openai.AsyncOpenAI) -> None:
    ask: Any = {"model": "", "input": "Say hi.", "max_output_tokens": 200} | RESPONSE
    async with client.responses.stream(**ask) as stream:
        deltas = [each.delta async for each in stream if each.type.endswith("text.delta")]  # type: ignore[union-attr]  # those have one
        final = await stream.get_final_response()
    assert final.status == "completed"
    assert final.output_text == "".join(map(str, deltas)) != ""


async def test_langchain(node: RunningNode) -> None:
    chat = langchain(node, max_tokens=12, stream_usage=True)
    answer = await chat.ainvoke("Say hi.")
    assert answer.content
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] <= 12
    pieces = [each async for each in chat.astream("Say hi.")]
    assert "".join(str(each.content) for each in pieces)
    told = [each.usage_metadata for each in pieces if each.usage_metadata]
    assert len(told) == 1, "else they would be added up"


async def test_10_langchain_knows_what_is_too_long(node: RunningNode) -> None:
    with pytest.raises(ContextOverflowError):
        await langchain(node).ainvoke("one two three four " * 6_000)


async def test_the_command_llm(node: RunningNode, tmp_path: Path) -> None:
    own = tmp_path / "llm"
    own.mkdir()
    (own / "extra-openai-models.yaml").write_text(
        f"- model_id: edge\n  model_name: smollm2\n  api_base: {node.url}/v1\n", encoding="utf-8"
    )
    named = (await _models(node))[0]
    text = (own / "extra-openai-models.yaml").read_text(encoding="utf-8")
    (own / "extra-openai-models.yaml").write_text(text.replace("smollm2", named), encoding="utf-8")
    for flags in ((), ("--no-stream",)):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "llm", "-m", "edge", "--no-log", "--key", "none", *flags),
            *("-o", "max_tokens", "10", "-o", "temperature", "0", "-o", "seed", "1", "Say hi."),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            stdin=asyncio.subprocess.DEVNULL,
            env=os.environ | {"LLM_USER_PATH": str(own)},
        )
        said, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        assert said.strip()


async def _models(node: RunningNode) -> list[str]:
    async with library(node.url) as client:
        return [each.id for each in (await client.models.list()).data]
