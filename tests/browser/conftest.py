"""One browser a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.browser import Browser, chromium, why_no_browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    reason = why_no_browser()
    if reason is not None:
        pytest.skip(f"no browser: {reason}")
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found
