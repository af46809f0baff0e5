"""What answers are made of."""

from __future__ import annotations

from typing import Any

import pytest

from edge.gateway.calls.forms import UNTIMED, Ended

USAGE = {"prompt_tokens": 1, "cached_tokens": 0, "completion_tokens": 2}


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        (None, "stop"),
        ("odd", "stop"),
    ],
)
def test_an_end_has_one_of_the_reasons_that_clients_know(reason: str | None, told: str) -> None:
    result: dict[str, Any] = {
        "text": "a", "finish_reason": reason, "usage": USAGE, "logprobs": None,
        "timings": {"queued_ms": 1.0}, "message": None,
    }  # fmt: skip
    ended = Ended.of({"result": result})
    assert ended == Ended("a", told, USAGE, None, {"queued_ms": 1.0})
    assert Ended("a", told, USAGE, None).timings == UNTIMED
