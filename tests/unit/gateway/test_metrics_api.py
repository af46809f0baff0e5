from __future__ import annotations

import pytest

from edge.gateway.metrics_api import wants_openmetrics

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;"
    "q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (PROMETHEUS, True),
        ("application/openmetrics-text", True),
        ("Application/OpenMetrics-Text ; Version=1.0.0", True),
        ("text/plain, application/openmetrics-text; q=1", True),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text; q=0.000", False),
        ("application/openmetrics-text;version=\u00e9;q=0.1", True),
        ("", False),
        ("*/*", False),
        ("text/html", False),
        (";;;,,,", False),
        ("application/openmetrics-textual", False),
    ],
)
def test_openmetrics_is_for_who_names_it(accept: str, wanted: bool) -> None:
    assert wants_openmetrics(accept) is wanted
