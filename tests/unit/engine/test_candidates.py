"""A token for a grammar: the one that would be taken anyway, or one that is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import llama_cpp as api
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.engine.candidates import BLOCK_TOKENS, Candidates, allows, likeliest
from edge.engine.vocabulary import Vocabulary
from tests.support.random_gguf import write_random_gguf

A, B, Z = 65, 66, 90


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vocabulary]:
    path = write_random_gguf(tmp_path_factory.mktemp("vocabulary") / "nano.gguf")
    params = api.llama_model_default_params()
    params.vocab_only = True
    model = api.llama_model_load_from_file(str(path).encode(), params)
    yield Vocabulary(api.llama_model_get_vocab(model))
    api.llama_model_free(model)


@pytest.fixture
def grammar(vocabulary: Vocabulary) -> Iterator[Any]:
    link = api.llama_sampler_init_grammar(vocabulary.pointer, b"root ::= [AB] [AB]", b"root")
    yield link
    api.llama_sampler_free(link)


@pytest.fixture(params=["greedy", "top_k", "top_p", "typical"])
def chain(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Each leaves llama.cpp's array in another state."""
    links = {
        "greedy": [],
        "top_k": [api.llama_sampler_init_top_k(2)],
        "top_p": [api.llama_sampler_init_top_p(0.1, 1)],
        "typical": [api.llama_sampler_init_typical(0.9, 1)],
    }[request.param]
    chain = api.llama_sampler_chain_init(api.llama_sampler_chain_default_params())
    for link in [*links, api.llama_sampler_init_greedy()]:
        api.llama_sampler_chain_add(chain, link)
    yield chain
    api.llama_sampler_free(chain)


def logits(vocabulary: Vocabulary, *best: int) -> NDArray[np.float32]:
    values = np.zeros(vocabulary.size, dtype=np.float32)
    for rank, token in enumerate(best):
        values[token] = 40 - 10 * rank
    return values


def test_the_best_is_taken_and_with_a_grammar_the_best_that_is_allowed(
    vocabulary: Vocabulary, grammar: Any, chain: Any
) -> None:
    candidates = Candidates(vocabulary.size)
    for best in ((Z, B, A), (A, Z, B)) * 2:
        values = logits(vocabulary, *best)
        assert candidates.take(chain, values) == best[0]
        assert candidates.take(chain, values, grammar) == min({A, B}, key=best.index)


def test_a_grammar_is_asked_about_one_token(grammar: Any) -> None:
    assert [allows(grammar, token) for token in (A, B, Z)] == [True, True, False]
    api.llama_sampler_accept(grammar, A)
    api.llama_sampler_accept(grammar, B)
    assert not allows(grammar, A)


LOGITS = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).integers(-40, 40, 4 * BLOCK_TOKENS + 9) / 4
)


@given(LOGITS, st.integers(0, 6))
def test_the_likeliest_are_found_in_one_look_equals_among_them(
    values: NDArray[np.float64], number: int
) -> None:
    logits = values.astype(np.float32)
    found = likeliest(logits, number)
    assert len({*found}) == len(found)
    least = np.sort(logits)[::-1][max(0, number - 1)]
    assert {*np.flatnonzero(logits >= least)} <= {*found} or number == 0


@pytest.mark.parametrize("number", [0, 5])
def test_where_no_bound_is_known_all_are_looked_at(number: int) -> None:
    assert list(likeliest(np.zeros(4 * BLOCK_TOKENS, np.float32), number)) == [
        *range(4 * BLOCK_TOKENS)
    ]
