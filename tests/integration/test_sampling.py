"""Each way to sample, in the real worker: what it does to a model of random weights."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from edge.engine.messages import Generate, Rejected, Sampling
from tests.support.node import joined, serving
from tests.support.worker import Worker, ask

A, B, C = 65, 66, 67
"""Tokens that the biases below leave as the only ones."""
PLAIN = Sampling(max_tokens=12, temperature=0, ignore_eos=True)
HOT = replace(PLAIN, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=5, max_tokens=24)


def two(lead: float, **more: Any) -> Sampling:
    """Only A and B are left, and A is before B by about so much."""
    return replace(PLAIN, logit_bias=((A, 90.0 + lead), (B, 90.0)), **more)


def said(worker: Worker, sampling: Sampling, prompt: str = "say", *resumed: int) -> list[int]:
    """The tokens of an answer, those that it is resumed with among them."""
    worker.steps.clear()
    worker.run(Generate(1, prompt, None, sampling, resumed, len(resumed)))
    return [*resumed, *worker.tokens(1)]


def test_a_bias_makes_a_token_certain_or_impossible(worker: Worker) -> None:
    free = said(worker, PLAIN)
    assert said(worker, replace(PLAIN, logit_bias=((A, 100.0),))) == [A] * 12
    never = replace(PLAIN, logit_bias=tuple((token, -100.0) for token in {*free}))
    assert not {*free} & {*said(worker, never)}


def test_a_bias_for_a_token_that_is_not_there_is_refused(worker: Worker) -> None:
    worker.send(ask(1, "say", replace(PLAIN, logit_bias=((512, 1.0),))))
    rejected = worker.next()
    assert isinstance(rejected, Rejected)
    assert (rejected.code, rejected.field) == ("invalid_request", "logit_bias")
    assert "0 to 511" in rejected.message


@pytest.mark.parametrize(
    "penalty",
    [{"repeat_penalty": 5.0}, {"frequency_penalty": 50.0}, {"presence_penalty": 50.0}],
)
def test_a_penalty_is_for_the_last_tokens_the_prompt_among_them(
    worker: Worker, penalty: dict[str, float]
) -> None:
    """With one token to look back at, each is followed by the other."""
    sampling = two(8, repeat_last_n=1, **penalty)
    assert said(worker, replace(sampling, repeat_last_n=0)) == [A] * 12
    assert said(worker, sampling) == [A, B] * 6
    assert said(worker, sampling, "so A") == [B, A] * 6
    assert said(worker, sampling, "say", A, B, A) == [A, B] * 6


def test_the_whole_context_is_looked_back_at(worker: Worker) -> None:
    sampling = two(8, presence_penalty=50.0, max_tokens=3)
    prompt = "A" + "." * 100
    assert said(worker, replace(sampling, repeat_last_n=64), prompt) == [A, B, A]
    assert said(worker, replace(sampling, repeat_last_n=-1), prompt) == [B, A, A]
    assert said(worker, replace(sampling, repeat_last_n=2**20), prompt) == [B, A, A]


def test_dry_is_against_going_on_as_before(worker: Worker) -> None:
    dry = two(8, dry_multiplier=20.0, dry_allowed_length=2)
    assert said(worker, replace(dry, dry_penalty_last_n=0)) == [A] * 12
    assert said(worker, dry)[:4] == [A, A, A, B]
    # What was said before a resume counts as if it had been said in one go.
    assert said(worker, dry, "say", A, A) == said(worker, dry)


def test_typical_leaves_nothing_to_chance_at_zero(worker: Worker) -> None:
    typical = replace(HOT, typical_p=0.0)
    assert said(worker, typical) == said(worker, replace(typical, seed=6))
    assert said(worker, HOT) != said(worker, replace(HOT, seed=6))


def test_xtc_takes_the_last_of_the_likely(worker: Worker) -> None:
    xtc = replace(HOT, logit_bias=two(0).logit_bias, xtc_threshold=0.001)
    assert {*said(worker, xtc)} == {A, B}
    last = said(worker, replace(xtc, xtc_probability=1.0))
    assert last == said(worker, replace(xtc, xtc_probability=1.0, seed=6))


@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_takes_the_place_of_what_leaves_tokens_out(worker: Worker, version: int) -> None:
    free = replace(HOT, top_k=1, mirostat=version, mirostat_tau=10.0)
    assert said(worker, free) == said(worker, free)
    assert said(worker, free) != said(worker, replace(free, mirostat=0))
    assert said(worker, free) != said(worker, replace(free, seed=6))


def test_mirostat_without_surprise_is_greedy(worker: Worker) -> None:
    strict = replace(HOT, mirostat=2, mirostat_tau=0.0)
    assert said(worker, strict) == said(worker, replace(HOT, top_k=1))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"top_k": 40, "top_p": 0.95, "min_p": 0.05},
        {"top_k": 2},
        {"xtc_probability": 0.5, "xtc_threshold": 0.0, "min_p": 0.5},
        {"presence_penalty": 2.0, "dry_multiplier": 2.0, "repeat_last_n": -1},
        {"typical_p": 0.5},
    ],
)
@pytest.mark.parametrize("resumed", [1, 11, 23])
def test_a_seed_says_the_same_again_behind_a_resume(
    worker: Worker, more: dict[str, Any], resumed: int
) -> None:
    """Also where some tokens leave nothing to chance, so that no random number is drawn."""
    sampling = replace(HOT, **more)
    whole = said(worker, sampling)
    assert said(worker, sampling, "say", *whole[:resumed]) == whole
    assert said(worker, replace(sampling, seed=6)) != whole


def test_a_seed_leaves_each_place_its_own_chance(worker: Worker) -> None:
    """Of two tokens that are about as likely each comes about half of the time, along a text and
    over the seeds."""
    sampling = replace(HOT, logit_bias=two(0).logit_bias, max_tokens=200, temperature=5.0)
    shares = [said(worker, replace(sampling, seed=seed)).count(A) / 200 for seed in range(5)]
    assert all(0.3 < share < 0.7 for share in shares), shares
    firsts = [said(worker, replace(sampling, seed=seed, max_tokens=1))[0] for seed in range(100)]
    assert 30 < firsts.count(A) < 70


@pytest.mark.parametrize("resumed", [1, 7, 23])
def test_a_seed_and_a_grammar_that_refuses_say_the_same_behind_a_resume(
    worker: Worker, resumed: int
) -> None:
    """Most of the model's own words are refused here, and another one is drawn."""
    sampling = replace(HOT, ignore_eos=False, grammar="root ::= ([a-h] [0-7]){100}")
    whole = said(worker, sampling)
    assert re.fullmatch("([a-h][0-7]){12}", worker.text(1))
    assert said(worker, sampling, "say", *whole[:resumed]) == whole
    assert said(worker, replace(sampling, seed=6)) != whole


