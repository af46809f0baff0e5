from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.engine.batching import shelf as module
from edge.engine.batching.shelf import KEPT_TOKENS_MIN, Shelf
from edge.engine.batching.tokens import BLOCK_TOKENS, Tokens

LONG = tuple(range(KEPT_TOKENS_MIN))


def of(first: int, more: int = 0) -> Tokens:
    """A long prompt that begins in its own way."""
    return Tokens([first, *LONG, *range(1_000, 1_000 + more)])


def test_who_comes_back_finds_the_longest_beginning() -> None:
    shelf = Shelf(100)
    assert shelf.best(of(1)) == (0, 0)
    shelf.put(of(1), b"one")
    shelf.put(of(2), b"two")
    number, shared = shelf.best(of(2, more=9))
    assert shared == len(of(2))
    assert shelf.take(number).state == b"two"


def test_what_is_not_used_for_longest_makes_room() -> None:
    shelf = Shelf(10)
    shelf.put(of(1), b"1234")
    shelf.put(of(2), b"1234")
    shelf.take(shelf.best(of(1))[0])
    shelf.put(of(3), b"1234")
    assert shelf.best(of(2)) == (0, 0)
    assert [each.state for each in shelf.all()] == [b"1234"] * 2
    assert shelf.size_bytes == 8


def test_a_longer_one_takes_the_place_of_its_beginning() -> None:
    shelf = Shelf(100)
    shelf.put(of(1), b"short")
    assert shelf.wants(of(1, more=5), 10)
    shelf.put(of(1, more=5), b"longer")
    assert not shelf.wants(of(1), 10)
    assert [each.state for each in shelf.all()] == [b"longer"]


def test_only_what_is_worth_its_room_is_wanted() -> None:
    shelf = Shelf(100)
    assert shelf.wants(of(1), 100)
    assert not shelf.wants(of(1), 101)
    assert not shelf.wants(Tokens(LONG[:-1]), 1)
    assert shelf.wants(Tokens(LONG), 1)
    assert not Shelf(0).wants(of(1), 1)


def test_their_number_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_MAX", 2)
    shelf = Shelf(100)
    for first in range(3):
        shelf.put(of(first), b"x")
    assert len(shelf) == 2
    assert shelf.best(of(0)) == (0, 0)


# Few kinds of blocks, so that beginnings agree by chance: a prompt is some blocks and a rest.
PROMPTS = st.tuples(st.lists(st.integers(0, 1), min_size=2, max_size=5), st.integers(0, 31)).map(
    lambda made: [each for kind in made[0] for each in [kind] * BLOCK_TOKENS] + [7] * made[1]
)


def common(first: list[int], second: list[int]) -> int:
    pairs = zip(first, second, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


@given(st.lists(PROMPTS, max_size=12), PROMPTS)
def test_the_longest_beginning_is_found_among_all_and_nothing_is_kept_twice(
    put: list[list[int]], asked: list[int]
) -> None:
    shelf = Shelf(8)
    for ids in put:
        if shelf.wants(Tokens(ids), 1):
            shelf.put(Tokens(ids), b"x")
    kept: list[Any] = [[*each.tokens.slice(0, len(each.tokens))] for each in shelf.all()]
    longest = max((common(ids, asked) for ids in kept), default=0)
    assert shelf.best(Tokens(asked))[1] == (longest if longest >= BLOCK_TOKENS else 0)
    assert shelf.spares(Tokens(asked)) == any(ids[: len(asked)] == asked for ids in kept)
    assert not any(a is not b and b[: len(a)] == a for a in kept for b in kept)


def test_of_what_is_gone_nothing_is_left() -> None:
    shelf = Shelf(1)
    for first in range(20):
        shelf.put(of(first), b"x")
    assert len(shelf) == 1
    assert shelf._by_mark.keys() == {*of(19).marks}
