"""Ollama's own library, and bare HTTP beside it, on a node whose engine is a script."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import ollama
import pytest
import pytest_asyncio

from edge.gateway.ollama.api import VERSION
from tests.support.hub import Hub, running
from tests.support.node import joined
from tests.support.node_inside import ScriptedNode, scripted_node
from tests.support.ollama_calls import lines, ollama_library
from tests.support.openai_calls import HI, chunk, head, posted, says, whole_body
from tests.support.random_gguf import write_random_gguf
from tests.support.scripted_node import start_scripted_node

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "elwift-tiny:latest"
CHAT = "/api/chat"
WORDS = "word word word "
THREE: Any = {"num_predict": 3}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ScriptedNode]:
    """One for all tests that leave it as it was."""
    async with scripted_node(tmp_path_factory.mktemp("node"), model__aliases=["a/b:c"]) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(node: ScriptedNode) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama_library(node.url) as running:
        yield running


async def post(node: ScriptedNode, body: Any, path: str = CHAT, **headers: str) -> tuple[int, Any]:
    async with node.http.post(node.url + path, json=body, headers=headers) as response:
        return response.status, await response.json(content_type=None)


async def refusal(node: ScriptedNode, path: str = CHAT, **fields: Any) -> str:
    """The sentence of a request that is refused with 400 before there is a task of it."""
    before = len(node.heard.of("task.accepted"))
    body = {"messages": HI} if path == CHAT else {"prompt": "hi"}
    status, answer = await post(node, body | fields, path)
    assert (status, list(answer)) == (400, ["error"]), answer
    assert len(node.heard.of("task.accepted")) == before
    sentence: str = answer["error"]
    return sentence


async def test_a_chat(client: ollama.AsyncClient, node: ScriptedNode) -> None:
    answer = await client.chat(model=MODEL, messages=HI, options=THREE)
    assert (answer.model, answer.message.role, answer.message.content) == (
        MODEL,
        "assistant",
        WORDS,
    )
    assert (answer.done, answer.done_reason) == (True, "length")
    assert (answer.eval_count, answer.prompt_eval_count) == (3, 1)
    for duration in (
        answer.total_duration, answer.load_duration, answer.prompt_eval_duration,
        answer.eval_duration,
    ):  # fmt: skip
        assert duration is not None
        assert duration > 0
    assert answer.created_at is not None
    assert len(answer.created_at) == len("2026-01-01T00:00:00.000000000Z")
    accepted = node.heard.of("task.accepted")[-1]
    task = await node.task(str(accepted.fields["task_id"]))
    assert (task["state"], task["model"], task["messages"]) == ("completed", "elwift-tiny", HI)


async def test_a_stream(client: ollama.AsyncClient) -> None:
    stream = await client.chat(model=MODEL, messages=HI, options=THREE, stream=True)
    said = [each async for each in stream]
    assert "".join(each.message.content or "" for each in said) == WORDS
    assert [each.done for each in said] == [False] * (len(said) - 1) + [True]
    assert (said[-1].eval_count, said[-1].done_reason) == (3, "length")


async def test_a_generation(client: ollama.AsyncClient, node: ScriptedNode) -> None:
    answer = await client.generate(MODEL, "hi", system="be brief", options=THREE)
    assert (answer.response, answer.done) == (WORDS, True)
    accepted = node.heard.of("task.accepted")[-1]
    task = await node.task(str(accepted.fields["task_id"]))
    assert task["messages"] == [{"role": "system", "content": "be brief"}, *HI]
    stream = await client.generate(MODEL, "hi", options=THREE, stream=True)
    assert "".join([each.response or "" async for each in stream]) == WORDS


async def test_a_raw_stream(node: ScriptedNode) -> None:
    body = {"messages": HI, "options": THREE}
    async with posted(node.url, body, b"Connection: close", path=CHAT) as raw:
        status, headers = await head(raw)
        assert (status, headers["content-type"]) == (200, "application/x-ndjson")
        assert headers["x-task-id"]
        assert headers["x-accel-buffering"] == "no"
        said = lines(await whole_body(raw))
        assert await raw.rest() == b""
    assert all(each["message"]["role"] == "assistant" for each in said)
    assert all("error" not in each for each in said)


async def test_a_stream_that_is_broken_off_is_cancelled(node: ScriptedNode) -> None:
    body = {"messages": HI, "options": {"num_predict": 4_000}}
    async with posted(node.url, body, path=CHAT) as raw:
        _, headers = await head(raw)
        assert await chunk(raw)
    assert (await node.ended(headers["x-task-id"]))["state"] == "cancelled"


async def test_the_library_breaks_off(client: ollama.AsyncClient, node: ScriptedNode) -> None:
    stream: Any = await client.chat(
        model=MODEL, messages=HI, options={"num_predict": 4_000}, stream=True
    )
    async for each in stream:
        if each.message.content:
            break
    await stream.aclose()
    accepted = node.heard.of("task.accepted")[-1]
    assert (await node.ended(str(accepted.fields["task_id"])))["state"] == "cancelled"


async def test_who_says_nothing_has_the_model_loaded(
    client: ollama.AsyncClient, node: ScriptedNode
) -> None:
    before = len(node.heard.of("task.accepted"))
    answer = await client.generate(MODEL, keep_alive=0)
    assert (answer.response, answer.done_reason, answer.done) == ("", "load", True)
    loaded = await client.chat(MODEL)
    assert (loaded.message.content, loaded.done_reason) == ("", "load")
    assert [each.done async for each in await client.chat(MODEL, stream=True)] == [True]
    assert len(node.heard.of("task.accepted")) == before


async def test_models(client: ollama.AsyncClient) -> None:
    model, *_ = (await client.list()).models
    assert model.model == MODEL
    assert model.modified_at is not None
    assert model.modified_at < datetime.now(UTC)
    assert model.size is not None
    assert model.size > 1_000_000
    assert model.details is not None
    assert (model.details.format, model.details.family) == ("gguf", "llama")
    shown = await client.show(MODEL)
    assert shown.modelinfo is not None
    assert shown.modelinfo["general.architecture"] == "llama"
    assert shown.modelinfo["llama.context_length"] == 4_096, "what the engine has"
    assert shown.capabilities == ["completion", "tools"]
    (running,) = (await client.ps()).models
    assert (running.model, running.digest) == (MODEL, model.digest)
    assert running.context_length == 4_096
    assert running.size is not None
    assert running.size > 0
    assert running.expires_at is not None
    assert running.expires_at.year > 2_300


@pytest.mark.parametrize("name", ["elwift-tiny", "ELWIFT-TINY:LATEST", "a/b:c"])
async def test_names(client: ollama.AsyncClient, name: str) -> None:
    answer = await client.chat(model=name, messages=HI, options=THREE)
    assert answer.model == MODEL


async def test_a_model_that_is_not_there(client: ollama.AsyncClient) -> None:
    calls: list[Any] = [
        client.chat(model="llama3", messages=HI), client.generate("llama3", "hi"),
        client.show("llama3"),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ollama.ResponseError) as caught:
            await call
        assert caught.value.status_code == 404
        assert caught.value.error.startswith("model 'llama3' not found")
        assert "elwift-tiny" in caught.value.error


async def test_apps_find_out_that_somebody_is_there(node: ScriptedNode) -> None:
    async with node.http.head(node.url) as there:
        assert there.status == 200
    async with node.http.get(node.url) as word:
        assert (word.content_type, await word.text()) == ("text/plain", "Ollama is running")
    _, version = await node.call("GET", "/api/version")
    assert version == {"version": VERSION}
    assert [int(part) for part in VERSION.split(".")] >= [0, 6, 4]


async def test_what_cannot_be_done_is_refused_by_its_name(node: ScriptedNode) -> None:
    assert "images" in await refusal(node, messages=[{**HI[0], "images": ["aGk="]}])
    assert "think" in await refusal(node, think="hardly")
    assert "tools" in await refusal(node, tools=[{"type": "function"}])
    assert "temperature" in await refusal(node, options={"temperature": "hot"})
    assert "prompt is too long" in await refusal(node, messages=says("a " * 5_000))
    assert "Invalid schema" in await refusal(node, format={"type": "object", "not": {}})
    for name, value in (("raw", True), ("suffix", "x"), ("template", "x"), ("context", [1])):
        assert name in await refusal(node, "/api/generate", **{name: value})


async def test_what_is_not_offered_says_what_to_do(node: ScriptedNode) -> None:
    for path in ("create", "copy", "push", "blobs/sha256:00"):
        status, answer = await post(node, {"model": "x"}, f"/api/{path}")
        assert (status, "elwift models" in answer["error"]) == (501, True)
    async with node.http.delete(f"{node.url}/api/delete", json={"model": MODEL}) as response:
        assert response.status == 501


@pytest.mark.parametrize("path", ["/api", "/api/x", "/api/chat/x"])
async def test_what_is_not_there(node: ScriptedNode, path: str) -> None:
    async with node.http.get(node.url + path) as response:
        assert response.status == 404
        assert list(await response.json()) == ["error"]


async def test_other_methods_are_refused_in_the_same_shape(node: ScriptedNode) -> None:
    async with node.http.get(node.url + CHAT) as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")
        assert list(await response.json()) == ["error"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff\x00", b'{"messages":1}', b'{"model":[]}', b'"x"', b"null"]
)
@pytest.mark.parametrize("place", ["chat", "generate", "show", "embed"])
async def test_odd_bytes(node: ScriptedNode, body: bytes, place: str) -> None:
    async with posted(node.url, body, path=f"/api/{place}") as raw:
        answer = await raw.answer()
    loads = place == "generate" and body == b'{"messages":1}'
    assert answer.status == (200 if loads else 400)
    assert loads or isinstance(answer.json()["error"], str)


async def test_the_stream_outlives_the_engine(
    client: ollama.AsyncClient, node: ScriptedNode
) -> None:
    stream = await client.chat(model=MODEL, messages=HI, options={"num_predict": 120}, stream=True)
    text, killed = "", False
    async for each in stream:
        text += each.message.content or ""
        if len(text) > 50 and not killed:
            killed = True
            await node.kill_engine()
    assert killed
    assert text == "word " * 120


async def test_a_cancelled_task_ends_its_stream_with_an_error(
    client: ollama.AsyncClient, node: ScriptedNode
) -> None:
    stream = await client.chat(
        model=MODEL, messages=HI, options={"num_predict": 4_000}, stream=True
    )
    await anext(stream)
    accepted = node.heard.of("task.accepted")[-1]
    await node.call("DELETE", f"/tasks/{accepted.fields['task_id']}")
    with pytest.raises(ollama.ResponseError, match="cancelled"):
        [each async for each in stream]


async def test_who_does_not_wait_may_close(node: ScriptedNode) -> None:
    body = {"messages": HI, "options": {"num_predict": 100}}
    async with posted(node.url, body, b"Prefer: respond-async", path=CHAT) as raw:
        _, headers = await head(raw)
    assert (await node.ended(headers["x-task-id"]))["state"] == "completed"


async def test_pages_and_keys(tmp_path_factory: pytest.TempPathFactory) -> None:
    token = "a-secret-of-some-length"
    folder = tmp_path_factory.mktemp("keys")
    settings: dict[str, Any] = {
        "server__tokens": {"ada": token},
        "server__origins": ["https://app.example", "app://obsidian.md"],
    }
    async with scripted_node(folder, **settings) as node:
        async with ollama_library(node.url) as stranger:
            for call in (stranger.chat(MODEL, HI), stranger.list(), stranger.ps()):
                with pytest.raises(ollama.ResponseError) as caught:
                    await call
                assert caught.value.status_code == 401
        key = {"Authorization": f"Bearer {token}"}
        async with ollama_library(node.url, headers=key) as ada:
            assert (await ada.chat(MODEL, HI, options=THREE)).message.content == WORDS
        async with node.http.head(node.url) as there:
            assert there.status == 200
        wish = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type, authorization",
        }
        for origin in settings["server__origins"]:
            page = {"Origin": origin}
            async with node.http.options(node.url + CHAT, headers=wish | page) as asked:
                assert asked.status == 204
                assert asked.headers["Access-Control-Allow-Origin"] == origin
            async with node.http.get(f"{node.url}/api/tags", headers=key | page) as listed:
                assert listed.headers["Access-Control-Allow-Origin"] == origin
        async with node.http.post(
            node.url + CHAT, json={}, headers=key | {"Origin": "https://x.example"}
        ) as foreign:
            assert foreign.status == 403
            assert list(await foreign.json()) == ["error"]


async def test_models_are_listed_without_an_engine(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("engine")
    async with scripted_node(folder) as node, ollama_library(node.url) as client:
        node.script.flags = ("--hangs-loading",)
        await node.kill_engine()
        await node.heard.next("engine.started", 2)
        assert (await client.list()).models[0].model == MODEL
        assert list((await client.ps()).models) == []


async def test_all_scripts_come_whole(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("scripts")
    async with (
        scripted_node(folder, "--unicode") as node,
        ollama_library(node.url) as client,
    ):
        how: Any = {"model": MODEL, "messages": HI, "options": {"num_predict": 24}}
        text = "".join(
            [each.message.content or "" async for each in await client.chat(stream=True, **how)]
        )
        assert text == (await client.chat(**how)).message.content
        assert "\u2028" in text


async def test_what_fails_for_good_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("fails")
    async with (
        scripted_node(folder, tasks__max_attempts=2) as node,
        ollama_library(node.url) as client,
    ):
        with pytest.raises(ollama.ResponseError) as caught:
            await client.chat(model=MODEL, messages=says("die SIGSEGV"), options=THREE)
        assert caught.value.status_code == 500
        stream = await client.chat(
            model=MODEL, messages=says("die SIGSEGV 3"), options={"num_predict": 5}, stream=True
        )
        with pytest.raises(ollama.ResponseError):
            [each async for each in stream]
        async with aiohttp.ClientSession() as http:
            body = {"messages": says("die SIGSEGV"), "stream": False}
            async with http.post(node.url + CHAT, json=body) as response:
                assert isinstance((await response.json())["error"], str)


async def test_a_model_is_pulled_while_the_client_watches(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("pulls")
    monkeypatch.setenv("HOME", str(folder))
    for name in ("HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "XDG_CACHE_HOME", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    with running(Hub()) as hub:
        hub.files["it-Q4_0.gguf"] = write_random_gguf(folder / "it.gguf").read_bytes()
        async with (
            scripted_node(folder / "data", model__hub_url=hub.url) as node,
            ollama_library(node.url) as client,
        ):
            said = [each async for each in await client.pull("owner/model-GGUF", stream=True)]
            assert (said[0].status, said[-1].status) == ("pulling manifest", "success")
            assert (folder / "data" / "models" / "it-Q4_0.gguf").exists()
            assert (await client.pull(MODEL)).status == "success", "it is there"
            with pytest.raises(ollama.ResponseError, match="already"):
                await client.pull("owner/model-GGUF")
            with pytest.raises(ollama.ResponseError, match="from an address") as caught:
                await client.pull("https://example.com/a.gguf")
            assert caught.value.status_code == 400


async def test_after_a_kill_of_the_node_the_answer_is_there(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("killed")
    killed = await start_scripted_node(folder, "--rate", "100")
    try:
        body = {"messages": HI, "options": {"num_predict": 100}}
        async with posted(killed.url, body, path=CHAT) as raw:
            _, headers = await head(raw)
            await chunk(raw)
            await killed.kill(signal.SIGKILL)
        task_id = headers["x-task-id"]
        killed = await start_scripted_node(folder, "--rate", "1000")
        async with aiohttp.ClientSession() as http, joined(http, killed.url, task_id) as channel:
            assert channel.closed or await channel.until("completed", "failed") == "completed"
            assert channel.text == "word " * 100
    finally:
        await killed.kill()
