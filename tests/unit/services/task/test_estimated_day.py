"""What clients are told when they submit, against what comes of it, over a simulated day."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from edge.services.task.turns import Turns
from edge.tasks.arrivals import Arrivals
from tests.support.day import Asked, Day, errors, percentile

SEEDS = (1, 2, 3)


def those_who_waited(days: list[Day]) -> list[Asked]:
    """Who found a free slot, and was told so, would only flatter the median."""
    every = [asked for day in days for asked in day.asked]
    return [each for each in every if max(each.told_ms or 0, each.waited_ms) >= 1_000]


def resume(kept: Any, turns: Turns) -> None:
    turns.forecast.resume(kept)


@pytest.fixture(scope="module")
def first_days() -> list[Day]:
    """A node that knows nobody, and is killed once."""
    days = [Day(seed) for seed in SEEDS]
    for day in days:
        day.run()
    return days


@pytest.fixture(scope="module")
def next_days(first_days: list[Day]) -> list[Day]:
    """The same clients on another day, on a node that has kept what it learnt."""
    days = [
        Day(day.seed + 100, prepare=partial(resume, day.turns.forecast.to_json()))
        for day in first_days
    ]
    for day in days:
        day.run()
    return days


def test_a_day_of_a_node_that_knows_its_clients(next_days: list[Day]) -> None:
    waited = errors(those_who_waited(next_days))
    assert len(waited) > 3_000
    assert percentile(waited, 0.5) <= 0.2
    assert percentile(waited, 0.9) <= 0.5


def test_a_day_of_a_node_that_knows_nobody(first_days: list[Day]) -> None:
    waited = errors(those_who_waited(first_days))
    assert len(waited) > 3_000
    assert percentile(waited, 0.5) <= 0.2
    # Each sort of client is new once, and then nobody knows how long its answers are.
    assert percentile(waited, 0.9) <= 0.8


def test_everybody_counted_the_day_is_better_still(next_days: list[Day]) -> None:
    told = errors([asked for day in next_days for asked in day.asked])
    assert percentile(told, 0.5) <= 0.1
    assert percentile(told, 0.9) <= 0.5


def test_without_those_who_come_between_a_batch_is_told_too_little(
    next_days: list[Day], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Arrivals, "came", lambda *_: None)
    without = [Day(day.seed, prepare=day.prepare) for day in next_days]
    for day in without:
        day.run()
    with_them = percentile(errors(those_who_waited(next_days)), 0.5)
    assert percentile(errors(those_who_waited(without)), 0.5) > 1.5 * with_them
