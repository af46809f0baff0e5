"""Places and sums of a sorted sequence."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import pytest

from edge.tasks.ranked import BLOCK_MAX, Ahead, Ranked


@dataclass(frozen=True, eq=False)
class Thing:
    rank: tuple[float, int]
    prompt_tokens: int = 1
    output_tokens: int = 2
    marked: bool = False


def test_an_empty_one() -> None:
    ranked: Ranked[Thing] = Ranked()
    assert (len(ranked), bool(ranked), ranked.first(), ranked.first_marked()) == (
        0,
        False,
        None,
        None,
    )
    assert ranked.before_rank((0.0, 0)) == Ahead(0, 0, 0)
    with pytest.raises(ValueError, match="no such member"):
        ranked.remove(Thing((0.0, 0)))


def test_a_rank_is_taken_once() -> None:
    ranked: Ranked[Thing] = Ranked()
    ranked.add(Thing((1.0, 1)))
    with pytest.raises(ValueError, match="is taken"):
        ranked.add(Thing((1.0, 1)))
    with pytest.raises(ValueError, match="no such member"):
        ranked.remove(Thing((1.0, 1)))


def test_many_members_have_their_places_and_sums() -> None:
    rng = Random(1)
    things = [
        Thing((float(number % 97), number), number % 5, number % 7, marked=number % 1_000 == 999)
        for number in range(5 * BLOCK_MAX)
    ]
    ranked: Ranked[Thing] = Ranked()
    for each in rng.sample(things, len(things)):
        ranked.add(each)
    for each in rng.sample(things, len(things) // 2):
        ranked.remove(each)
        things.remove(each)
    things.sort(key=lambda each: each.rank)
    assert list(ranked) == things
    assert ranked.first() is things[0]
    assert ranked.first_marked() is next(each for each in things if each.marked)
    prompts = outputs = 0
    for place, each in enumerate(things):
        assert ranked.before(each) == Ahead(place, prompts, outputs)
        prompts += each.prompt_tokens
        outputs += each.output_tokens
    assert ranked.before_rank((1e9, 0)) == Ahead(len(things), prompts, outputs)
    for each in things:
        ranked.remove(each)
    assert not ranked


def test_neighbours_of_a_rank() -> None:
    ranked: Ranked[Thing] = Ranked()
    assert (ranked.first_from((0.0, 0)), ranked.last_before((0.0, 0))) == (None, None)
    things = [Thing((float(2 * number), 0)) for number in range(3 * BLOCK_MAX)]
    for each in things:
        ranked.add(each)
    for number in range(1, 3 * BLOCK_MAX):
        assert ranked.first_from((2.0 * number, 0)) is things[number]
        assert ranked.first_from((2.0 * number - 1, 0)) is things[number]
        assert ranked.last_before((2.0 * number, 0)) is things[number - 1]
    assert ranked.first_from((2.0 * len(things), 0)) is None
    assert ranked.last_before((0.0, 0)) is None
    assert ranked.last_before((1e9, 0)) is things[-1]


def test_from_a_rank_on() -> None:
    ranked: Ranked[Thing] = Ranked()
    assert list(ranked.iter_from((0.0, 0))) == []
    things = [Thing((float(2 * number), 0)) for number in range(3 * BLOCK_MAX)]
    for each in things:
        ranked.add(each)
    for start in (0, 1, BLOCK_MAX // 2, BLOCK_MAX, 2 * BLOCK_MAX + 1, 3 * BLOCK_MAX):
        assert list(ranked.iter_from((2.0 * start, 0))) == things[start:]
        assert list(ranked.iter_from((2.0 * start - 1, 0))) == things[start:]
