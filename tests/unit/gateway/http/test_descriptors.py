from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from edge.gateway.http.descriptors import OWN_DESCRIPTORS, places_for_clients, raise_limit
from edge.settings import Server

DEFAULT = Server().connections_max
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
    ("kernel_max", "soft", "raised"),
    [(1 << 24, 256, 1 << 20), (70_000, 256, 1 << 16), (10_240, 256, 10_240), (256, 256, 256)],
)
def test_where_there_is_no_hard_limit(
    kernel_max: int, soft: int, raised: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = (soft, resource.RLIM_INFINITY)

    def set_limits(_which: int, wanted: tuple[int, int]) -> None:
        nonlocal limits
        if wanted[0] > kernel_max:
            raise ValueError("more than the kernel has")
        limits = wanted

    monkeypatch.setattr(resource, "getrlimit", lambda _which: limits)
    monkeypatch.setattr(resource, "setrlimit", set_limits)
    assert raise_limit() == limits[0] == raised


@pytest.mark.parametrize(
    ("limit", "wanted", "places", "low"),
    [
        (1_048_576, DEFAULT, DEFAULT, False),
        (DEFAULT + OWN_DESCRIPTORS, DEFAULT, DEFAULT, False),
        (DEFAULT - 1 + OWN_DESCRIPTORS, DEFAULT, DEFAULT - 1, False),
        (10_240, DEFAULT, 10_240 - OWN_DESCRIPTORS, False),
        (10_240, DEFAULT + 1, 10_240 - OWN_DESCRIPTORS, True),
        (1_024, DEFAULT, 1_024 - OWN_DESCRIPTORS, True),
        (128, DEFAULT, 128 - OWN_DESCRIPTORS, True),
        (64, DEFAULT, 16, True),
        (128, 16, 16, False),
    ],
)
def test_what_is_left_for_clients(
    limit: int, wanted: int, places: int, low: bool, caplog: pytest.LogCaptureFixture
) -> None:
    assert places_for_clients(limit, wanted) == places
    assert ("LimitNOFILE" in caplog.text) == low
