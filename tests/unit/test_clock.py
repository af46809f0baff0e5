from __future__ import annotations

import pytest

from edge.clock import ManualClock, SystemClock


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
