"""Estimates against an engine of which all is known."""

from __future__ import annotations

import json
from random import Random

import pytest

from edge.tasks.estimate import LENGTHS_MAX, STEP_MS_GUESS, Estimator, Job
from edge.tasks.ranked import Ahead


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


def test_one_late_step_changes_little() -> None:
    estimator = taught()
    estimator.saw_step(1_000.0, 4, 0)
    assert estimator.step_ms(4) < 5 * step_ms(4)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 60, 200, 2_000])
def test_a_start_is_when_it_turns_out_to_be(count: int) -> None:
    rng = Random(count)
    jobs = [Job(rng.randrange(5, 60), rng.randrange(20, 200)) for _ in range(count)]
    truth_ms = starts_ms([*jobs, Job(10, 10)], 4, 0.5)[-1]
    *_, estimate_ms = taught().starts_ms(4, [], [*jobs, Job(10, 10)])
    assert estimate_ms == pytest.approx(truth_ms, rel=0.15, abs=60)
    if count > 50:
        assert taught().wait_ms(4, [], ahead_of(jobs)) == pytest.approx(truth_ms, rel=0.15)


def test_what_runs_is_waited_for() -> None:
    estimator = taught(slots=2)
    running = [Job(0, 100), Job(0, 40)]
    assert estimator.wait_ms(2, running, Ahead(0, 0, 0)) == int(40 * step_ms(2))
    assert estimator.wait_ms(3, running, Ahead(0, 0, 0)) == 0
    starts = list(estimator.starts_ms(2, running, [Job(0, 10), Job(0, 1)]))
    assert starts == [40 * step_ms(2), 50 * step_ms(2)]


def test_prompts_are_as_dense_as_they_were() -> None:
    estimator = Estimator()
    assert estimator.prompt_tokens(400) == 100
    for _ in range(50):
        estimator.saw_prompt(200, 100)
    assert estimator.prompt_tokens(400) == 200


def test_answers_are_as_long_as_they_were() -> None:
    estimator = Estimator()
    assert estimator.output_tokens("ada", 200) == 100
    for _ in range(20):
        estimator.saw_answer("ada", 20, 200)
    assert estimator.output_tokens("ada", 200) == 20
    assert estimator.output_tokens("ada", 1) == 1
    assert estimator.output_tokens("bob", 200) == 100


def test_who_is_not_heard_of_is_forgotten() -> None:
    estimator = Estimator()
    for number in range(LENGTHS_MAX + 1):
        estimator.saw_answer(f"client {number}", 1, 10)
    assert len(estimator.to_json()["lengths"]) == LENGTHS_MAX
    assert estimator.output_tokens("client 0", 10) == 5


def test_what_was_learnt_survives() -> None:
    estimator = taught()
    estimator.saw_answer("ada", 20, 200)
    again = Estimator.from_json(json.loads(json.dumps(estimator.to_json())))
    assert again == estimator
    with pytest.raises(KeyError):
        Estimator.from_json({})
