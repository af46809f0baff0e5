"""A histogram for what happens hundreds of thousands of times a second: a tenth of what one of
`prometheus_client` costs, and read when somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate


class Buckets:
    """Counts durations by their upper ``bounds_ns``, in rising order, and those beyond them."""

    __slots__ = ("_bounds_ns", "_counts", "sum_ns")

    def __init__(self, bounds_ns: tuple[int, ...]) -> None:
        self._bounds_ns = bounds_ns
        self._counts = [0] * (len(bounds_ns) + 1)
        self.sum_ns = 0

    def add(self, duration_ns: int) -> None:
        """One more of this length. What equals a bound belongs to it, as in Prometheus."""
        self._counts[bisect_left(self._bounds_ns, duration_ns)] += 1
        self.sum_ns += duration_ns

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self._counts)

    def cumulative(self) -> Iterator[tuple[int | None, int]]:
        """For each bound how many were not longer; the last one is None, for all."""
        return zip((*self._bounds_ns, None), accumulate(self._counts), strict=True)
