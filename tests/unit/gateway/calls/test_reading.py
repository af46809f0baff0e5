"""What bodies say alike in all interfaces."""

from __future__ import annotations

from typing import Any

import pytest

from edge.conversation import Message
from edge.errors import InvalidRequest
from edge.gateway.calls import reading
from edge.gateway.calls.reading import Bounds, Caller
from edge.gateway.problems import MalformedBody
from edge.settings import Tasks
from tests.support.rows import uid

BOUNDS = Bounds(Tasks(), 4_096, "tiny")


def options(**fields: Any) -> Any:
    return reading.read_options(fields, BOUNDS, ("first", "second"))


def refused(field: str, **fields: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        options(**fields)
    assert caught.value.field == field


def test_a_body_is_an_object_whose_nulls_are_not_given() -> None:
    assert reading.read_object(b'{"a": null, "b": 1}') == {"b": 1}
    for data in (b"", b"[]", b"{", b"\xff"):
        with pytest.raises(MalformedBody):
            reading.read_object(data)


def test_limits_are_an_interfaces_own() -> None:
    assert options(first=3, second=4).max_tokens == 3
    assert options(second=4, max_tokens=5).max_tokens == 4
    assert options(max_tokens=5).max_tokens == 4_096
    refused("second", second=0)


def test_stops() -> None:
    assert options(stop="x").stop == ("x",)
    assert options(stop=["", "a", ""]).stop == ("a",)
    assert options(stop="").stop == ()
    assert len(options(stop=["a"] * reading.STOPS_MAX).stop) == reading.STOPS_MAX
    refused("stop", stop=["a"] * 10_000)
    refused("stop[1]", stop=["a", 1])
    refused("stop", stop=5)


def test_seeds() -> None:
    assert options(seed=-1).seed is None
    assert options(seed=42).seed == 42
    assert options(seed=2**63).seed == 2**63 % (2**32 - 1)
    refused("seed", seed=1.5)


def test_the_first_task_has_the_calls_own_id() -> None:
    assert reading.choice_id(uid(1), 0) == uid(1)
    assert len({reading.choice_id(uid(1), number) for number in range(9)}) == 9


def test_a_task_is_answered_by_the_model_that_was_named() -> None:
    caller = Caller("ada", None, "k", reading.fingerprint(b"{}"))
    said = (Message("user", "hi"),)
    request = reading.make({}, uid(1), caller, BOUNDS, options(), messages=said)
    assert (request.model, request.fallback, request.idempotency_key) == ("tiny", False, "k")
    with pytest.raises(InvalidRequest):
        reading.make({}, uid(1), caller._replace(key=""), BOUNDS, options(), messages=said)
