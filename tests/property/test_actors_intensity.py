"""The restart window against its plain definition."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.actors.intensity import Intensity
from edge.clock import NS_PER_S

GAPS_NS = st.lists(st.integers(0, 3 * NS_PER_S), max_size=60)


@settings(deadline=None, max_examples=200)
@given(gaps_ns=GAPS_NS, max_restarts=st.integers(0, 6), max_seconds=st.integers(0, 5))
def test_granted_exactly_when_the_window_has_room(
    gaps_ns: list[int], max_restarts: int, max_seconds: int
) -> None:
    intensity = Intensity(max_restarts, max_seconds)
    window: tuple[int, ...] = ()
    granted: list[int] = []
    now_ns = 0
    for gap_ns in gaps_ns:
        now_ns += gap_ns
        in_window = sum(now_ns - at_ns <= max_seconds * NS_PER_S for at_ns in granted)
        after = intensity.restart(window, now_ns)
        assert (after is not None) == (in_window < max_restarts)
        if after is not None:
            granted.append(now_ns)
            window = after
        assert len(window) <= max_restarts


@settings(deadline=None, max_examples=100)
@given(gaps_ns=GAPS_NS, max_restarts=st.integers(1, 6))
def test_slow_enough_restarts_are_always_granted(gaps_ns: list[int], max_restarts: int) -> None:
    """So many restarts spread over more than the window can go on for ever."""
    intensity = Intensity(max_restarts, 5.0)
    window: tuple[int, ...] = ()
    now_ns = 0
    for gap_ns in gaps_ns:
        now_ns += 5 * NS_PER_S // max_restarts + 1 + gap_ns
        after = intensity.restart(window, now_ns)
        assert after is not None
        window = after
