from __future__ import annotations

from typing import Any

import orjson
import pytest

from edge.errors import InvalidRequest
from edge.gateway.openai.reasoning import KWARGS, variables


def told(effort: Any = None, kwargs: Any = None) -> Any:
    return orjson.loads(variables(effort, "reasoning_effort", kwargs) or "null")


def test_a_template_is_told_how_much_to_think() -> None:
    assert told() is None
    assert told("low") == {"enable_thinking": True, "reasoning_effort": "low"}
    assert told("none") == {"enable_thinking": False}
    assert told(kwargs={"enable_thinking": False, "x": 1}) == {"enable_thinking": False, "x": 1}
    assert told("high", {"enable_thinking": False})["enable_thinking"] is False
    assert told(kwargs={}) is None


@pytest.mark.parametrize(
    ("effort", "kwargs", "field"),
    [(1, None, "reasoning_effort"), (None, [], KWARGS), (None, {"tools": "x"}, f"{KWARGS}.tools")],
)
def test_what_is_wrong_is_named(effort: Any, kwargs: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        variables(effort, "reasoning_effort", kwargs)
    assert caught.value.field == field
