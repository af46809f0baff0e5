"""Estimates against an engine of which all is known."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from edge.tasks.estimate import CLIENTS_MAX, STEP_MS_GUESS, Estimator, Job, Work
from edge.tasks.lengths import Distribution
from edge.tasks.ranked import Ahead
from edge.tasks.task import UNREADABLE


def step_ms(sequences: int) -> float:
    return 10.0 + sequences


def taught(slots: int = 4, prompt_ms: float = 0.5) -> Estimator:
    """One that has seen a hundred steps of every size."""
    estimator = Estimator()
    for sequences in range(1, slots + 1):
        for _ in range(100):
            estimator.saw_step(step_ms(sequences), sequences, 0)
            estimator.saw_step(step_ms(sequences) + 20 * prompt_ms, sequences, 20)
    return estimator


def work(prompt_tokens: float, output_tokens: float) -> Work:
    """One of which all is known."""
    lengths = Distribution([output_tokens])
    return Work(prompt_tokens, 0, int(output_tokens), lengths)


def ahead_of(jobs: list[Job]) -> Ahead:
    return Ahead(
        len(jobs), int(sum(j.prompt_tokens for j in jobs)), int(sum(j.output_tokens for j in jobs))
    )


def starts_ms(jobs: list[Job], slots: int, prompt_ms: float) -> list[float]:
    """When each job starts in an engine that makes one step after the other: each writes a token
    for every running one, and reads the prompt of those that have just started."""
    now_ms, running, starts = 0.0, [0.0] * 0, []
    line = list(jobs)
    while line or running:
        while line and len(running) < slots:
            job = line.pop(0)
            starts.append(now_ms)
            now_ms += job.prompt_tokens * prompt_ms
            running.append(job.output_tokens)
        now_ms += step_ms(len(running))
        running = [left - 1 for left in running if left > 1]
    return starts


def test_rates_are_learnt() -> None:
    estimator = taught()
    assert estimator.step_ms(3) == pytest.approx(13.0)
    assert estimator.prompt_ms == pytest.approx(0.5, rel=0.01)
    assert estimator.tokens_per_ms(4) == pytest.approx(4 / 14)


def test_what_was_not_seen_follows_from_its_neighbours() -> None:
    estimator = Estimator()
    assert estimator.step_ms(1) == STEP_MS_GUESS
    estimator.saw_step(10.0, 2, 0)
    assert (estimator.step_ms(1), estimator.step_ms(16)) == (10.0, 10.0)
    estimator.saw_step(30.0, 6, 0)
    assert estimator.step_ms(4) == 20.0
    estimator.saw_step(12.0, 3, 0)  # nearer now
    assert estimator.step_ms(4) == pytest.approx(18.0)


def test_one_late_step_changes_little() -> None:
    estimator = taught()
    estimator.saw_step(1_000.0, 4, 0)
    assert estimator.step_ms(4) < 5 * step_ms(4)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 60, 200, 2_000])
def test_a_start_is_when_it_turns_out_to_be(count: int) -> None:
    rng = Random(count)
    jobs = [Job(rng.randrange(5, 60), rng.randrange(20, 200)) for _ in range(count)]
    truth_ms = starts_ms([*jobs, Job(10, 10)], 4, 0.5)[-1]
    works = [work(*job) for job in [*jobs, Job(10, 10)]]
    *_, estimate_ms = taught().starts_ms(4, [], works)
    assert estimate_ms == pytest.approx(truth_ms, rel=0.15, abs=60)
    if count > 50:
        assert taught().wait_ms([0.0] * 4, ahead_of(jobs)) == pytest.approx(truth_ms, rel=0.15)


def test_what_runs_is_waited_for() -> None:
    estimator = taught(slots=2)
    running = [work(0, 100), work(0, 40)]
    assert estimator.wait_ms(estimator.free_ms(2, running), Ahead(0, 0, 0)) == 40 * step_ms(2)
    assert estimator.wait_ms(estimator.free_ms(3, running), Ahead(0, 0, 0)) == 0
    starts = estimator.starts_ms(2, running, [work(0, 10), work(0, 1)])
    assert starts == [40 * step_ms(2), 50 * step_ms(2)]


def test_the_first_of_many_ends_long_before_one_of_mean_length() -> None:
    """Against ten thousand draws of what sixteen running answers have left."""
    rng = Random(5)
    values = [rng.lognormvariate(4, 0.8) for _ in range(32)]
    lengths = Distribution(values)
    running = [Work(0, 0, 1_000, lengths)] * 16
    (told_ms,) = taught(slots=16, prompt_ms=0).starts_ms(16, running, [work(0, 10)])
    first = sum(min(rng.choices(values, k=16)) for _ in range(10_000)) / 10_000
    assert told_ms == pytest.approx(first * step_ms(16), rel=0.25)
    assert told_ms < lengths.mean * step_ms(16) / 2


def test_one_late_first_step_is_outweighed_soon() -> None:
    estimator = Estimator()
    estimator.saw_step(500.0, 4, 0)
    for _ in range(10):
        estimator.saw_step(10.0, 4, 0)
    assert estimator.step_ms(4) < 60


def test_prompts_are_as_dense_as_they_were() -> None:
    estimator = Estimator()
    assert estimator.prompt_tokens(400) == 100
    for _ in range(50):
        estimator.saw_prompt("ada", 200, 100, 0)
    assert estimator.prompt_tokens(400) == 200


def test_what_is_cached_need_not_be_read() -> None:
    estimator = Estimator()
    assert estimator.unread("ada") == 1
    for _ in range(50):
        estimator.saw_prompt("ada", 200, 100, 80)
    assert estimator.unread("ada") == pytest.approx(0.2)
    assert estimator.unread("bob") == 1
    estimator.saw_prompt("bob", 0, 0, 0)
    assert estimator.unread("bob") == 1


def test_of_too_many_clients_those_not_heard_of_are_forgotten() -> None:
    estimator = Estimator()
    for number in range(CLIENTS_MAX + 1):
        estimator.saw_prompt(f"client {number}", 200, 100, 50)
    assert estimator.unread("client 0") == 1
    assert estimator.unread("client 1") == 0.5


def test_what_was_learnt_survives() -> None:
    estimator = taught()
    estimator.lengths.saw("ada", 20, 200)
    estimator.saw_prompt("ada", 200, 100, 80)
    kept = json.loads(json.dumps(estimator.to_json()))
    assert Estimator.from_json(kept).to_json() == kept
    damaged: Any
    for damaged in (
        {}, kept | {"prompt_ms": -1.0}, kept | {"steps_ms": {"four": 1.0}},
        kept | {"token_chars": 0}, kept | {"unread": {"ada": None}}, kept | {"steps_ms": []},
    ):  # fmt: skip
        with pytest.raises(UNREADABLE):
            Estimator.from_json(damaged)
