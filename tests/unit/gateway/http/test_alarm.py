from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.clock import ManualClock
from edge.gateway.http.alarm import Alarm


class Bell:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.rung_ns: list[int] = []
        self.alarm = Alarm(self.clock, lambda: self.rung_ns.append(self.clock.now_ns()))


def test_it_rings_once_at_the_time_that_was_set_last() -> None:
    bell = Bell()
    bell.alarm.set(10)
    bell.alarm.set(30)
    bell.alarm.set(20)
    bell.clock.advance(100)
    assert bell.rung_ns == [20]
    bell.alarm.set(150)
    bell.clock.advance(100)
    assert bell.rung_ns == [20, 150]


def test_a_later_time_needs_no_new_timer() -> None:
    bell = Bell()
    for due_ns in range(10, 1_000):
        bell.alarm.set(due_ns)
    assert bell.clock.timers_pending() == 1


def test_nothing_rings_that_was_taken_back() -> None:
    bell = Bell()
    bell.alarm.set(10)
    bell.alarm.set(None)
    bell.clock.advance(5)
    bell.alarm.set(50)
    bell.alarm.close()
    bell.clock.advance(100)
    assert bell.rung_ns == []
    assert bell.clock.timers_pending() == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(1, 20)), max_size=30))
def test_it_rings_as_a_timer_would_that_is_made_anew_each_time(
    moves: list[tuple[int, int | None]],
) -> None:
    bell = Bell()
    expected: list[int] = []
    due_ns: int | None = None
    for wait_ns, after_ns in moves:
        bell.clock.advance(wait_ns)
        if due_ns is not None and due_ns <= bell.clock.now_ns():
            expected.append(due_ns)
            due_ns = None
        due_ns = None if after_ns is None else bell.clock.now_ns() + after_ns
        bell.alarm.set(due_ns)
    bell.clock.advance(100)
    if due_ns is not None:
        expected.append(due_ns)
    assert bell.rung_ns == expected
