"""How long answers are likely to be."""

from __future__ import annotations

import json

import pytest

from edge.tasks.lengths import ANSWERS_MAX, CLIENTS_MAX, COMMON_MAX, ENOUGH, Distribution, Lengths
from edge.tasks.task import UNREADABLE


def test_nothing_is_known_at_first() -> None:
    assert Lengths().of("ada", 200).mean == 100
    assert Lengths().of("ada", 1).mean == 1


def test_a_client_gets_what_it_got() -> None:
    lengths = Lengths()
    for _ in range(ENOUGH):
        lengths.saw("ada", 20, 200)
    assert lengths.of("ada", 200).mean == 20
    assert lengths.of("ada", 10).mean == 10, "never more than it may have"
    assert lengths.of("ada", 4_000).mean == 20, "a higher bound makes no answer longer"


def test_what_was_cut_off_goes_to_its_bound_again() -> None:
    lengths = Lengths()
    for _ in range(ENOUGH):
        lengths.saw("ada", 200, 200)
    assert lengths.of("ada", 600).mean == 600


def test_a_new_client_is_like_the_others_until_it_has_shown_itself() -> None:
    lengths = Lengths()
    for _ in range(40):
        lengths.saw("ada", 20, 200)
    assert lengths.of("bob", 100).mean == 10
    lengths.saw("bob", 90, 100)
    assert 10 < lengths.of("bob", 100).mean < 90
    for _ in range(ENOUGH):
        lengths.saw("bob", 90, 100)
    assert lengths.of("bob", 100).mean == 90


def test_a_client_that_changes_is_followed() -> None:
    lengths = Lengths()
    for _ in range(ANSWERS_MAX):
        lengths.saw("ada", 20, 200)
    for _ in range(ANSWERS_MAX):
        lengths.saw("ada", 150, 200)
    assert lengths.of("ada", 200).mean == 150


def test_what_is_left_depends_on_what_there_is() -> None:
    two_sorts = Distribution([10.0] * 9 + [100.0])
    assert two_sorts.mean == 19
    assert two_sorts.left(0, 200) == 19
    assert two_sorts.left(50, 200) == 50, "it is one of the long ones"
    assert two_sorts.left(120, 200) == 20, "longer than all: a quarter of the way"
    assert two_sorts.left_at(0.5, 0, 200) == 10
    assert two_sorts.left_at(0.95, 0, 200) == 100
    assert two_sorts.left_at(0.0, 50, 200) == 50
    assert two_sorts.left_at(0.5, 150, 150) == 0
    assert not two_sorts.certain
    assert Distribution([7.0, 7.0]).certain


def test_at_any_time_it_is_rather_a_long_one_that_runs() -> None:
    assert Distribution([10.0]).residual == 5
    assert Distribution([10.0] * 9 + [100.0]).residual == pytest.approx(28.7, abs=0.1)


def test_who_is_not_heard_of_is_forgotten() -> None:
    lengths = Lengths()
    for number in range(CLIENTS_MAX + 1):
        for _ in range(ENOUGH):
            lengths.saw(f"client {number}", 1 if number == 0 else 9, 10)
    kept = lengths.to_json()
    assert len(kept["own"]) == CLIENTS_MAX
    assert len(kept["common"]) == COMMON_MAX
    assert lengths.of("client 0", 10).mean == 9
    assert lengths.of("client 1", 10).mean == 9


def test_what_was_learnt_survives() -> None:
    lengths = Lengths()
    for number in range(10):
        lengths.saw("ada", number, 200)
    again = Lengths.from_json(json.loads(json.dumps(lengths.to_json())))
    assert again.to_json() == lengths.to_json()
    assert again.of("ada", 100).mean == lengths.of("ada", 100).mean
    for damaged in ({}, {"own": {}, "common": [[1]]}, {"own": {"a": [[-1, 2]]}, "common": []}):
        with pytest.raises(UNREADABLE):
            Lengths.from_json(damaged)
