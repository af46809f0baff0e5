from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clock import DOWN_NS_MAX, NS_PER_MS, NS_PER_S, ManualClock
from edge.tasks import machine
from edge.tasks.effects import Effect, Enqueue, Wake
from edge.tasks.events import Due, Fail, Recover, Start
from edge.tasks.schedule import LOOK_AGAIN_MS
from edge.tasks.task import Options, Request, State, Task

REQUEST = Request("t", "c", "hi", None, None, Options())
HOUR_MS = 3_600_000
HOUR_NS = HOUR_MS * NS_PER_MS
DAY_NS = 24 * HOUR_NS
YEAR_NS = 365 * DAY_NS
JUMPS_NS = [DAY_NS, -DAY_NS, 10 * YEAR_NS, -10 * YEAR_NS]


def wake_ms(effects: list[Effect]) -> int:
    (effect,) = effects
    assert isinstance(effect, Wake)
    return effect.delay_ms


def sleep_until_due(task: Task, clock: ManualClock) -> int:
    """Wakes the task as its actor does; how long that took, in ms."""
    began_ns, effects = clock.elapsed_ns(), machine.apply(task, Recover(), clock.moment())
    while task.state is not State.AVAILABLE:
        delay_ms = wake_ms(effects)
        assert 0 <= delay_ms <= LOOK_AGAIN_MS
        clock.advance(delay_ms * NS_PER_MS)
        effects = machine.apply(task, Due(), clock.moment())
    assert isinstance(effects[0], Enqueue)
    return (clock.elapsed_ns() - began_ns) // NS_PER_MS


def scheduled(clock: ManualClock, in_ms: int = HOUR_MS) -> Task:
    return machine.accept(REQUEST, clock.moment(), in_ms)[0]


def reborn(clock: ManualClock, jump_ns: int) -> ManualClock:
    """The clock of a next life, which the wall clock sees begin so much later."""
    next_life = ManualClock(wall_ns=clock.wall_ns() + jump_ns)
    next_life.resume(clock.seen())
    return next_life


@pytest.mark.parametrize("jump_ns", JUMPS_NS)
def test_a_jump_in_a_running_node_makes_it_neither_early_nor_late(jump_ns: int) -> None:
    clock = ManualClock()
    task = scheduled(clock)
    clock.advance(HOUR_NS // 3)
    clock.set_wall(clock.wall_ns() + jump_ns)
    assert sleep_until_due(task, clock) == HOUR_MS * 2 // 3


def test_sleep_of_the_machine_counts() -> None:
    clock = ManualClock()
    task = scheduled(clock)
    machine.apply(task, Due(), clock.moment())
    clock.sleep(2 * HOUR_NS)
    # The timer that was set before knows nothing of it, and is late by a minute at most.
    clock.advance(LOOK_AGAIN_MS * NS_PER_MS)
    machine.apply(task, Due(), clock.moment())
    assert task.state.value == "available"


@pytest.mark.parametrize(
    ("off_ns", "left_ms"),
    [
        (0, HOUR_MS),
        (HOUR_NS // 2, HOUR_MS // 2),
        (2 * HOUR_NS, 0),
        (DOWN_NS_MAX, 0),
        (DOWN_NS_MAX + 1, HOUR_MS),
        (10 * YEAR_NS, HOUR_MS),
        (-1, HOUR_MS),
        (-DAY_NS, HOUR_MS),
        (-10 * YEAR_NS, HOUR_MS),
    ],
)
def test_over_a_restart_the_wall_clock_counts_as_far_as_it_is_believed(
    off_ns: int, left_ms: int
) -> None:
    clock = ManualClock()
    task = scheduled(clock, 2 * HOUR_MS)
    clock.advance(HOUR_NS)
    assert sleep_until_due(task, reborn(clock, off_ns)) == left_ms


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["run", "set", "restart"]), st.integers(-40 * YEAR_NS, 40 * YEAR_NS)
        ),
        max_size=8,
    ),
    st.integers(1, 366 * 24 * HOUR_MS),
)
def test_whatever_the_wall_clock_does_nobody_waits_longer_than_asked(
    steps: list[tuple[str, int]], in_ms: int
) -> None:
    clock = ManualClock()
    task = scheduled(clock, in_ms)
    ran_ns = 0
    for step, ns in steps:
        if step == "run":
            clock.advance(abs(ns) % (20 * DAY_NS))
            ran_ns += abs(ns) % (20 * DAY_NS)
        elif step == "set":
            clock.set_wall(clock.wall_ns() + ns)
        else:
            clock = reborn(clock, ns)
        (effect,) = machine.apply(task, Recover(), clock.moment())
        assert isinstance(effect, Wake)
        left_ns = (task.due_ns or 0) - clock.moment().schedule_ns
        assert left_ns <= in_ms * NS_PER_MS - ran_ns


def test_a_pause_before_another_attempt_is_kept_in_the_same_way() -> None:
    clock = ManualClock()
    task, _ = machine.accept(REQUEST, clock.moment())
    machine.apply(task, Start(), clock.moment())
    effects = machine.apply(task, Fail("x", "y", True, HOUR_MS), clock.moment())
    assert wake_ms(effects[-1:]) == LOOK_AGAIN_MS
    assert sleep_until_due(task, reborn(clock, -YEAR_NS)) == HOUR_MS


def test_who_is_asked_too_soon_waits_on_and_never_for_less_than_a_millisecond() -> None:
    clock = ManualClock()
    task = scheduled(clock, 5)
    clock.advance(5 * NS_PER_MS - 1)
    assert wake_ms(machine.apply(task, Due(), clock.moment())) == 1
    clock.advance(1)
    machine.apply(task, Due(), clock.moment())
    assert task.state.value == "available"


def test_the_date_that_is_shown_follows_the_wall_clock() -> None:
    clock = ManualClock(wall_ns=0)
    task = scheduled(clock)
    assert task.scheduled_ns == HOUR_NS
    clock.set_wall(50 * YEAR_NS)
    clock.advance(LOOK_AGAIN_MS * NS_PER_MS)
    machine.apply(task, Due(), clock.moment())
    assert task.scheduled_ns == 50 * YEAR_NS + HOUR_NS
    assert task.created_ns == 0


@pytest.mark.parametrize(
    ("wall_ns", "left_ms"),
    [
        (1_000 * NS_PER_S, HOUR_MS),
        (1_000 * NS_PER_S + HOUR_NS // 4, HOUR_MS * 3 // 4),
        (1_000 * NS_PER_S + 2 * HOUR_NS, 0),
        (0, HOUR_MS),
        (50 * YEAR_NS, 0),
    ],
)
def test_one_stored_before_schedules_were_counted_waits_for_its_date_within_bounds(
    wall_ns: int, left_ms: int
) -> None:
    created_ns = 1_000 * NS_PER_S
    task = Task(REQUEST, State.SCHEDULED, created_ns, scheduled_ns=created_ns + HOUR_NS)
    clock = ManualClock(wall_ns=wall_ns)
    assert sleep_until_due(task, clock) == left_ms