def test_a_grammar_leaves_each_place_its_own_chance(worker: Worker) -> None:
    """What was refused tells nothing of what is drawn in its place."""
    biases = ((A, 90.0), (B, 90.0), (C, 100.0))
    sampling = replace(HOT, ignore_eos=False, logit_bias=biases, temperature=8.0, top_k=3)
    sampling = replace(sampling, grammar="root ::= [AB]{300}", max_tokens=200)
    shares = [said(worker, replace(sampling, seed=seed)).count(A) / 200 for seed in range(5)]
    assert all(0.3 < share < 0.7 for share in shares), shares


async def test_what_is_asked_for_over_http_is_what_is_sampled_by(tmp_path: Path) -> None:
    body = {
        "prompt": "say", "temperature": 0, "ignore_eos": True, "max_tokens": 6,
        "logit_bias": {str(A): 100, str(B): 90}, "presence_penalty": 2, "frequency_penalty": 2,
        "repeat_penalty": 1.5, "repeat_last_n": 1,
    }  # fmt: skip
    async with serving(tmp_path) as node, aiohttp.ClientSession() as http:
        async with http.post(f"{node.url}/tasks", json=body) as response:
            assert response.status == 202
            task_id = (await response.json(content_type=None))["task_id"]
        async with joined(http, node.url, task_id) as channel:
            await channel.until("completed")
        # Whichever two characters these are in the vocabulary of the node's model.
        assert channel.text[0] != channel.text[1]
        assert channel.text == channel.text[:2] * 3
        async with http.get(f"{node.url}/tasks/{task_id}") as response:
            options = (await response.json(content_type=None))["options"]
        assert {name: options[name] for name in body if name != "prompt"} == {
            name: value for name, value in body.items() if name != "prompt"
        }
        async with http.post(f"{node.url}/tasks", json=body | {"mirostat": 3}) as response:
            assert response.status == 422
            problem = await response.json(content_type=None)
        assert (problem["field"], problem["detail"]) == (
            "mirostat", "mirostat has to be from 0 to 2",
        )  # fmt: skip


