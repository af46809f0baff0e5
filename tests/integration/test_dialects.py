"""Each dialect by a real llama.cpp: calls of random weights are read as what they are, though their
marks are control tokens, and a model may think first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validate

from edge.answers.deltas import Answer
from edge.answers.dialects import DIALECTS, HARMONY, recognised
from edge.answers.reader import read
from edge.conversation import AUTO, REQUIRED, Message, named
from edge.engine.messages import Generate, Ready, Sampling
from tests.support.node import serving
from tests.support.openai_calls import library, says
from tests.support.random_gguf import write_random_gguf
from tests.support.worker import Worker

SCHEMA: Any = {
    "type": "object",
    "properties": {"city": {"enum": ["Rome", "Oslo"]}, "days": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = json.dumps(
    [
        {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}},
        {"type": "function", "function": {"name": "home"}},
    ]
)
HOT = Sampling(max_tokens=300, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0)
SAID = (Message("user", "hi"),)
TURNS = (
    "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<|im_start|>"
    "{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
MARKED = {
    "hermes": "<tool_call></tool_call>",
    "llama": '<|start_header_id|><|python_tag|> "parameters"',
    "mistral": "[TOOL_CALLS]",
    "mistral-named": "[TOOL_CALLS][ARGS]",
    "deepseek": "<\uff5ctool▁call▁begin\uff5c>",
    "deepseek-fenced": "<\uff5ctool▁call▁begin\uff5c>```json",
    "harmony": "<|start|><|channel|>",
}
"""What a template of each has in it."""


def controls_of(template: str) -> list[str]:
    """Its marks that may be control tokens."""
    marks = dict.fromkeys(recognised(template).marks)
    return [mark for mark in marks if mark.strip("}` ") and mark.count("<") < 2]


@contextmanager
def speaking(folder: Path, marked: str, further: str = "") -> Iterator[tuple[Worker, Ready]]:
    """A worker whose model's template has this in a comment, and all marks of that dialect as
    control tokens."""
    template = f"{{# {marked} #}}{TURNS}{further}"
    path = folder / "nano.gguf"
    write_random_gguf(path, chat_template=template, controls=controls_of(template))
    worker = Worker(path)
    ready = worker.next()
    assert isinstance(ready, Ready)
    try:
        yield worker, ready
    finally:
        worker.close()


def answer(worker: Worker, key: int, **given: Any) -> tuple[Answer, str]:
    """What it says, and why it ended."""
    sampling = replace(given.pop("sampling", HOT), seed=key)
    worker.send(Generate(key, None, SAID, sampling, tools=TOOLS, **given))
    reason = worker.until_finished(key)[key].reason
    return read(worker.admitted(key).dialect, worker.text(key)), reason


def check_calls(said: Answer) -> None:
    assert said.calls_whole
    for call in said.calls("t"):
        arguments = json.loads(call.arguments)
        if call.name == "home":
            assert call.arguments == "{}"
        else:
            assert call.name == "weather"
            validate(arguments, SCHEMA)


@pytest.mark.parametrize("name", DIALECTS)
def test_calls_that_have_to_be(tmp_path: Path, name: str) -> None:
    with speaking(tmp_path, MARKED[name]) as (worker, ready):
        assert (ready.dialect, ready.native_tools) == (name, True)
        assert ready.thinks is (DIALECTS[name] is HARMONY)
        for key in range(4):
            said, reason = answer(
                worker, key, tool_choice=REQUIRED, parallel_tool_calls=bool(key % 2)
            )
            if reason == "stop":
                check_calls(said)
            assert said.content == ""
            if not key % 2:
                assert len(said.calls("t")) == 1
        said, _ = answer(worker, 9, tool_choice=named("home"), parallel_tool_calls=False)
        (call,) = said.calls("t")
        assert (call.name, call.arguments) == ("home", "{}")


def mark_bias(ready: Ready, controls: list[str], text: str) -> tuple[tuple[int, float], ...]:
    """Has the model say this control token wherever it may."""
    first = ready.vocab - 3 - len(controls)  # behind them are the three of ChatML
    return ((first + controls.index(text), 100.0),)


def test_a_call_that_may_be_begins_at_a_mark_that_is_a_control_token(tmp_path: Path) -> None:
    with speaking(tmp_path, MARKED["mistral-named"]) as (worker, ready):
        controls = controls_of(f"tools {MARKED['mistral-named']}")
        sampling = replace(HOT, logit_bias=mark_bias(ready, controls, "[TOOL_CALLS]"))
        said, reason = answer(
            worker, 1, sampling=sampling, tool_choice=AUTO, parallel_tool_calls=False
        )
        assert (reason, said.content) == ("stop", "")
        check_calls(said)
        assert worker.text(1).startswith("[TOOL_CALLS]")
        said, _ = answer(worker, 2, tool_choice=AUTO, sampling=replace(HOT, max_tokens=20))
        assert worker.text(2) == said.content or said.has_calls


def test_a_model_thinks_before_it_has_to_call(tmp_path: Path) -> None:
    marked = f"{MARKED['hermes']}</think>"
    with speaking(tmp_path, marked, "<think>\n") as (worker, ready):
        assert ready.thinks
        controls = controls_of(f"tools {marked}")
        sampling = replace(HOT, logit_bias=mark_bias(ready, controls, "</think>"))
        said, reason = answer(
            worker, 1, sampling=sampling, tool_choice=REQUIRED, parallel_tool_calls=False
        )
        assert worker.admitted(1).dialect == "hermes calls </think> within"
        assert reason == "stop"
        check_calls(said)
        said, _ = answer(worker, 2, tool_choice=REQUIRED, sampling=replace(HOT, max_tokens=20))
        assert said.reasoning
        assert not said.content


async def test_27_what_a_model_thinks_is_apart_from_what_it_says(tmp_path: Path) -> None:
    template = f"{{# {MARKED['hermes']}</think> #}}{TURNS}<think>\n"
    path = write_random_gguf(tmp_path / "nano.gguf", chat_template=template)
    ask: Any = {"model": "", "messages": says("hi"), "max_tokens": 12, "seed": 1}
    async with serving(tmp_path, "--model", str(path)) as node, library(node.url) as client:
        whole = await client.chat.completions.create(**ask)
        (choice,) = whole.choices
        thought = choice.message.model_extra and choice.message.model_extra["reasoning_content"]
        assert thought
        assert (choice.message.content, choice.finish_reason) == ("", "length")
        details: Any = whole.usage and whole.usage.completion_tokens_details
        assert details.reasoning_tokens == 12
        told = ""
        async for chunk in await client.chat.completions.create(stream=True, **ask):
            delta = chunk.choices[0].delta
            assert not delta.content
            told += (delta.model_extra or {}).get("reasoning_content", "")
        assert told == thought
        answer = await client.responses.create(model="", input="hi", max_output_tokens=5)
        assert [item.type for item in answer.output] == ["reasoning"]
        text = await client.completions.create(model="", prompt="hi", max_tokens=5)
        assert text.choices[0].text == ""
