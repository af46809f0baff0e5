"""Who asks, and whether it waits, wherever apps say that."""

from __future__ import annotations

from typing import Any, cast

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from edge.errors import Forbidden, InvalidRequest
from edge.gateway.access import Access
from edge.gateway.calls import entrance
from edge.gateway.calls.calls import Calls
from edge.gateway.calls.entrance import Entrance
from edge.gateway.calls.models import Models
from edge.gateway.facts import NodeFacts
from edge.settings import Settings

SECRET = "a-secret-of-some-length"
WAY = Entrance(
    cast(Calls, None), Access({"ada": SECRET}), Settings(), cast(NodeFacts, None),
    cast(Models, None),
)  # fmt: skip


def asked(*headers: tuple[str, str]) -> Any:
    return make_mocked_request("POST", "/v1/x", CIMultiDict(headers))


@pytest.mark.parametrize(
    ("name", "value"),
    [("Authorization", f"Bearer {SECRET}"), ("x-api-key", SECRET), ("api-key", SECRET)],
)
def test_a_key_is_found_wherever_it_is(name: str, value: str) -> None:
    assert WAY.client(asked((name, value))) == "ada"
    with pytest.raises(Forbidden):
        WAY.client(asked((name, "Bearer undefined")))
    with pytest.raises(Forbidden):
        WAY.client(asked())


@pytest.mark.parametrize(
    ("wishes", "keeps"),
    [
        ([], False), (["wait=5"], False), (["respond-async"], True), (["Respond-Async;x, a"], True),
        (["a", "b,respond-async"], True), (["respond-asynchronously"], False),
    ],
)  # fmt: skip
def test_who_does_not_mean_to_wait_says_so(wishes: list[str], keeps: bool) -> None:
    assert entrance._keeps(asked(*(("Prefer", wish) for wish in wishes))) is keeps


def test_a_models_name_is_text() -> None:
    assert entrance.model_of({}) is None
    assert entrance.model_of({"model": "a"}) == "a"
    with pytest.raises(InvalidRequest):
        entrance.model_of({"model": ["a"]})
