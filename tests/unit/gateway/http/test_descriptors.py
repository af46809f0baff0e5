from __future__ import annotations

import subprocess
import sys

import pytest

from edge.gateway.http.descriptors import OWN_DESCRIPTORS, places_for_clients

RAISE = "from edge.gateway.http.descriptors import raise_limit; print(raise_limit())"


def limit_under(*ulimits: str) -> int:
    """What a process under these limits has after raising its own."""
    script = "".join(f"ulimit {each} && " for each in ulimits) + 'exec "$0" -c "$1"'
    command = ["sh", "-c", script, sys.executable, RAISE]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_the_soft_limit_becomes_the_hard_one() -> None:
    assert limit_under("-Sn 64", "-Hn 256") == 256
    assert limit_under("-n 128") == 128


@pytest.mark.parametrize(
    ("limit", "wanted", "places"),
    [
        (1_048_576, 16_384, 16_384),
        (16_384 + OWN_DESCRIPTORS, 16_384, 16_384),
        (16_383 + OWN_DESCRIPTORS, 16_384, 16_383),
        (1_024, 16_384, 1_024 - OWN_DESCRIPTORS),
        (128, 16_384, 128 - OWN_DESCRIPTORS),
        (64, 16_384, 16),
        (128, 16, 16),
    ],
)
def test_what_is_left_for_clients(
    limit: int, wanted: int, places: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert places_for_clients(limit, wanted) == places
    assert ("LimitNOFILE" in caplog.text) == (places < wanted)
