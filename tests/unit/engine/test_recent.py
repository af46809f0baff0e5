"""The last tokens, and each of them once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.engine.recent import RecentTokens

TOKENS = st.lists(st.integers(0, 4), max_size=12)


@given(st.lists(TOKENS, max_size=6), st.integers(1, 5))
def test_those_of_the_last_so_many_are_there_once(added: list[list[int]], lookback: int) -> None:
    recent = RecentTokens(lookback)
    whole: list[int] = []
    for tokens in added:
        recent.add(tokens)
        whole += tokens
        assert sorted(recent.different.tolist()) == sorted({*whole[-lookback:]})
