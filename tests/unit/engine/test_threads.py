"""How many threads a step gets, on boxes that others use, too."""

from __future__ import annotations

import pytest

from edge.clock import NS_PER_MS, NS_PER_S
from edge.engine.threads import WAIT_MAX_NS, Threads

STEP_NS = 8 * NS_PER_MS


class Box:
    """A box with some cores, of which others take ``busy``, and what an engine gets done on it."""

    def __init__(self, cores: int, busy: int = 0) -> None:
        self.cores, self.busy = cores, busy
        self.threads = Threads(cores)
        self.now_ns = 0
        self.steps = 0
        took_ns = {number: self.took_ns(number, 1) for number in self.threads.ladder()}
        self.threads.begin(1, took_ns, self.now_ns)

    def took_ns(self, threads: int, tokens: int) -> int:
        alone_ns = int(STEP_NS * tokens / threads**0.5)
        return alone_ns if threads + self.busy <= self.cores else 40 * alone_ns

    def run(self, seconds: float, tokens: int = 1) -> float:
        """Steps a second."""
        steps, end_ns = 0, self.now_ns + seconds * NS_PER_S
        while self.now_ns < end_ns:
            took_ns = self.took_ns(self.threads.now, tokens)
            self.now_ns += took_ns
            self.threads.saw(tokens, took_ns, self.now_ns)
            steps += 1
        return steps / seconds

    def best(self, tokens: int = 1) -> float:
        """Steps a second with the best number that does not change."""
        return NS_PER_S / min(self.took_ns(each, tokens) for each in self.threads.ladder())


@pytest.mark.parametrize("cores", [1, 2, 3, 8])
def test_a_quiet_box_gives_all_it_has(cores: int) -> None:
    box = Box(cores)
    assert box.threads.now == cores
    assert box.run(60) >= 0.97 * box.best()


@pytest.mark.parametrize("cores", [2, 8])
def test_beside_a_neighbour_nearly_as_fast_as_can_be(cores: int) -> None:
    box = Box(cores, busy=1)
    assert box.threads.now == cores // 2
    assert box.run(60) >= 0.9 * box.best()


def test_a_neighbour_that_comes_and_goes_is_noticed_soon() -> None:
    box = Box(2)
    box.run(5)
    box.busy = 1
    box.run(2)
    assert box.threads.now == 1
    assert box.run(30) >= 0.8 * box.best()
    box.busy = 0
    box.run(WAIT_MAX_NS / NS_PER_S)
    assert box.threads.now == 2
    assert box.run(30) >= 0.97 * box.best()


def test_one_late_step_is_nothing() -> None:
    box = Box(2)
    box.run(0.5)
    box.threads.saw(1, 10 * STEP_NS, box.now_ns)
    assert box.threads.now == 2


def test_a_text_that_grows_is_no_neighbour() -> None:
    box = Box(4)
    for percent in range(100, 1_000):
        took_ns = box.took_ns(4, 1) * percent // 100
        box.now_ns += took_ns
        number = box.threads.now
        box.threads.saw(1, took_ns if number == 4 else 2 * took_ns, box.now_ns)
    assert box.threads.now == 4


def test_prompts_are_compared_by_the_token() -> None:
    box = Box(2, busy=1)
    box.run(3, tokens=100)
    box.busy = 0
    box.run(70, tokens=120)
    assert box.threads.now == 2


def test_one_thread_is_never_too_many() -> None:
    box = Box(1)
    box.run(1)
    for _ in range(20):
        box.threads.saw(1, 50 * STEP_NS, box.now_ns)
    assert box.threads.now == 1


def test_a_trial_is_given_up_that_nothing_can_be_compared_with() -> None:
    box = Box(2)
    while box.threads.now == 2:
        box.run(0.001)
    box.run(0.001, tokens=8)  # never seen before, as all that come now
    assert box.threads.now == 2
    assert box.run(30, tokens=8) >= 0.9 * box.best(8)
