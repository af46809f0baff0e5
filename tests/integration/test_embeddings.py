"""Embeddings and ranking through the front door of a node, by OpenAI's library, LangChain's and
bare HTTP. The number is that of the check that an OpenAI surface has to pass."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import langchain_openai
import numpy as np
import ollama
import openai
import pytest
import pytest_asyncio
from gguf import PoolingType
from pydantic import SecretStr

from edge.errors import ModelError
from edge.inference.embedding.protocol import Vectors
from edge.services.embedding import EMBEDDING_NAME, TEXTS_PER_CALL_MAX
from tests.support.node_inside import ScriptedNode, scripted_node
from tests.support.ollama_calls import ollama_library
from tests.support.openai_calls import HI, library
from tests.support.random_encoders import CONTEXT_TOKENS, WORDS, write_encoder
from tests.support.raw import exchange

ALIAS = "text-embedding-3-small"
CLIENTS = 300
LOOP = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ScriptedNode]:
    folder = tmp_path_factory.mktemp("node")
    embeds = write_encoder(folder / "encoder.gguf")
    ranks = write_encoder(folder / "ranker.gguf", PoolingType.RANK)
    async with scripted_node(
        folder / "data",
        embeddings__model=str(embeds),
        embeddings__rerank_model=str(ranks),
        embeddings__aliases=[ALIAS],
        embeddings__cuttable="yes",
        server__body_bytes_max=1 << 22,
    ) as running:
        yield running


async def post(node: ScriptedNode, path: str, **body: Any) -> tuple[int, Any]:
    async with node.http.post(node.url + path, json=body) as response:
        return response.status, await response.json(content_type=None)


async def refusal(node: ScriptedNode, path: str = "/v1/embeddings", **body: Any) -> dict[str, Any]:
    status, answer = await post(node, path, **body)
    assert status == 400, answer
    error: dict[str, Any] = answer["error"]
    return error


async def engine_event(node: ScriptedNode, name: str, count: int) -> dict[str, Any]:
    """The fields of the `count`-th such event of the engine that embeds, once it is there."""
    number = 0
    while True:
        number += 1
        event = await node.heard.next("embedding.engine", number)
        count -= event.fields["event"] == name
        if not count:
            fields: Any = event.fields["fields"]
            return dict(fields)


def told(node: ScriptedNode) -> list[object]:
    """The names of all that was told of the engine that embeds."""
    return [each.fields["event"] for each in node.heard.of("embedding.engine")]


async def gone(pid: int) -> None:
    """Waits until there is no such process."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(fd, ended.set)
    try:
        async with asyncio.timeout(30):
            await ended.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)


async def kill(node: ScriptedNode, name: str, count: int) -> None:
    """Kills the process of which this is said."""
    os.kill((await engine_event(node, name, count))["pid"], signal.SIGKILL)


@LOOP
async def test_37_what_the_library_asks_for_unasked(node: ScriptedNode) -> None:
    async with library(node.url) as client:
        packed = await client.embeddings.create(model=ALIAS, input=["a fox", "a lazy dog"])
        plain = await client.embeddings.create(
            model="encoder", input=["a fox", "a lazy dog"], encoding_format="float"
        )
    assert (packed.object, packed.model) == ("list", "encoder")
    assert [each.index for each in packed.data] == [0, 1]
    assert [each.object for each in packed.data] == ["embedding"] * 2
    assert len(packed.data[0].embedding) == 64
    for ours, theirs in zip(packed.data, plain.data, strict=True):
        assert ours.embedding == pytest.approx(theirs.embedding, abs=1e-6)
        assert np.linalg.norm(ours.embedding) == pytest.approx(1, abs=1e-4)
    # "[CLS] a fox [SEP]" and "[CLS] a lazy dog [SEP]"
    assert (packed.usage.prompt_tokens, packed.usage.total_tokens) == (9, 9)


@LOOP
async def test_the_models_are_listed_and_write_nothing(node: ScriptedNode) -> None:
    async with library(node.url) as client:
        ids = [each.id for each in (await client.models.list()).data]
        assert ids[-2:] == ["encoder", "ranker"]
        assert (await client.models.retrieve(ALIAS)).id == "encoder"
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="encoder", messages=HI)


@LOOP
async def test_bare_http(node: ScriptedNode) -> None:
    status, answer = await post(node, "/v1/embeddings", input="a fox", unknown=1, user=None)
    assert status == 200
    (plain,) = answer["data"]
    status, answer = await post(node, "/embeddings", input=["a fox"], encoding_format="base64")
    (packed,) = answer["data"]
    numbers = np.frombuffer(base64.b64decode(packed["embedding"]), "<f4")
    assert numbers == pytest.approx(plain["embedding"], abs=1e-6)


@LOOP
async def test_37_token_ids_are_refused_by_the_setting_that_avoids_them(node: ScriptedNode) -> None:
    error = await refusal(node, input=[[1, 2]])
    assert (error["type"], error["param"]) == ("invalid_request_error", "input")
    assert "check_embedding_ctx_length=False" in error["message"]


