"""Who watches a waiting task is told its place when that says something new."""

from __future__ import annotations

import pytest

from edge.clock import NS_PER_MS
from edge.services.task.forecast import NEAR_MAX
from edge.services.task.position_news import FAR_MAX, FAR_SHARE
from tests.support.desk import PUSH_MS, Desk


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.teach(10.0, 1)
    desk.turns.engine_up(1)
    return desk


def watch(desk: Desk, *names: str) -> None:
    for name in names:
        desk.turns.news.watch(name)


def steps(desk: Desk, count: int, step_ms: int = 10) -> None:
    """The engine makes steps, of so long each."""
    for _ in range(count):
        desk.clock.advance(step_ms * NS_PER_MS)
        desk.turns.saw_step(1, 0, 1)
        desk.work()


def test_places_are_told_when_they_are_new_and_not_too_often(desk: Desk) -> None:
    for name in "abc":
        desk.wait(name)
    watch(desk, "b", "c")
    desk.advance(PUSH_MS - 1)
    assert desk.told("c") == []
    desk.advance(1)
    assert [place.position for place in desk.told("c")] == [2]
    desk.advance(10 * PUSH_MS)
    assert len(desk.told("c")) == 1, "nothing has changed"
    desk.turns.withdraw("b")
    desk.wait("d")
    desk.turns.withdraw("d")
    desk.advance(PUSH_MS)
    assert [place.position for place in desk.told("c")] == [2, 1]
    assert len(desk.told("b")) == 1


def test_who_counts_down_by_itself_is_not_told_what_it_knows(desk: Desk) -> None:
    running = desk.wait("a", most=1_000)
    desk.wait("b")
    watch(desk, "b")
    desk.advance(PUSH_MS)
    assert len(desk.told("b")) == 1
    for _ in range(800):
        running.tokens.append(0)
        steps(desk, 1)
    # What was told first counts the half second during which no step was made.
    assert len(desk.told("b")) <= 3


def test_who_counts_down_is_corrected_when_that_is_wrong(desk: Desk) -> None:
    desk.wait("a", most=1_000)
    desk.wait("b")
    watch(desk, "b")
    desk.advance(PUSH_MS)
    # The engine has become five times slower, and the running task does not come any further.
    steps(desk, 40, step_ms=50)
    told = desk.told("b")
    assert len(told) >= 3
    assert told[-1].eta_ms is not None
    assert told[-1].eta_ms > 40_000
    assert len(told) <= 1 + 40 * 50 // PUSH_MS, "at most twice a second"


def test_an_engine_that_is_late_is_news(desk: Desk) -> None:
    desk.wait("a")
    desk.wait("b")
    watch(desk, "b")
    desk.advance(PUSH_MS)
    desk.turns.engine_down("restarting: it died", 1_000)
    desk.advance(PUSH_MS)
    down = desk.told("b")[-1]
    assert down.waits_for == "the engine is restarting: it died"
    assert down.eta_ms is not None
    assert down.eta_ms > 3_000
    for _ in range(8):
        desk.advance(PUSH_MS)
    heard = len(desk.told("b"))
    assert heard == 2, "it counts down by itself"
    for _ in range(20):
        desk.advance(PUSH_MS)
    assert len(desk.told("b")) > heard
    desk.turns.engine_down("given up: it dies again and again")
    desk.advance(PUSH_MS)
    assert desk.told("b")[-1].eta_ms is None
    desk.advance(PUSH_MS)
    assert desk.clock.timers_pending() == 0, "nothing is expected to change"


def test_who_is_not_watched_any_more_is_not_told(desk: Desk) -> None:
    desk.wait("a")
    desk.wait("b")
    watch(desk, "b")
    desk.turns.news.unwatch("b")
    desk.wait("c")
    desk.advance(10 * PUSH_MS)
    assert desk.told("b") == []
    watch(desk, "nobody")
    assert desk.clock.timers_pending() == 0


def test_the_near_ones_are_told_exactly_and_the_next_one_is_far(desk: Desk) -> None:
    _, ref = desk.ear()
    desk.wait("running")
    for number in range(NEAR_MAX + 1):
        desk.wait(f"{number}", ref=None if number >= NEAR_MAX - 1 else ref)
    last_near, first_far = f"{NEAR_MAX - 1}", f"{NEAR_MAX}"
    watch(desk, last_near, first_far)
    desk.advance(PUSH_MS)
    assert [place.position for place in desk.told(last_near)] == [NEAR_MAX]
    assert [place.position for place in desk.told(first_far)] == [NEAR_MAX + 1]
    desk.turns.withdraw("0")
    desk.advance(PUSH_MS)
    assert [place.position for place in desk.told(last_near)] == [NEAR_MAX, NEAR_MAX - 1]
    assert [place.position for place in desk.told(first_far)] == [NEAR_MAX + 1, NEAR_MAX]


def test_those_far_back_are_told_a_few_at_a_time_and_in_steps_that_fit(desk: Desk) -> None:
    desk.turns.engine_down("given up: no model")  # so that no estimate changes
    far = [f"far {number}" for number in range(2 * FAR_MAX)]
    _, ref = desk.ear()
    for number in range(2 * NEAR_MAX):
        desk.wait(f"near {number}", ref=ref)
    for name in far:
        desk.wait(name)
    watch(desk, *far)

    def told() -> list[int]:
        return [len(desk.told(name)) for name in far]

    desk.advance(PUSH_MS)
    assert told() == [1] * FAR_MAX + [0] * FAR_MAX
    desk.advance(PUSH_MS)
    assert told() == [1] * 2 * FAR_MAX
    step = (2 * NEAR_MAX + 1) // FAR_SHARE
    for number in range(step - 1):
        desk.turns.withdraw(f"near {number}")
    for _ in range(5):
        desk.advance(PUSH_MS)
    assert told() == [1] * 2 * FAR_MAX, "less than a twentieth says nothing"
    desk.turns.withdraw("near 100")
    for _ in range(5):
        desk.advance(PUSH_MS)
    assert told()[0] == 2
    assert desk.clock.timers_pending() == 0, "until there is news"
