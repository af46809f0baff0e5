from __future__ import annotations

from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.engine.batching import tokens
from edge.engine.batching.tokens import BLOCK_TOKENS, Tokens

IDS = st.lists(st.integers(0, 1), max_size=4 * BLOCK_TOKENS)


@given(IDS, IDS, IDS)
def test_the_common_beginning_is_found(
    beginning: list[int], one: list[int], two: list[int]
) -> None:
    first, second = [*beginning, *one], [*beginning, *two]
    common = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))))
    assert Tokens(first).common(Tokens(second)) == common
    assert Tokens(first).begins_like(Tokens(second), common)


@given(IDS, st.integers(0, 150), IDS)
def test_what_is_cut_and_grows_again_is_as_made_anew(
    ids: list[int], length: int, more: list[int]
) -> None:
    made, cut = Tokens([*ids[:length], *more]), Tokens(ids)
    cut.cut(length)
    for each in more:
        cut.extend((each,))
    beginning = Tokens(ids).beginning(length)
    beginning.extend(more)
    for grown in (cut, beginning):
        assert grown.slice(0, len(grown)) == made.slice(0, len(made))
        assert grown.common(made) == len(made)


def test_marks_that_agree_by_chance_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "hash", lambda _block: 7, raising=False)
    first, second = Tokens([1] * BLOCK_TOKENS), Tokens([2] * BLOCK_TOKENS)
    assert first.common(second) == BLOCK_TOKENS
    assert not first.begins_like(second, BLOCK_TOKENS)
