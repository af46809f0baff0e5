"""Answers of a given form by a real llama.cpp: each is valid, whoever or whatever ends it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

from edge.engine.messages import Generate, Sampling
from edge.inference.shipped import embedded
from edge.services.task import answer_form
from edge.structured import formats, gbnf
from edge.structured.closing import closing
from tests.support.node import joined, serving, start_node
from tests.support.node_inside import heard_text, scripted_node
from tests.support.schemas import SCHEMAS, items, of
from tests.support.worker import Worker

SEEDS = 4
HOT = Sampling(max_tokens=400, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0)
PERSON = of({"name": {"type": "string", "minLength": 200}, "tags": items({"type": "string"})})


def form(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}


def valid(schema: Any, text: str) -> bool:
    kind = validator_for(schema, default=Draft202012Validator)
    kind(schema, format_checker=kind.FORMAT_CHECKER).validate(json.loads(text))
    return True


def ask(worker: Worker, grammar: str, seeds: range) -> dict[int, str]:
    """Why each text ended, by their seeds."""
    for seed in seeds:
        worker.send(Generate(seed, "say", None, replace(HOT, seed=seed, grammar=grammar)))
    ended = worker.until_finished(*seeds)
    return {seed: ended[seed].reason for seed in seeds}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_model_of_random_weights_gives_valid_answers(worker: Worker, name: str) -> None:
    stored = formats.read(form(SCHEMAS[name]), "response_format")
    grammar = stored.grammar()
    assert grammar is not None
    reasons = ask(worker, grammar, range(SEEDS))
    for seed, reason in reasons.items():
        text = worker.text(seed)
        ending = answer_form.ending(stored.text, text)
        assert (ending == "") or reason == "length"
        assert valid(SCHEMAS[name], text + ending)


def test_llama_cpp_knows_a_grammar_of_what_may_follow(worker: Worker) -> None:
    for begun in (
        "",
        "{",
        '{"name": "A',
        '{"name":"' + "A" * 150,
        '{"name":"' + "A" * 250 + '", "t',
    ):
        stored = formats.read(form(PERSON), "response_format")
        grammar = answer_form.grammar(stored.text, begun)
        assert grammar is not None
        worker.steps.clear()
        ask(worker, grammar, range(2))
        for seed in range(2):
            text = begun + worker.text(seed)
            assert valid(PERSON, text + answer_form.ending(stored.text, text))


def test_where_nothing_may_follow_nothing_is_said(worker: Worker) -> None:
    grammar = answer_form.grammar('{"type":"choice","choices":["red","blue"]}', "red")
    assert grammar is not None
    assert ask(worker, grammar, range(1)) == {0: "stop"}
    assert worker.text(0) == ""


def test_what_python_reads_as_a_grammar_llama_cpp_does_too(worker: Worker) -> None:
    for text, chars in (
        ('root ::= ("a" | [b-c\\x64] # of these\n | x){3} "\\"" \nx ::= "\\u00e9" | "e"', 4),
        ('root ::= ("ab"{2}){2}', 8),
        ("root ::= [a-]{2,2}", 2),
    ):
        worker.steps.clear()
        assert ask(worker, text, range(1)) == {0: "stop"}
        assert len(worker.text(0)) == chars
        assert closing(gbnf.read(text), worker.text(0)) == ""


async def submit(http: aiohttp.ClientSession, url: str, **body: Any) -> str:
    async with http.post(f"{url}/tasks", json={"prompt": "say", **body}) as response:
        answer = await response.json(content_type=None)
        assert response.status == 202, answer
        return str(answer["task_id"])


async def test_max_tokens_cuts_no_answer_short(tmp_path: Path) -> None:
    async with serving(tmp_path) as node, aiohttp.ClientSession() as http:
        for most in (1, 3, 9, 20):
            body = {"response_format": form(PERSON), "max_tokens": most, "temperature": 1}
            task_id = await submit(http, node.url, **body)
            async with joined(http, node.url, task_id) as channel:
                await channel.until("completed")
            result = channel.last["result"]
            assert result["finish_reason"] == "length"
            assert result["usage"]["completion_tokens"] == most
            assert result["text"] == channel.text
            assert valid(PERSON, channel.text)
            async with http.get(f"{node.url}/tasks/{task_id}") as response:
                document = await response.json(content_type=None)
            assert document["options"]["response_format"] == form(PERSON)


async def test_a_killed_node_goes_on_by_the_grammar(tmp_path: Path) -> None:
    node = await start_node(tmp_path)
    async with aiohttp.ClientSession() as http:
        body = {"response_format": form(PERSON), "max_tokens": 300, "temperature": 1}
        task_id = await submit(http, node.url, **body)
        async with joined(http, node.url, task_id) as channel:
            while len(channel.text) < 40:
                assert await channel.hear()
        await node.kill()
        async with serving(tmp_path) as again, joined(http, again.url, task_id) as channel:
            if channel.reply["task"]["result"] is None:
                await channel.until("completed")
            assert valid(PERSON, channel.text)


async def test_another_model_goes_on_by_the_same_grammar(tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(embedded()[0].path.read_bytes())
    grammar = 'root ::= "word "* "end" [a-z]{3}'
    out: dict[str, Any] = {"model__deaths_max": 0, "model__restart_base_ms": 1}
    async with scripted_node(tmp_path, **out, model__name=str(own)) as node:
        how = {"type": "grammar", "grammar": grammar}
        task_id = await node.submit("a story", max_tokens=200, response_format=how)
        async with node.watch(task_id) as channel:
            await heard_text(channel, 10)
            node.script.flags = ("--dies-loading", "3")
            await node.kill_engine()
            await channel.until("completed")
        task = await node.task(task_id)
        assert task["result"]["source"] == "fallback_model"
        assert re.fullmatch("(word ){2,}end[a-z]{3}", task["result"]["text"])


async def test_what_cannot_be_held_to_is_not_accepted(tmp_path: Path) -> None:
    deep: Any = {}
    for _ in range(100):
        deep = {"items": deep}
    schema = ".json_schema.schema"
    async with scripted_node(tmp_path) as node:
        for wrong, field, sentence in (
            (form({"not": {}}), schema, "Invalid schema for response_format 'x': #/not"),
            (form({"$ref": "#"}), schema, "leads back to itself"),
            (form(deep), schema, "nested deeper than"),
            ({"type": "grammar", "grammar": "root ::= x"}, ".grammar", "which is no rule"),
            ({"type": "xml"}, ".type", "the type has to be one of"),
        ):
            body = {"prompt": "say", "response_format": wrong}
            async with node.http.post(f"{node.url}/tasks", json=body) as response:
                problem = await response.json(content_type=None)
                assert (response.status, problem["field"]) == (422, f"response_format{field}")
                assert sentence in problem["detail"]
        status, page = await node.call("GET", "/tasks")
        assert (status, page["tasks"]) == (200, [])
