from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from edge.gateway.requests import read

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_what_a_request_says_of_itself_is_taken() -> None:
    asked = read(make_mocked_request("GET", "/", {"X-Request-Id": "mine", "Traceparent": TRACE}))
    assert (asked.request_id, asked.traceparent) == ("mine", TRACE)
    assert (asked.cause, asked.task_id) == (None, None)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("X-Request-Id", "one"), ("x-request-id", "two"), ("traceparent", TRACE)] * 2,
        [("X-Request-Id", "a b"), ("traceparent", "00-1-2-3")],
    ],
)
def test_what_says_nothing_is_ignored(headers: list[tuple[str, str]]) -> None:
    asked = read(make_mocked_request("GET", "/", CIMultiDict(headers)))
    assert asked.request_id.startswith("req_")
    assert asked.traceparent is None
