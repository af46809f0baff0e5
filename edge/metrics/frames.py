"""How long it takes from the engine's step to the frame that tells of it."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from edge.telemetry.buckets import Buckets

_NS_PER_S = 1_000_000_000


class FrameCollector(Collector):
    """Writes `Buckets` as a histogram."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    def collect(self) -> Iterator[Metric]:
        """The one family."""
        rows = [
            ("+Inf" if bound_ns is None else f"{bound_ns / _NS_PER_S:g}", count)
            for bound_ns, count in self._buckets.cumulative()
        ]
        yield HistogramMetricFamily(
            "elwift_step_to_frame_seconds",
            "From the engine's step to the frame of its text, held back ones included.",
            rows,
            self._buckets.sum_ns / _NS_PER_S,
        )
