"""How likely each token was: by the real worker, and from the front door over a killed engine."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from edge.engine.messages import Generate, Sampling
from edge.tasks.logprobs import TokenLogprob, read
from tests.integration.test_seeds import ASKED, kill_engine
from tests.support.node import joined, serving
from tests.support.worker import Worker

GREEDY = Sampling(max_tokens=12, temperature=0, ignore_eos=True, logprobs=3)


def said(worker: Worker, sampling: Sampling, **more: Any) -> list[TokenLogprob]:
    worker.steps.clear()
    worker.run(Generate(1, "say", None, sampling, **more))
    outputs = [each for step in worker.steps for each in step.outputs]
    return [read(line) for each in outputs for line in each.logprobs]


def test_each_token_has_its_own_and_so_many_others(worker: Worker) -> None:
    tokens = said(worker, GREEDY)
    assert len(tokens) == 12
    for each in tokens:
        assert each.top[0] == (each.token, each.logprob), "greedy takes the likeliest"
        shares = [math.exp(logprob) for _, logprob in each.top]
        assert len(shares) == 3
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) <= 1.0001
    # All of the vocabulary together is certain.
    every = said(worker, replace(GREEDY, logprobs=512, max_tokens=1))[0]
    assert math.fsum(math.exp(logprob) for _, logprob in every.top) == pytest.approx(1, abs=1e-3)


def test_none_are_told_where_none_are_asked_for(worker: Worker) -> None:
    assert said(worker, replace(GREEDY, logprobs=None)) == []
    alone = said(worker, replace(GREEDY, logprobs=0))
    assert [each.top for each in alone] == [()] * 12


def test_they_are_those_of_the_model_whatever_samples(worker: Worker) -> None:
    """Not of what temperature, filters and biases make of them."""
    plain = said(worker, GREEDY)
    (token,) = worker.tokens(1)[:1]
    odd = replace(GREEDY, temperature=3.0, top_k=1, logit_bias=((token, 50.0),))
    assert said(worker, replace(odd, max_tokens=1)) == plain[:1]


def test_a_token_begins_where_what_was_whole_before_it_ends(worker: Worker) -> None:
    euro = "\u20ac".encode()
    # In this vocabulary the first tokens are the bytes.
    letters = (*b"a", *euro, *b"b")
    offsets = []
    for place, token in enumerate(letters):
        sampling = replace(GREEDY, max_tokens=place + 1, logit_bias=((token, 100.0),))
        (only,) = said(worker, sampling, resume_tokens=letters[:place])
        assert only.token == bytes([token])
        offsets.append(only.offset)
    assert offsets == [0, 1, 1, 1, 2]


def test_what_was_begun_counts(worker: Worker) -> None:
    assert said(worker, GREEDY, begun="so far")[0].offset == 6


# A start of a node and two of an engine.
@pytest.mark.timeout(240)
async def test_what_was_said_before_an_engine_died_keeps_its_own(tmp_path: Path) -> None:
    async with serving(tmp_path) as node, aiohttp.ClientSession() as http:
        body = ASKED | {"logprobs": 2, "max_tokens": 120}
        async with http.post(f"{node.url}/tasks", json=body) as response:
            assert response.status == 202
            task_id = (await response.json())["task_id"]
        async with joined(http, node.url, task_id) as channel:
            while len(channel.text) < 60:
                assert await channel.hear() != "completed"
            kill_engine(node)
            await channel.until("completed")
            assert channel.last["result"]["logprobs"] is None, "they are told over HTTP"
        async with http.get(f"{node.url}/tasks/{task_id}") as response:
            result = (await response.json(content_type=None))["result"]
        tokens = result["logprobs"]
        assert len(tokens) == result["usage"]["completion_tokens"] == 120
        assert bytes(byte for each in tokens for byte in each["bytes"]).decode() == result["text"]
        for each in tokens:
            assert result["text"].startswith(each["token"], each["offset"])
            assert len(each["top_logprobs"]) == 2
        async with http.get(f"{node.url}/tasks") as response:
            (listed,) = (await response.json(content_type=None))["tasks"]
        assert listed["result"]["logprobs"] is None
