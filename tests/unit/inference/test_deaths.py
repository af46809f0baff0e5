"""The restart budget: which deaths count, and how long the waits are."""

from __future__ import annotations

from random import Random

import pytest

from edge.clock import NS_PER_MS
from edge.inference.deaths import Deaths
from edge.inference.policy import LifecyclePolicy

POLICY = LifecyclePolicy(
    backoff_base_ms=100, backoff_max_ms=350, jitter=0.0, deaths_max=2, deaths_window_ms=1_000
)


@pytest.fixture
def deaths() -> Deaths:
    return Deaths(POLICY, Random(1))


def die(deaths: Deaths, at_ms: int, *, fruitful: bool = False, explained: bool = False) -> int:
    return deaths.add(at_ms * NS_PER_MS, fruitful=fruitful, explained=explained)


def test_the_waits_double_up_to_the_cap_until_there_are_too_many(deaths: Deaths) -> None:
    assert [(die(deaths, 0), deaths.delay_ms(), deaths.too_many) for _ in range(3)] == [
        (1, 100, False), (2, 200, False), (3, 350, True),
    ]  # fmt: skip


def test_old_deaths_are_forgotten(deaths: Deaths) -> None:
    assert [die(deaths, at_ms) for at_ms in (0, 500, 1_100, 3_000)] == [1, 2, 2, 1]


def test_an_engine_that_made_a_token_begins_the_count_anew(deaths: Deaths) -> None:
    for _ in range(3):
        die(deaths, 0)
    assert die(deaths, 1, fruitful=True) == 0
    assert (deaths.too_many, deaths.delay_ms()) == (False, 100)


def test_a_death_with_a_culprit_takes_back_the_one_that_led_to_the_trial(deaths: Deaths) -> None:
    die(deaths, 0)
    die(deaths, 0)
    assert die(deaths, 0, explained=True) == 1
    assert die(deaths, 0, explained=True) == 0
    assert die(deaths, 0, explained=True) == 0


def test_somebody_who_changes_something_begins_anew(deaths: Deaths) -> None:
    die(deaths, 0)
    deaths.forget()
    assert die(deaths, 0) == 1
