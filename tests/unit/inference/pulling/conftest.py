"""A hub that runs, and what is pulled from it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.hub import Hub, running


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub to which nothing of this machine's own is sent."""
    for name in ("HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "HF_ENDPOINT", "HOME", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    with running(Hub()) as running_hub:
        yield running_hub