@LOOP
async def test_langchain(node: ScriptedNode) -> None:
    async with httpx.AsyncClient() as http:
        embeddings = langchain_openai.OpenAIEmbeddings(
            model=ALIAS,
            base_url=f"{node.url}/v1",
            api_key=SecretStr("none"),
            check_embedding_ctx_length=False,
            http_async_client=http,
        )
        first, second = await embeddings.aembed_documents(["a fox", "a lazy dog"])
        assert await embeddings.aembed_query("a fox") == pytest.approx(first, abs=1e-4)
    assert len(second) == 64


@LOOP
async def test_dimensions_are_the_first_of_a_vector(node: ScriptedNode) -> None:
    async with library(node.url) as client:
        whole = await client.embeddings.create(model="", input="a fox")
        cut = await client.embeddings.create(model="", input="a fox", dimensions=16)
    first = np.array(whole.data[0].embedding[:16])
    assert cut.data[0].embedding == pytest.approx(first / np.linalg.norm(first), abs=1e-5)
    error = await refusal(node, input="a fox", dimensions=65)
    assert (error["param"], "64" in error["message"]) == ("dimensions", True)


@LOOP
async def test_what_cannot_be_embedded_is_named(node: ScriptedNode) -> None:
    assert (await refusal(node, input=[]))["param"] == "input"
    assert (await refusal(node, input=["x", ""]))["param"] == "input[1]"
    many = await refusal(node, input=["x"] * 10_000)
    assert str(TEXTS_PER_CALL_MAX) in many["message"]
    long = "fox " * CONTEXT_TOKENS
    texts = ["x"] * 100 + [long]
    error = await refusal(node, input=texts)
    assert (error["param"], error["code"]) == ("input[100]", "context_length_exceeded")
    status, answer = await post(node, "/v1/embeddings", model="gpt-5", input="x")
    assert (status, answer["error"]["code"]) == (404, "model_not_found")
    assert (await refusal(node, input="\ud800"))["type"] == "invalid_request_error"


@LOOP
async def test_a_call_may_have_so_many_texts(node: ScriptedNode) -> None:
    texts = [WORDS[number % len(WORDS)] for number in range(TEXTS_PER_CALL_MAX)]
    async with library(node.url) as client:
        answer = await client.embeddings.create(model="", input=texts)
    assert [each.index for each in answer.data] == list(range(TEXTS_PER_CALL_MAX))
    size = len(WORDS)
    first = np.array(answer.data[0].embedding)
    for each in answer.data[::size]:
        assert each.embedding == pytest.approx(first, abs=1e-4)


@LOOP
async def test_a_crowd_is_answered(node: ScriptedNode) -> None:
    async with library(node.url) as client:

        async def ask(number: int) -> None:
            word = WORDS[number % len(WORDS)]
            answer = await client.embeddings.create(model="", input=[word, "fox"])
            assert np.dot(answer.data[1].embedding, fox) == pytest.approx(1, abs=1e-4)

        fox = (await client.embeddings.create(model="", input="fox")).data[0].embedding
        await asyncio.gather(*map(ask, range(CLIENTS)))


@LOOP
async def test_the_best_document_comes_first(node: ScriptedNode) -> None:
    documents = ["the lazy dog", {"text": "a quick fox"}, "its story"]
    asked = {"query": "fox", "documents": documents}
    status, whole = await post(node, "/v1/rerank", **asked)
    assert (status, whole["model"]) == (200, "ranker")
    scores = [each["relevance_score"] for each in whole["results"]]
    assert scores == sorted(scores, reverse=True)
    assert {each["index"] for each in whole["results"]} == {0, 1, 2}
    status, short = await post(node, "/rerank", **asked, top_n=1, return_documents=True)
    (best,) = short["results"]
    assert best["index"] == whole["results"][0]["index"]
    shown = documents[best["index"]]
    assert best["document"]["text"] in (shown, dict(shown)["text"] if best["index"] == 1 else shown)
    assert (await refusal(node, "/v1/rerank", query="q", documents=[]))["param"] == "documents"


@LOOP
async def test_other_methods_are_refused(node: ScriptedNode) -> None:
    for path in ("/v1/embeddings", "/rerank"):
        async with node.http.get(node.url + path) as response:
            assert (response.status, response.headers["Allow"]) == (405, "POST")
            assert set(await response.json()) == {"error"}


@LOOP
async def test_a_page_that_may_not_is_kept_out(node: ScriptedNode) -> None:
    for path in ("/v1/embeddings", "/v1/rerank"):
        async with node.http.post(
            node.url + path, json={"input": "x"}, headers={"Origin": "https://x.example"}
        ) as response:
            assert response.status == 403
            assert set(await response.json()) == {"error"}


