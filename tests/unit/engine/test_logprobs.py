"""The line about a token: by all logits, in natural logarithms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.engine import logprobs
from edge.tasks.logprobs import TokenLogprob, read

PIECES = (b"a", b"\xe2\x82", b"\n", b'"', b"e")
# Probabilities of a half, a quarter, an eighth twice, and nothing.
LOGITS = np.array([3.0, 3.0 - math.log(2), 3 - math.log(4), 3 - math.log(4), -math.inf], np.float32)


def of(token: int, alternatives: int) -> TokenLogprob:
    return read(logprobs.line(LOGITS, token, alternatives, 7, PIECES.__getitem__))


def test_a_token_has_its_probability_among_all() -> None:
    likely, impossible = of(1, 0), of(4, 0)
    assert (likely.token, likely.offset, likely.top) == (b"\xe2\x82", 7, ())
    assert math.exp(likely.logprob) == pytest.approx(1 / 4, rel=1e-5)
    assert (impossible.token, impossible.logprob) == (b"e", logprobs.IMPOSSIBLE)


def test_the_likeliest_come_first_and_of_equals_the_lower_id() -> None:
    top = of(4, 3).top
    assert [text for text, _ in top] == [b"a", b"\xe2\x82", b"\n"]
    shares = [math.exp(value) for _, value in top]
    assert shares == pytest.approx([1 / 2, 1 / 4, 1 / 8], rel=1e-4)


def test_there_are_no_more_than_tokens() -> None:
    assert len(of(0, 20).top) == 5


def test_large_vocabularies_add_up() -> None:
    logits = np.full(262_144, 11.0, np.float32)
    only = read(logprobs.line(logits, 5, 0, 0, lambda _: b"x"))
    assert only.logprob == pytest.approx(-math.log(262_144), abs=1e-5)
