"""Thousands of worlds in which every promise has to be kept; and worlds with a defect, which have
to be found out."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.simulation import script
from tests.simulation.limits import BOUNDS
from tests.simulation.mutations import MUTATIONS, mutated
from tests.simulation.runner import first_failure, report, run, shrink, silence

SEEDS = 800
BATCH = 50


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_every_promise_is_kept(first: int) -> None:
    outcome = first_failure(range(first, first + BATCH))
    if outcome is not None:
        with silence():
            pytest.fail(report(shrink(outcome)), pytrace=False)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_defect_is_found(name: str) -> None:
    with mutated(name) as mutation:
        outcome = first_failure(mutation.seeds)
    assert outcome is not None
    assert outcome.failure in mutation.breaks, outcome.sentence


def test_every_bound_is_reached() -> None:
    """Small worlds first, and then as many of those with hundreds of tasks as it takes."""
    missing = set(BOUNDS)
    with silence():
        for seed in (*range(100), *filter(script.is_big, range(100, 2_000))):
            missing -= run(seed).reached
            if not missing:
                return
    pytest.fail(f"nobody came to these: {missing}")


def test_a_failure_is_shrunk_and_told() -> None:
    with mutated("a due task does not stand in line") as mutation, silence():
        outcome = first_failure(mutation.seeds)
        assert outcome is not None
        shrunk = shrink(outcome)
    assert shrunk.failure == outcome.failure
    assert len(shrunk.entries) < len(outcome.entries)
    told = report(shrunk)
    assert f"--seed {outcome.seed}" in told
    assert str(shrunk.entries[0][1]) in told


def test_the_same_seed_is_the_same_world() -> None:
    with silence():
        digests = [run(seed).digest for seed in (*range(20), *range(20))]
    assert digests[:20] == digests[20:]
    assert len(set(digests)) == 20
    assert script.draw(7) == script.draw(7)


def test_the_same_seed_is_the_same_world_in_another_process() -> None:
    told = set()
    for hash_seed in ("1", "2"):
        told.add(
            subprocess.run(
                [sys.executable, "-m", "tests.simulation", "--seed", "11"],
                env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
                stdout=subprocess.PIPE,
                check=True,
                text=True,
            ).stdout.splitlines()[0]
        )
    assert len(told) == 1
    assert "kept" in told.pop()
