from __future__ import annotations

from edge.actors.intensity import Intensity
from edge.clock import NS_PER_S


def test_so_many_restarts_and_not_one_more() -> None:
    intensity = Intensity(max_restarts=2, max_seconds=5)
    first = intensity.restart((), 0)
    assert first == (0,)
    second = intensity.restart(first, 1)
    assert second == (0, 1)
    assert intensity.restart(second, 2) is None


def test_a_restart_counts_up_to_and_including_the_end_of_its_window() -> None:
    intensity = Intensity(max_restarts=1, max_seconds=5)
    assert intensity.restart((0,), 5 * NS_PER_S) is None
    assert intensity.restart((0,), 5 * NS_PER_S + 1) == (5 * NS_PER_S + 1,)


def test_no_restarts_at_all() -> None:
    assert Intensity(max_restarts=0).restart((), 0) is None
