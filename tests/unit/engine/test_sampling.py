"""What is sampled of a large vocabulary is what a chain would take of all of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import llama_cpp as api
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.answers.begins import Begins
from edge.answers.calls import AT_ONCE, calls
from edge.answers.dialects import HERMES
from edge.answers.reader import read
from edge.engine import candidates, sampling
from edge.engine.candidates import Candidates
from edge.engine.dry import DrySamplers
from edge.engine.llama import Llama
from edge.engine.messages import Sampling
from edge.engine.sampling import Sampler
from edge.engine.vocabulary import Vocabulary
from edge.errors import InvalidRequest
from tests.support.random_gguf import write_random_gguf

SEEDED = Sampling(seed=11)
STEPS = 60


class Logits:
    """In place of llama.cpp: random logits for each step, the vocabulary being real."""

    context_tokens = 512

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.candidates = Candidates(vocabulary.size)
        self.dry = DrySamplers(vocabulary.pointer)
        self.whole = 0  # how often a chain was asked about all tokens

    def logits(self, index: int) -> NDArray[np.float32]:
        rng = np.random.default_rng(index)
        return rng.standard_normal(self.vocabulary.size, dtype=np.float32) * np.float32(2)

    def sample(self, chain: Any, index: int) -> int:
        self.whole += 1
        token = self.candidates.take(chain, self.logits(index))
        api.llama_sampler_accept(chain, token)
        return token


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vocabulary]:
    path: Path = write_random_gguf(tmp_path_factory.mktemp("vocabulary") / "nano.gguf")
    params = api.llama_model_default_params()
    params.vocab_only = True
    model = api.llama_model_load_from_file(str(path).encode(), params)
    yield Vocabulary(api.llama_model_get_vocab(model))
    api.llama_model_free(model)


def said(vocabulary: Vocabulary, asked: Sampling) -> tuple[list[int], int]:
    """The tokens of some steps, and for how many of them a chain looked at all tokens."""
    llama = Logits(vocabulary)
    sampler = Sampler(cast(Llama, llama), asked)
    tokens = [sampler.sample(cast(Llama, llama), index) for index in range(STEPS)]
    sampler.close()
    return tokens, llama.whole


@pytest.mark.parametrize(
    ("asked", "looks_at_all"),
    [
        (SEEDED, False),
        (replace(SEEDED, temperature=0.0), False),
        (replace(SEEDED, temperature=2.0, top_p=1.0, min_p=0.0), False),
        (replace(SEEDED, top_k=1), False),
        (replace(SEEDED, ignore_eos=True, temperature=0.0), False),
        (replace(SEEDED, logit_bias=((5, 4.0), (6, -4.0), (7, 100.0), (8, -100.0))), False),
        (replace(SEEDED, temperature=0.0, logit_bias=((5, 6.0), (6, 6.5))), False),
        (replace(SEEDED, xtc_probability=0.5, xtc_threshold=0.01, typical_p=0.9), False),
        (replace(SEEDED, grammar="root ::= [a-z]+"), False),
        (replace(SEEDED, top_k=0), True),
        (replace(SEEDED, top_k=129), True),
        (replace(SEEDED, mirostat=2), True),
        (replace(SEEDED, repeat_penalty=1.3), False),
        (replace(SEEDED, repeat_penalty=0.5, temperature=0.0), False),
        (replace(SEEDED, repeat_last_n=-1, presence_penalty=3.0, frequency_penalty=-2.0), False),
        (replace(SEEDED, temperature=0.0, presence_penalty=2.0, logit_bias=((5, 9.0),)), False),
        (replace(SEEDED, temperature=0.0, dry_multiplier=9.0, dry_allowed_length=1), False),
        (replace(SEEDED, dry_multiplier=0.8, repeat_penalty=1.3, repeat_last_n=3), False),
        (replace(SEEDED, top_k=0, repeat_penalty=1.3), True),
    ],
)
def test_few_of_the_likeliest_are_looked_for_before_and_nothing_else_comes_of_it(
    vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch, asked: Sampling, looks_at_all: bool
) -> None:
    tokens, _ = said(vocabulary, asked)
    monkeypatch.setattr(sampling, "LARGE_VOCABULARY", 1)
    monkeypatch.setattr(candidates, "BLOCK_TOKENS", 8)
    assert said(vocabulary, asked) == (tokens, STEPS if looks_at_all else 0)


CALLS = calls(HERMES, '[{"function":{"name":"look"}}]', None, parallel=False)
BEGINS = Begins(AT_ONCE, CALLS.marks)
ANY = Sampling(seed=3, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, grammar=CALLS.gbnf)


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vocabulary]:
    """One with tokens that end a mark, alone or with more, and that go on behind it."""
    words = ("<tool_call>", "_call>x", '_call>{"', '{"name":', '"look"')
    path = tmp_path_factory.mktemp("marked") / "nano.gguf"
    params = api.llama_model_default_params()
    params.vocab_only = True
    model = api.llama_model_load_from_file(
        str(write_random_gguf(path, words=words)).encode(), params
    )
    yield Vocabulary(api.llama_model_get_vocab(model))
    api.llama_model_free(model)


def until_end(sampler: Sampler, llama: Logits, start: int) -> list[int]:
    tokens: list[int] = []
    for index in range(start, 400):
        token = sampler.sample(cast(Llama, llama), index)
        if llama.vocabulary.ends(token):
            return tokens
        tokens.append(token)
    raise AssertionError("a call has an end")


@pytest.mark.parametrize("end", ["<tool_call>", "_call>x", '_call>{"'])
def test_behind_its_mark_a_call_follows_its_grammar(marked: Vocabulary, end: str) -> None:
    """Also where the token that ends the mark says more than the grammar allows."""
    llama = Logits(marked)
    before = marked.tokenize("So: " + ("<tool" if end.startswith("_") else ""))
    last = next(token for token in range(marked.size) if marked.piece(token) == end.encode())
    bias = ((last, 100.0),)
    sampler = Sampler(cast(Llama, llama), replace(ANY, logit_bias=bias), BEGINS)
    for token in before:
        sampler.accept(token)
    tokens = [*before, *until_end(sampler, llama, 0)]
    sampler.close()
    text = b"".join(map(marked.piece, tokens)).decode()
    answer = read("hermes calls", text)
    assert answer.content == "So:"
    (call,) = answer.calls("t")
    assert (call.name, call.arguments) == ("look", "{}")
    # Who goes on with what was said, wherever that ends, goes on by the same grammar.
    for cut in range(len(before), len(tokens)):
        again = Sampler(cast(Llama, llama), replace(ANY, logit_bias=bias), BEGINS)
        for token in tokens[:cut]:
            again.accept(token)
        said = [*tokens[:cut], *until_end(again, llama, cut)]
        again.close()
        answer = read("hermes calls", b"".join(map(marked.piece, said)).decode())
        assert [each.name for each in answer.calls("t")] == ["look"]


def test_without_a_mark_there_is_no_grammar(vocabulary: Vocabulary) -> None:
    llama = Logits(vocabulary)
    sampler = Sampler(cast(Llama, llama), ANY, BEGINS)
    tokens = [sampler.sample(cast(Llama, llama), index) for index in range(STEPS)]
    sampler.close()
    assert tokens == said(vocabulary, replace(ANY, grammar=None))[0]


def test_what_goes_with_no_grammar_goes_with_none_that_is_to_begin(vocabulary: Vocabulary) -> None:
    llama = Logits(vocabulary)
    with pytest.raises(InvalidRequest, match="ignore_eos"):
        Sampler(cast(Llama, llama), replace(ANY, ignore_eos=True), BEGINS)
