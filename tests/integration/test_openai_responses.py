"""``/v1/responses`` and ``/v1/completions`` with OpenAI's own library, on a scripted engine. The
numbers are those of the checks that an OpenAI surface has to pass."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.support.node_inside import ScriptedNode
from tests.support.openai_calls import events, head, posted, says, whole_body

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "elwift-tiny"


async def test_39_a_response(client: openai.AsyncOpenAI, node: ScriptedNode) -> None:
    answer = await client.responses.create(
        model=MODEL, input="hi", instructions="be brief", max_output_tokens=3,
        metadata={"a": "b"}, store=False, tools=[{"type": "web_search"}],
    )  # fmt: skip
    assert (answer.output_text, answer.status) == ("word word word ", "incomplete")
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert answer.usage is not None
    assert answer.usage.output_tokens == 3
    assert answer.usage.total_tokens == answer.usage.input_tokens + 3
    assert (answer.instructions, answer.metadata) == ("be brief", {"a": "b"})
    task = await node.task(answer.id.removeprefix("resp_"))
    assert task["messages"] == [{"role": "system", "content": "be brief"}, *says("hi")]
    again = await client.responses.retrieve(answer.id)
    assert (again.output, again.usage, again.status) == (
        answer.output, answer.usage, answer.status,
    )  # fmt: skip


async def test_39_a_streamed_response(client: openai.AsyncOpenAI) -> None:
    said: list[Any] = []
    async with client.responses.stream(model=MODEL, input="hi", max_output_tokens=3) as stream:
        said = [each async for each in stream]
    kinds = [each.type for each in said]
    assert kinds[:4] == [
        "response.created", "response.in_progress", "response.output_item.added",
        "response.content_part.added",
    ]  # fmt: skip
    assert kinds[-4:] == [
        "response.output_text.done", "response.content_part.done", "response.output_item.done",
        "response.incomplete",
    ]  # fmt: skip
    assert [each.sequence_number for each in said] == list(range(len(said)))
    assert said[-1].response.output_text == "word word word "
    assert said[-2].item.content[0].text == "word word word "
    assert "".join(each.delta for each in said if each.type.endswith("text.delta")) == (
        "word word word "
    )


async def test_39_all_that_was_said(client: openai.AsyncOpenAI, node: ScriptedNode) -> None:
    said: Any = [
        {"role": "developer", "content": "a"},
        {"role": "user", "content": [{"type": "input_text", "text": "b"}]},
        {"type": "reasoning", "summary": []},
        {
            "type": "message", "role": "assistant",
            "content": [{"type": "output_text", "text": "c", "annotations": []}],
        },
        {"role": "user", "content": "d"},
    ]  # fmt: skip
    answer = await client.responses.create(model=MODEL, input=said, max_output_tokens=1)
    task = await node.task(answer.id.removeprefix("resp_"))
    assert [(each["role"], each["content"]) for each in task["messages"]] == [
        ("system", "a"), ("user", "b"), ("assistant", "c"), ("user", "d"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("previous_response_id", {"previous_response_id": "resp_1"}),
        ("conversation", {"conversation": "conv_1"}),
        ("input", {"input": []}),
        ("input", {"input": " "}),
        ("input[0].type", {"input": [{"type": "item_reference", "id": "x"}]}),
        (
            "input[0].content[0]",
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
        ),
        ("text", {"text": "json"}),
        ("response_format.type", {"text": {"format": {"type": "xml"}}}),
        ("tools", {"tools": {}}),
        ("tool_choice", {"tool_choice": "required"}),
        ("background", {"background": 1}),
    ],
)
async def test_39_what_is_refused(node: ScriptedNode, param: str, fields: dict[str, Any]) -> None:
    url = f"{node.url}/v1/responses"
    async with node.http.post(url, json={"input": "hi"} | fields) as response:
        assert response.status == 400
        assert (await response.json())["error"]["param"] == param
    assert node.heard.of("task.accepted") == []


async def test_39_a_form_is_held_to_and_repeated(client: openai.AsyncOpenAI) -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    form: Any = {"type": "json_schema", "name": "n", "schema": schema, "strict": True}
    answer = await client.responses.create(
        model=MODEL, input="hi", max_output_tokens=1, text={"format": form}, background=True
    )
    told: Any = answer.text
    assert (told.format.type, told.format.name) == ("json_schema", "n")


async def test_a_response_in_the_background(client: openai.AsyncOpenAI, node: ScriptedNode) -> None:
    answer = await client.responses.create(
        model=MODEL, input="hi", max_output_tokens=50, background=True
    )
    assert answer.status in ("queued", "in_progress")
    assert answer.output == []
    await node.ended(answer.id.removeprefix("resp_"))
    again = await client.responses.retrieve(answer.id)
    assert again.output_text == "word " * 50


async def test_a_response_can_be_cancelled(client: openai.AsyncOpenAI) -> None:
    answer = await client.responses.create(
        model=MODEL, input="hi", max_output_tokens=4_000, background=True
    )
    assert (await client.responses.cancel(answer.id)).status == "cancelled"
    assert (await client.responses.cancel(answer.id)).status == "cancelled"
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve("resp_1")


async def test_a_response_that_fails_says_so(client: openai.AsyncOpenAI) -> None:
    stream = await client.responses.create(
        model=MODEL, input="die SIGSEGV 2", max_output_tokens=5, stream=True
    )
    last: Any = [each async for each in stream][-1]
    assert (last.type, last.response.error.code) == ("response.failed", "engine_died")
    again = await client.responses.retrieve(last.response.id)
    assert again.status == "failed"
    assert again.error is not None


async def test_38_completions(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(model=MODEL, prompt="hi", max_tokens=3)
    assert answer.choices[0].text == "word word word "
    assert (answer.object, answer.choices[0].finish_reason) == ("text_completion", "length")
    several = await client.completions.create(model=MODEL, prompt=["a", "b"], n=2, max_tokens=1)
    assert [each.index for each in several.choices] == [0, 1, 2, 3]
    stream = await client.completions.create(model=MODEL, prompt="hi", max_tokens=3, stream=True)
    assert "".join([each.choices[0].text async for each in stream]) == "word word word "
    with pytest.raises(openai.BadRequestError) as caught:
        await client.completions.create(model=MODEL, prompt="hi", echo=True)
    assert caught.value.param == "echo"


async def test_5_a_raw_completion(node: ScriptedNode) -> None:
    body = {"prompt": "hi", "max_tokens": 2, "stream": True}
    async with posted(node.url, body, path="/completions") as client:
        assert (await head(client))[0] == 200
        said = events(await whole_body(client))
    assert said[-1]["choices"][0]["finish_reason"] == "length"