@LOOP
async def test_odd_bytes(node: ScriptedNode) -> None:
    for body in ("", "{", "[]", "null", '{"input": "\\ud800"}', '{"input": {}}', "\x00"):
        answer = await exchange(
            node.url,
            "POST /v1/embeddings HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            f"Content-Length: {len(body.encode())}",
            body=body.encode(),
        )
        assert 400 <= answer.status < 500, body
        assert set(answer.json()) == {"error"}


async def test_a_call_outlives_the_engine(tmp_path: Path) -> None:
    """It is killed when it has just been started, and when it has just got its first texts."""
    model = write_encoder(tmp_path / "encoder.gguf")
    texts = ["the quick brown fox"] * TEXTS_PER_CALL_MAX
    async with (
        scripted_node(tmp_path / "data", embeddings__model=str(model)) as node,
        library(node.url) as client,
    ):
        call = asyncio.ensure_future(client.embeddings.create(model="", input=texts))
        await kill(node, "engine.started", 1)
        await kill(node, "engine.ready", 1)
        answer = await call
        assert len(answer.data) == len(texts)
        again = asyncio.ensure_future(client.embeddings.create(model="", input=texts))
        await kill(node, "engine.started", 3)
        assert len((await again).data) == len(texts)


async def test_a_model_that_nobody_asks_leaves_and_comes_back(tmp_path: Path) -> None:
    model = write_encoder(tmp_path / "encoder.gguf")
    async with (
        scripted_node(
            tmp_path / "data", embeddings__model=str(model), embeddings__keep_alive_ms=1
        ) as node,
        library(node.url) as client,
    ):
        for number in (1, 2):
            await client.embeddings.create(model="", input="fox")
            ready = await engine_event(node, "engine.ready", number)
            await gone(ready["pid"])
            # By no death: the next call starts another.
            assert not [each for each in told(node) if each == "engine.died"]


async def test_tokens_are_wanted_here_too(tmp_path: Path) -> None:
    model = write_encoder(tmp_path / "encoder.gguf")
    secret = "a secret of some length"
    async with scripted_node(
        tmp_path / "data", embeddings__model=str(model), server__tokens={"me": secret}
    ) as node:
        async with library(node.url, api_key="wrong") as client:
            with pytest.raises(openai.AuthenticationError):
                await client.embeddings.create(model="", input="fox")
        async with library(node.url, api_key=secret) as client:
            await client.embeddings.create(model="", input="fox")


async def test_the_service_is_what_other_interfaces_call(tmp_path: Path) -> None:
    model = write_encoder(tmp_path / "encoder.gguf")
    async with scripted_node(tmp_path / "data", embeddings__model=str(model)) as node:
        parts = node.node._parts
        assert parts is not None
        long = "fox " * CONTEXT_TOKENS
        answer = await parts.embedding.embed("me", ["fox", long], truncate=True, as_json=True)
        assert isinstance(answer, Vectors)
        assert answer.tokens == (3, CONTEXT_TOKENS)
        assert node.node.system.registry.whereis(EMBEDDING_NAME) is not None


@pytest.mark.parametrize(
    ("setting", "pooling", "why"),
    [
        ("embeddings__model", PoolingType.RANK, "embeddings.rerank_model"),
        ("embeddings__rerank_model", PoolingType.MEAN, "get a reranker"),
        ("embeddings__model", None, "embeddings.pooling"),
    ],
)
async def test_a_model_that_is_of_no_use_is_said_at_the_start(
    tmp_path: Path, setting: str, pooling: PoolingType | None, why: str
) -> None:
    settings: Any = {setting: str(write_encoder(tmp_path / "encoder.gguf", pooling))}
    with pytest.raises(ModelError, match=why):
        async with scripted_node(tmp_path / "data", **settings):
            pass


@LOOP
async def test_ollamas_library(node: ScriptedNode) -> None:
    async with ollama_library(node.url) as client:
        one = await client.embed("encoder", "a fox")
        two = await client.embed("encoder:latest", ["a fox", "a lazy dog"], dimensions=4)
        old = await client.embeddings("encoder", "a fox")
        assert (one.model, len(one.embeddings), len(two.embeddings)) == ("encoder:latest", 1, 2)
        assert list(old.embedding) == list(one.embeddings[0])
        assert all(len(each) == 4 for each in two.embeddings)
        assert one.prompt_eval_count
        async with library(node.url) as other:
            same = await other.embeddings.create(model="encoder", input="a fox")
        assert np.allclose(one.embeddings[0], same.data[0].embedding, atol=1e-5)
        nothing = await client.embed("encoder", [])
        assert list(nothing.embeddings) == []
        assert (await client.show("encoder")).capabilities == ["embedding"]
        assert "encoder:latest" in [each.model for each in (await client.list()).models]
        long = "a fox " * CONTEXT_TOKENS
        assert (await client.embed("encoder", long)).embeddings
        with pytest.raises(ollama.ResponseError, match="too long") as caught:
            await client.embed("encoder", long, truncate=False)
        assert caught.value.status_code == 400
        with pytest.raises(ollama.ResponseError, match="not found") as caught:
            await client.embed("nobody", "a")
        assert caught.value.status_code == 404