def test_a_temperature_of_next_to_nothing_is_greedy(worker: Worker) -> None:
    """Logits divided by it are beyond what a float can say."""
    assert said(worker, replace(PLAIN, temperature=1e-40, seed=1)) == said(worker, PLAIN)
    assert said(worker, replace(HOT, temperature=0.0009)) == said(worker, replace(HOT, top_k=1))


def test_typical_takes_nothing_impossible(worker: Worker) -> None:
    """The probability of all but two tokens is 0, which has no logarithm."""
    typical = replace(HOT, logit_bias=two(0).logit_bias, typical_p=0.0)
    assert {*said(worker, typical)} <= {A, B}


LETTERS = replace(HOT, ignore_eos=False, grammar="root ::= [a-z]{40}")


def test_xtc_takes_nothing_that_a_grammar_refuses(worker: Worker) -> None:
    xtc = replace(LETTERS, xtc_probability=1.0, xtc_threshold=0.0)
    assert said(worker, xtc) != said(worker, LETTERS)
    assert worker.text(1).isalpha()


def test_mirostat_leaves_something_to_chance_beside_a_grammar(worker: Worker) -> None:
    mirostat = replace(LETTERS, mirostat=1, mirostat_tau=10.0)
    assert said(worker, mirostat) != said(worker, replace(mirostat, seed=6))


def test_dry_sees_nothing_beyond_what_breaks_a_sequence(worker: Worker) -> None:
    dry = two(8, dry_multiplier=20.0, dry_allowed_length=2)
    assert said(worker, replace(dry, dry_sequence_breakers=("A",))) == [A] * 12
    for others in ((), ("#",)):
        assert said(worker, replace(dry, dry_sequence_breakers=others)) == said(worker, dry)


def test_dry_begins_anew_with_each_task(worker: Worker) -> None:
    """What is kept ready has seen nothing."""
    dry = two(8, dry_multiplier=20.0, dry_allowed_length=2)
    assert said(worker, dry) == said(worker, dry)
    worker.steps.clear()
    worker.send(*(ask(key, "say", dry) for key in (1, 2)))
    worker.until_finished(1, 2)
    assert worker.tokens(1) == worker.tokens(2)


def test_dry_beside_a_grammar_is_refused(worker: Worker) -> None:
    """Of a grammar's only token it may leave nothing, and any other ends the process."""
    worker.send(ask(1, "say", replace(LETTERS, dry_multiplier=1.0)))
    rejected = worker.next()
    assert isinstance(rejected, Rejected)
    assert (rejected.code, rejected.field) == ("invalid_request", "dry_multiplier")


def test_a_grammar_takes_no_character_of_too_many_bytes(worker: Worker) -> None:
    """llama.cpp takes E0 82 80 for U+0080, and everybody else for what is no character."""
    biases = ((0xE0, 100.0), (0x82, 90.0), (0x80, 80.0))
    sampling = replace(HOT, ignore_eos=False, logit_bias=biases, grammar="root ::= [^a-z]{8}")
    said(worker, sampling)
    text = worker.text(1)
    assert len(text) == 8
    assert "\ufffd" not in text
