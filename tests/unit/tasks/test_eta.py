from __future__ import annotations

from edge.tasks.eta import Estimator


def test_the_line_moves_as_slots_come_free() -> None:
    estimator = Estimator(service_ms=1_000)
    assert estimator.wait_ms(1, 2, [300]) == 0
    assert [estimator.wait_ms(at, 2, [300, 700]) for at in (1, 2, 3, 4)] == [300, 700, 1_300, 1_700]
    assert estimator.wait_ms(2, 0, []) == 1_000


def test_the_mean_follows_what_is_observed() -> None:
    estimator = Estimator(service_ms=1_000, ms_per_token=10)
    estimator.observe(2_000, 10, 200)
    assert (estimator.service_ms, estimator.ms_per_token) == (1_200, 12)
    assert estimator.left_ms(0, 90, 100) == 120
    assert estimator.left_ms(9_000, 0, 100) == 12
    assert estimator.left_ms(0, 100, 100) == 0
