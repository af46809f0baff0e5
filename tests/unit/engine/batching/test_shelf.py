from __future__ import annotations

import pytest

from edge.engine.batching import shelf as module
from edge.engine.batching.shelf import KEPT_TOKENS_MIN, Shelf
from edge.engine.batching.tokens import Tokens

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
