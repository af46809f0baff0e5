from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.telemetry.buckets import Buckets

BOUNDS_NS = (10, 100, 1_000)


def test_what_equals_a_bound_belongs_to_it() -> None:
    buckets = Buckets(BOUNDS_NS)
    for duration_ns in (0, 10, 11, 100, 1_000, 1_001):
        buckets.add(duration_ns)
    assert list(buckets.cumulative()) == [(10, 2), (100, 4), (1_000, 5), (None, 6)]
    assert (buckets.count, buckets.sum_ns) == (6, 2_122)


@given(st.lists(st.integers(0, 5_000)))
def test_it_counts_as_if_each_were_looked_at(durations_ns: list[int]) -> None:
    buckets = Buckets(BOUNDS_NS)
    for each in durations_ns:
        buckets.add(each)
    for bound_ns, count in buckets.cumulative():
        fitting = [each for each in durations_ns if bound_ns is None or each <= bound_ns]
        assert count == len(fitting)
