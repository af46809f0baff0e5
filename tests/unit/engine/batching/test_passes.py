"""Which texts go into a pass together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.engine.batching.passes import Passes, Text

PASS_TOKENS = 16
SEQUENCES = 4
TEXTS = st.lists(st.integers(1, 40), max_size=30)


def waiting(*sizes: int, key: int = 1) -> Passes:
    passes = Passes(PASS_TOKENS, SEQUENCES)
    for index, size in enumerate(sizes):
        passes.add(Text(key, index, (0,) * size))
    return passes


def indices(passes: Passes) -> list[int]:
    return [text.place for text in passes.take()]


def test_short_texts_go_together_up_to_the_size_of_a_pass() -> None:
    passes = waiting(8, 8, 1)
    assert indices(passes) == [0, 1]
    assert indices(passes) == [2]
    assert indices(passes) == []


def test_a_pass_has_so_many_sequences_at_most() -> None:
    passes = waiting(1, 1, 1, 1, 1)
    assert indices(passes) == [0, 1, 2, 3]
    assert len(passes) == 1


def test_a_text_longer_than_a_pass_is_one_of_its_own() -> None:
    passes = waiting(4, 40, 4)
    assert indices(passes) == [0, 2]
    assert indices(passes) == [1]


def test_what_nobody_wants_any_more_is_in_no_pass() -> None:
    passes = waiting(1, 1, key=1)
    passes.add(Text(2, 0, (0,)))
    passes.drop(1)
    assert [text.key for text in passes.take()] == [2]


@given(TEXTS)
def test_each_text_is_in_one_pass_and_who_waits_longest_is_in_the_next(sizes: list[int]) -> None:
    passes, seen = waiting(*sizes), list[int]()
    while passes:
        first = min(set(range(len(sizes))) - set(seen))
        taken = passes.take()
        assert taken[0].place == first
        assert len(taken) <= SEQUENCES
        tokens = sum(len(text.tokens) for text in taken)
        assert tokens <= PASS_TOKENS or len(taken) == 1
        seen += [text.place for text in taken]
    assert sorted(seen) == list(range(len(sizes)))
