from __future__ import annotations

from prometheus_client import CollectorRegistry

from edge.metrics.frames import FrameCollector
from edge.telemetry.buckets import Buckets

NAME = "elwift_step_to_frame_seconds"


def test_it_is_a_histogram_in_seconds() -> None:
    registry, buckets = CollectorRegistry(), Buckets((20_000, 1_000_000))
    registry.register(FrameCollector(buckets))
    for duration_ns in (10_000, 500_000, 2_000_000_000):
        buckets.add(duration_ns)
    value = registry.get_sample_value
    counts = [value(f"{NAME}_bucket", {"le": le}) for le in ("2e-05", "0.001", "+Inf")]
    assert counts == [1, 2, 3]
    assert value(f"{NAME}_count") == 3
    assert value(f"{NAME}_sum") == 2.00051
