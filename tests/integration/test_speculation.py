"""Guesses at what comes next, in the real worker: fewer steps, and the same text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.engine.messages import Ready, Sampling
from tests.integration.test_worker import PREFIX
from tests.support.random_gguf import write_random_gguf
from tests.support.worker import GREEDY, Worker, ask

REPEATS = 'root ::= ("one, two and three; "){40}'


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    model = write_random_gguf(tmp_path / "nano.gguf")
    workers: list[Worker] = []

    def make(*flags: str) -> Worker:
        workers.append(Worker(model, *flags))
        return workers[-1]

    yield make
    for worker in workers:
        worker.close()


def test_guesses_change_nothing_but_the_number_of_steps(start: Callable[..., Worker]) -> None:
    sampling = Sampling(max_tokens=150, temperature=0.0, grammar=REPEATS)
    with_guesses, without = start(), start("--no-speculation")
    for worker in (with_guesses, without):
        assert isinstance(worker.next(), Ready)
        ended = worker.run(ask(1, PREFIX, sampling))
        assert (ended.completion_tokens, len(worker.tokens(1))) == (150, 150)
    assert with_guesses.tokens(1) == without.tokens(1)
    assert with_guesses.text(1) == without.text(1)
    assert len(with_guesses.steps) < 0.8 * len(without.steps)
    # What was cut off is not in the cache that the next goes on in.
    for worker in (with_guesses, without):
        worker.run(ask(2, PREFIX + worker.text(1)[:20], GREEDY))
    assert with_guesses.tokens(2) == without.tokens(2)


def test_what_a_seed_says_is_not_guessed(start: Callable[..., Worker]) -> None:
    worker = start()
    assert isinstance(worker.next(), Ready)
    worker.run(ask(1, PREFIX, Sampling(150, temperature=0.7, seed=5, grammar=REPEATS)))
    told = [len(each.tokens) for step in worker.steps for each in step.outputs if each.tokens]
    assert told == [1] * 150


def test_an_end_within_a_guess_is_the_end(start: Callable[..., Worker]) -> None:
    worker = start()
    assert isinstance(worker.next(), Ready)
    worker.run(ask(1, PREFIX, Sampling(max_tokens=60, temperature=0, grammar=REPEATS)))
    for key, length in enumerate(range(40, 56), 2):
        worker.run(ask(key, PREFIX, Sampling(length, temperature=0, grammar=REPEATS)))
        assert worker.tokens(key) == worker.tokens(1)[:length]
    stopping = Sampling(60, temperature=0, grammar=REPEATS, stop=("and three; one, two and",))
    assert worker.run(ask(99, PREFIX, stopping)).reason == "stop"
    assert worker.text(99) == "one, two "
