"""Chats of OpenAI's own library with a node whose engine is a script. The numbers are those of the
checks that an OpenAI surface has to pass."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from tests.support.node import joined
from tests.support.node_inside import ScriptedNode, scripted_node
from tests.support.openai_calls import HI, chunk, events, head, library, posted, says, whole_body
from tests.support.raw import exchange
from tests.support.scripted_node import start_scripted_node

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "elwift-tiny"


async def post(node: ScriptedNode, body: Any, **headers: str) -> tuple[int, Any, Any]:
    url = f"{node.url}/v1/chat/completions"
    async with node.http.post(url, json=body, headers=headers) as response:
        return response.status, await response.json(content_type=None), response.headers


async def refusal(node: ScriptedNode, **fields: Any) -> dict[str, Any]:
    """The error of a chat that is refused with 400, once it is sure that there is no task of it."""
    status, answer, headers = await post(node, {"messages": HI} | fields)
    assert status == 400, answer
    assert "X-Task-Id" not in headers
    assert node.heard.of("task.accepted") == []
    error: dict[str, Any] = answer["error"]
    return error


async def test_1_a_chat(client: openai.AsyncOpenAI, node: ScriptedNode) -> None:
    answer = await client.chat.completions.create(model=MODEL, messages=HI, max_tokens=3)
    assert (answer.object, answer.model) == ("chat.completion", MODEL)
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "word word word ")
    assert (choice.finish_reason, choice.message.refusal) == ("length", None)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 3
    assert str(answer._request_id).startswith("req_")
    task = await node.task(answer.id.removeprefix("chatcmpl-"))
    assert (task["state"], task["model"], task["messages"]) == ("completed", MODEL, HI)


async def test_1_the_answer_can_be_had_again(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="", messages=HI, max_tokens=3, n=2)
    again = await client.chat.completions.retrieve(answer.id)
    assert again.choices == answer.choices
    assert again.usage == answer.usage
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.retrieve("chatcmpl-1")


@pytest.mark.parametrize("usage", [True, False])
async def test_2_a_stream(client: openai.AsyncOpenAI, usage: bool) -> None:
    options: Any = {"include_usage": True} if usage else {}
    stream = await client.chat.completions.create(
        model=MODEL, messages=HI, max_tokens=5, stream=True, stream_options=options
    )
    chunks = [each async for each in stream]
    assert len({(each.id, each.created, each.model) for each in chunks}) == 1
    if usage:
        *chunks, last = chunks
        assert (last.choices, last.usage and last.usage.completion_tokens) == ([], 5)
    assert all(each.usage is None for each in chunks)
    first, *_, end = (each.choices[0] for each in chunks)
    assert (first.delta.role, first.delta.content) == ("assistant", "")
    assert (end.finish_reason, end.delta.content) == ("length", None)
    assert "".join(each.choices[0].delta.content or "" for each in chunks) == "word " * 5


async def test_3_a_stream_that_is_broken_off_is_cancelled(node: ScriptedNode) -> None:
    body = {"messages": HI, "max_tokens": 4_000, "stream": True}
    async with posted(node.url, body) as client:
        _, headers = await head(client)
        assert await chunk(client)
    ended = await node.ended(headers["x-task-id"])
    assert ended["state"] == "cancelled"


async def test_3_so_is_an_answer_that_nobody_waits_for(node: ScriptedNode) -> None:
    async with posted(node.url, {"messages": HI, "max_tokens": 4_000}):
        accepted = await node.heard.next("task.accepted")
    assert (await node.ended(str(accepted.fields["task_id"])))["state"] == "cancelled"


async def test_4_two_choices(client: openai.AsyncOpenAI) -> None:
    async with client.chat.completions.stream(model=MODEL, messages=HI, n=2) as stream:
        roles = [0, 0]
        async for event in stream:
            if event.type == "chunk":
                for choice in event.chunk.choices:
                    roles[choice.index] += choice.delta.role is not None
                if event.chunk.choices[0].delta.content:
                    break
    assert roles == [1, 1]
    chunks = await client.chat.completions.create(
        model=MODEL, messages=HI, n=2, max_tokens=3, stream=True
    )
    texts = ["", ""]
    async for each in chunks:
        for part in each.choices:
            texts[part.index] += part.delta.content or ""
    assert texts == ["word word word "] * 2


async def test_5_a_raw_stream(node: ScriptedNode) -> None:
    body = {"messages": HI, "max_tokens": 3, "stream": True}
    async with posted(node.url, body, b"Connection: close") as client:
        status, headers = await head(client)
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        assert headers["x-accel-buffering"] == "no"
        said = events(await whole_body(client))
        assert await client.rest() == b""
    assert all("error" not in each for each in said)


async def test_7_all_scripts_come_whole(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, "--unicode") as node, library(node.url) as client:
        stream = await client.chat.completions.create(
            model="", messages=HI, max_tokens=24, stream=True
        )
        text = "".join([each.choices[0].delta.content or "" async for each in stream])
        answer = await client.chat.completions.create(model="", messages=HI, max_tokens=24)
        assert text == answer.choices[0].message.content
        assert "\u2028" in text
        body = {"messages": HI, "max_tokens": 24, "stream": True}
        async with posted(node.url, body) as raw:
            await head(raw)
            data = await whole_body(raw)
        assert b"\\u2028" in data
        assert "\u2028".encode() not in data


async def test_9_limits(client: openai.AsyncOpenAI) -> None:
    limits: list[Any] = [
        {"max_tokens": 4}, {"max_completion_tokens": 4},
        {"max_tokens": 9, "max_completion_tokens": 4},
    ]  # fmt: skip
    for limit in limits:
        answer = await client.chat.completions.create(model="", messages=HI, **limit)
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 4


@pytest.mark.parametrize("stream", [True, False])
async def test_10_a_prompt_that_is_too_long(node: ScriptedNode, stream: bool) -> None:
    error = await refusal(node, messages=says("a " * 5_000), stream=stream)
    assert error["code"] == "context_length_exceeded"
    assert "prompt is too long" in error["message"]
    assert error["param"] == "messages"


async def test_12_choices(client: openai.AsyncOpenAI, node: ScriptedNode) -> None:
    answer = await client.chat.completions.create(model="", messages=HI, n=3, max_tokens=2)
    assert [each.index for each in answer.choices] == [0, 1, 2]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 6
    assert len(node.heard.of("task.accepted")) == 3


async def test_12_too_many_choices(node: ScriptedNode) -> None:
    for wrong in (0, 99, -1):
        assert (await refusal(node, n=wrong))["param"] == "n"


async def test_13_what_nobody_knows_is_passed_over(node: ScriptedNode) -> None:
    body = {"messages": HI, "max_tokens": 1, "store": True, "x_new": [[[]]], "temperature": None}
    status, _, headers = await post(node, body)
    assert status == 200
    assert headers["X-Task-Id"]


async def test_14_developer_and_system(node: ScriptedNode) -> None:
    messages = [{"role": "developer", "content": "a"}, {"role": "system", "content": "b"}, *HI]
    _, _, headers = await post(node, {"messages": messages, "max_tokens": 1})
    task = await node.task(headers["X-Task-Id"])
    assert task["messages"] == [{"role": "system", "content": "a\n\nb"}, *HI]


async def test_15_parts(node: ScriptedNode) -> None:
    image = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    error = await refusal(node, messages=[*HI, {"role": "user", "content": image}])
    assert error["param"] == "messages[1].content[1]"
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    status, _, headers = await post(
        node, {"messages": [{"role": "user", "content": parts}], "max_tokens": 1}
    )
    assert status == 200
    task = await node.task(headers["X-Task-Id"])
    assert task["messages"][0]["content"] == "a\nb"


async def test_26_schemas_that_cannot_be(node: ScriptedNode) -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(300):
        deep = {"type": "object", "properties": {"a": deep}, "required": ["a"]}
    loop = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}
    for schema in (deep, loop):
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        error = await refusal(node, response_format=form)
        assert error["message"].startswith("Invalid schema for response_format"), error


async def test_28_nonsense(node: ScriptedNode) -> None:
    assert (await refusal(node, n=-1))["param"] == "n"
    assert (await refusal(node, stop=["a"] * 10_000))["param"] == "stop"
    for body in (b"{", b"[]", b"\xff\x00"):
        async with posted(node.url, body) as client:
            answer = await client.answer()
        assert answer.status == 400
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


async def test_29_a_full_node_is_tried_again(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, tasks__queue_per_client_max=1) as node:
        first = await node.submit("hi", max_tokens=100)
        async with library(node.url, max_retries=5) as client:
            answer = await client.chat.completions.create(model="", messages=HI, max_tokens=1)
        assert answer.choices[0].message.content == "word "
        assert (await node.task(first))["state"] == "completed"


async def test_30_the_stream_outlives_the_engine(node: ScriptedNode) -> None:
    async with library(node.url) as client:
        stream = await client.chat.completions.create(
            model="", messages=HI, max_tokens=120, stream=True
        )
        text, killed = "", False
        async for each in stream:
            text += each.choices[0].delta.content or ""
            if len(text) > 50 and not killed:
                killed = True
                await node.kill_engine()
    assert killed
    assert text == "word " * 120


async def test_31_what_fails_for_good_is_not_repeated(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, tasks__max_attempts=2) as node:
        async with library(node.url, max_retries=3) as client:
            with pytest.raises(openai.InternalServerError) as caught:
                await client.chat.completions.create(
                    model="", messages=says("die SIGSEGV"), max_tokens=5
                )
        assert caught.value.code is not None
        assert len(node.heard.of("task.accepted")) == 1


async def test_30_a_failure_in_the_stream_is_said(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, tasks__max_attempts=2) as node, library(node.url) as client:
        stream = await client.chat.completions.create(
            model="", messages=says("die SIGSEGV 3"), max_tokens=5, stream=True
        )
        with pytest.raises(openai.APIError) as caught:
            [each async for each in stream]
        assert caught.value.code


async def test_32_who_does_not_wait_may_close(node: ScriptedNode) -> None:
    body = {"messages": HI, "max_tokens": 100, "stream": True}
    async with posted(node.url, body, b"Prefer: respond-async, wait=5") as client:
        _, headers = await head(client)
    task_id = headers["x-task-id"]
    async with node.watch(task_id) as channel:
        assert channel.closed or await channel.until("completed", "cancelled") == "completed"
    async with library(node.url) as again:
        answer = await again.chat.completions.retrieve(f"chatcmpl-{task_id}")
    assert answer.choices[0].message.content == "word " * 100


async def test_33_a_repetition_joins_what_was_lost(node: ScriptedNode) -> None:
    body = {"messages": HI, "max_tokens": 300}
    async with posted(node.url, body, b"x-stainless-retry-count: 0"):
        accepted = await node.heard.next("task.accepted")
    task_id = accepted.fields["task_id"]
    again = b"x-stainless-retry-count: 1"
    async with posted(node.url, body, again) as client:
        answer = await client.answer()
    assert answer.headers["x-task-id"] == task_id
    assert answer.json()["choices"][0]["message"]["content"] == "word " * 300
    async with posted(node.url, body | {"max_tokens": 1}, again) as client:
        assert (await client.answer()).headers["x-task-id"] != task_id


async def test_34_keys(tmp_path: Path) -> None:
    token = "a-secret-of-some-length"
    async with scripted_node(tmp_path, server__tokens={"ada": token}) as node:
        async with library(node.url, api_key="wrong") as client:
            with pytest.raises(openai.AuthenticationError) as caught:
                await client.chat.completions.create(model="", messages=HI)
            assert caught.value.code == "invalid_api_key"
        body = {"messages": HI, "max_tokens": 1}
        given = ({"x-api-key": token}, {"api-key": token}, {"Authorization": f"Bearer {token}"})
        for headers in given:
            assert (await post(node, body, **headers))[0] == 200


async def test_34_an_open_node_takes_any_key(node: ScriptedNode) -> None:
    body = {"messages": HI, "max_tokens": 1}
    assert (await post(node, body, Authorization="Bearer undefined"))[0] == 200


async def test_35_pages_ask_before(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, server__origins=["https://app.example"]) as node:
        url = f"{node.url}/v1/chat/completions"
        asked = "x-stainless-os, openai-beta, authorization"
        wish = {
            "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": asked,
            "Access-Control-Request-Private-Network": "true",
        }  # fmt: skip
        async with node.http.options(url, headers=wish | {"Origin": "https://app.example"}) as ok:
            assert ok.status == 204
            allowed = ok.headers["Access-Control-Allow-Headers"].lower()
            assert all(each in allowed for each in ("x-stainless-os", "openai-beta"))
            assert ok.headers["Access-Control-Allow-Private-Network"] == "true"
            assert "x-request-id" in ok.headers["Access-Control-Expose-Headers"]
        async with node.http.options(url, headers=wish | {"Origin": "https://x.example"}) as no:
            assert no.status == 403
            assert "Access-Control-Allow-Origin" not in no.headers
            assert set(await no.json()) == {"error"}


async def test_36_models(tmp_path: Path) -> None:
    async with (
        scripted_node(tmp_path, model__aliases=["a/b:c"]) as node,
        library(node.url) as client,
    ):
        for name in ("", MODEL.upper(), f"{MODEL}:latest", "a/b:c"):
            answer = await client.chat.completions.create(model=name, messages=HI, max_tokens=1)
            assert answer.model == MODEL
        assert (await client.models.retrieve("a/b:c")).id == MODEL
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model="gpt-5", messages=HI)
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
        assert MODEL in caught.value.message


async def test_41_models_are_listed_without_an_engine(tmp_path: Path) -> None:
    async with scripted_node(tmp_path) as node, library(node.url) as client:
        node.script.flags = ("--hangs-loading",)
        await node.kill_engine()
        model, *_ = (await client.models.list()).data
    assert (model.id, model.object) == (MODEL, "model")


@pytest.mark.parametrize("path", ["/v1/x", "/v1", "/v1/models/nobody", "/models/nobody"])
async def test_41_what_is_not_there(node: ScriptedNode, path: str) -> None:
    async with node.http.get(node.url + path) as response:
        assert response.status == 404
        assert response.headers["x-request-id"]
        assert set((await response.json())["error"]) == {"message", "type", "param", "code"}


async def test_37_a_model_that_makes_no_embeddings_says_so(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.embeddings.create(model=MODEL, input="hi")
    assert caught.value.param == "model"


async def test_other_methods_are_refused_in_the_same_shape(node: ScriptedNode) -> None:
    async with node.http.get(f"{node.url}/v1/chat/completions") as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")
        assert (await response.json())["error"]["code"] == "method_not_allowed"


async def test_a_cancelled_task_ends_its_stream_with_an_error(node: ScriptedNode) -> None:
    async with library(node.url) as client:
        stream = await client.chat.completions.create(
            model="", messages=HI, max_tokens=4_000, stream=True
        )
        first = await anext(stream)
        await node.call("DELETE", f"/tasks/{first.id.removeprefix('chatcmpl-')}")
        with pytest.raises(openai.APIError) as caught:
            [each async for each in stream]
        assert caught.value.code == "cancelled"


async def test_a_repeated_key_is_the_same_task(node: ScriptedNode) -> None:
    body = {"messages": HI, "max_tokens": 2, "n": 2}
    first = await post(node, body, **{"Idempotency-Key": "k"})
    second = await post(node, body, **{"Idempotency-Key": "k"})
    assert first[2]["X-Task-Id"] == second[2]["X-Task-Id"]
    assert first[1]["choices"] == second[1]["choices"]
    other = await post(node, body | {"n": 1}, **{"Idempotency-Key": "k"})
    assert other[0] == 400


async def test_after_a_kill_of_the_node_the_answer_is_there(tmp_path: Path) -> None:
    node = await start_scripted_node(tmp_path, "--rate", "100")
    try:
        body = {"messages": HI, "max_tokens": 100, "stream": True}
        async with posted(node.url, body) as client:
            _, headers = await head(client)
            await chunk(client)
            await chunk(client)
            await node.kill(signal.SIGKILL)
        task_id = headers["x-task-id"]
        node = await start_scripted_node(tmp_path, "--rate", "1000")
        async with library(node.url) as again:
            answer = await again.chat.completions.retrieve(f"chatcmpl-{task_id}")
        assert answer.choices[0].message.content == "word " * 100
        async with aiohttp.ClientSession() as http, joined(http, node.url, task_id) as channel:
            assert channel.text == "word " * 100
    finally:
        await node.kill()


async def test_a_stop_of_the_node_ends_streams_and_no_tasks(tmp_path: Path) -> None:
    settings = {"server.drain_ms": "0"}
    node = await start_scripted_node(tmp_path, "--rate", "100", settings=settings)
    try:
        body = {"messages": HI, "max_tokens": 200, "stream": True}
        async with posted(node.url, body) as client:
            _, headers = await head(client)
            await chunk(client)
            await chunk(client)
            node.process.send_signal(signal.SIGTERM)
            assert b'"code":"overloaded"' in await whole_body(client)
        await node.process.wait()
        node = await start_scripted_node(tmp_path, "--rate", "1000")
        path = f"/v1/chat/completions/chatcmpl-{headers['x-task-id']}"
        answer = await exchange(node.url, f"GET {path} HTTP/1.1", "Host: localhost")
        assert answer.json()["choices"][0]["message"]["content"] == "word " * 200
    finally:
        await node.kill()
