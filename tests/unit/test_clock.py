from __future__ import annotations

import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clock import DOWN_NS_MAX, NS_PER_S, WALL_NS_MAX, ManualClock, Moment, Seen, SystemClock

DAY_NS = 24 * 3_600 * NS_PER_S
YEAR_NS = 365 * DAY_NS
JUMPS_NS = [0, DAY_NS, -DAY_NS, 10 * YEAR_NS, -10 * YEAR_NS, 10_000 * YEAR_NS]


def test_timers_run_at_their_instant_in_order() -> None:
    clock, seen = ManualClock(wall_ns=100), list[tuple[str, int]]()
    clock.call_after(5, lambda: seen.append(("b", clock.now_ns())))
    clock.call_after(5, lambda: seen.append(("c", clock.now_ns())))
    clock.call_after(2, lambda: clock.call_after(1, lambda: seen.append(("a", clock.now_ns()))))
    late = clock.call_after(6, lambda: seen.append(("never", 0)))
    clock.advance(5)
    assert seen == [("a", 3), ("b", 5), ("c", 5)]
    late.cancel()
    late.cancel()
    clock.advance(5)
    assert (len(seen), clock.now_ns(), clock.wall_ns(), clock.timers_pending()) == (3, 10, 110, 0)


def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="backwards"):
        ManualClock().advance(-1)


def test_a_clock_without_a_loop_has_no_timers() -> None:
    with pytest.raises(RuntimeError):
        SystemClock().call_after(1, print)


@pytest.mark.parametrize("jump_ns", JUMPS_NS)
def test_who_sets_the_wall_clock_changes_nothing_else(jump_ns: int) -> None:
    clock = ManualClock()
    clock.advance(5)
    before = clock.moment()
    clock.set_wall(clock.wall_ns() + jump_ns)
    after = clock.moment()
    assert after[:2] == before[:2]
    assert after.wall_ns == min(before.wall_ns + jump_ns, WALL_NS_MAX)


def test_sleep_is_time_though_timers_know_nothing_of_it() -> None:
    clock, rung = ManualClock(), list[int]()
    clock.call_after(10, lambda: rung.append(clock.elapsed_ns()))
    before = clock.moment()
    clock.sleep(100)
    assert clock.moment() == Moment(*(scale_ns + 100 for scale_ns in before))
    clock.advance(10)
    assert rung == [110]


def test_a_life_goes_on_where_the_last_was_seen() -> None:
    first = ManualClock()
    first.advance(DAY_NS)
    seen = first.seen()
    second = ManualClock(now_ns=7, wall_ns=seen.wall_ns + 50)
    second.resume(seen)
    assert second.moment() == Moment(DAY_NS, DAY_NS + 50, seen.wall_ns + 50)
    second.advance(3)
    third = ManualClock(wall_ns=second.wall_ns() + 4)
    third.resume(second.seen())
    assert third.moment()[:2] == (DAY_NS + 3, DAY_NS + 57)


@pytest.mark.parametrize(
    ("off_ns", "believed"),
    [
        (0, True),
        (DAY_NS, True),
        (DOWN_NS_MAX, True),
        (DOWN_NS_MAX + 1, False),
        (10 * YEAR_NS, False),
        (-1, False),
        (-DAY_NS, False),
        (-10 * YEAR_NS, False),
    ],
)
def test_the_wall_clock_is_believed_about_a_pause_within_bounds(
    off_ns: int, believed: bool
) -> None:
    seen = Seen(1_000, 2_000, 20 * YEAR_NS, 7, "this boot")
    for boot_id in ("", "another boot"):
        clock = ManualClock(wall_ns=seen.wall_ns + off_ns, boot_id=boot_id)
        clock.resume(seen)
        assert clock.moment()[:2] == (1_000, 2_000 + (off_ns if believed else 0))


@pytest.mark.parametrize("jump_ns", JUMPS_NS)
def test_a_machine_that_was_not_started_anew_knows_how_long_a_pause_was(jump_ns: int) -> None:
    seen = Seen(1_000, 2_000, 20 * YEAR_NS, DAY_NS, "this boot")
    wall_ns = seen.wall_ns + jump_ns
    clock = ManualClock(now_ns=DAY_NS + 5, wall_ns=wall_ns, boot_id="this boot")
    clock.resume(seen)
    assert clock.moment()[:2] == (1_000, 2_005)


def test_an_elapsed_time_that_went_back_is_not_believed() -> None:
    seen = Seen(1_000, 2_000, 50, DAY_NS, "this boot")
    clock = ManualClock(now_ns=DAY_NS - 1, wall_ns=60, boot_id="this boot")
    clock.resume(seen)
    assert clock.moment()[:2] == (1_000, 2_010)


def test_lives_on_one_machine_know_the_same_boot() -> None:
    first, second = SystemClock().seen(), SystemClock().seen()
    assert first.boot_id == second.boot_id
    assert bool(first.boot_id) == Path("/proc/sys/kernel/random/boot_id").exists()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["advance", "sleep", "set", "restart"]),
            st.integers(0, 40 * YEAR_NS),
        ),
        max_size=20,
    )
)
def test_whatever_happens_to_the_wall_clock_the_others_never_go_back(
    steps: list[tuple[str, int]],
) -> None:
    clock = ManualClock()
    moments = [clock.moment()]
    for step, ns in steps:
        if step == "advance":
            clock.advance(ns)
        elif step == "sleep":
            clock.sleep(ns)
        elif step == "set":
            clock.set_wall(ns)
        else:
            last, clock = clock.seen(), ManualClock(wall_ns=ns)
            clock.resume(last)
        moments.append(clock.moment())
    for earlier, later in pairwise(moments):
        assert earlier.run_ns <= later.run_ns
        assert earlier.schedule_ns <= later.schedule_ns
        # The schedule runs ahead by what is believed of pauses, and by no more.
        gained_ns = (later.schedule_ns - later.run_ns) - (earlier.schedule_ns - earlier.run_ns)
        assert 0 <= gained_ns <= DOWN_NS_MAX


@pytest.mark.parametrize("wall_ns", [-1, -(10**30), WALL_NS_MAX + 1, 10**30])
def test_a_wall_clock_beyond_all_bounds_is_shown_within_them(
    monkeypatch: pytest.MonkeyPatch, wall_ns: int
) -> None:
    shown_ns = 0 if wall_ns < 0 else WALL_NS_MAX
    assert ManualClock(wall_ns=wall_ns).wall_ns() == shown_ns
    monkeypatch.setattr(time, "time_ns", lambda: wall_ns)
    assert SystemClock().wall_ns() == shown_ns


def test_the_system_s_elapsed_time_counts_sleep() -> None:
    scale = time.CLOCK_BOOTTIME if sys.platform == "linux" else time.CLOCK_MONOTONIC
    before_ns = time.clock_gettime_ns(scale)
    elapsed_ns = SystemClock().elapsed_ns()
    assert before_ns <= elapsed_ns <= time.clock_gettime_ns(scale)
