"""DRY samplers are copies of few that are kept."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from edge.engine import dry as module
from edge.engine.dry import DrySamplers, Kind


class Api:
    """llama.cpp's part: numbers for samplers."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.set_up: list[tuple[Any, ...]] = []
        self.cloned: list[int] = []
        self.freed: list[int] = []

    def llama_sampler_init_dry(self, *given: Any) -> int:
        self.set_up.append((*given[:5], list(given[5])))
        return next(self._numbers)

    def llama_sampler_clone(self, sampler: int) -> int:
        self.cloned.append(sampler)
        return next(self._numbers)

    def llama_sampler_free(self, sampler: int) -> None:
        self.freed.append(sampler)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    api = Api()
    monkeypatch.setattr(module, "api", api)
    return api


def kind(lookback: int) -> Kind:
    return Kind(0.8, 1.75, 2, lookback, ("\n", "é"))


def test_one_of_each_kind_is_set_up_and_only_copies_are_given(api: Api) -> None:
    samplers = DrySamplers("vocabulary")
    given = [samplers.make(kind(each)) for each in (64, 64, 65)]
    assert api.set_up == [
        ("vocabulary", 0.8, 1.75, 2, lookback, [b"\n", "é".encode()]) for lookback in (64, 65)
    ]
    assert len({*given} | {*api.cloned}) == 5, "none of those kept is given"


def test_the_one_asked_for_longest_ago_goes(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_MAX", 2)
    samplers = DrySamplers("vocabulary")
    for lookback in (1, 2, 1, 3):
        samplers.make(kind(lookback))
    assert len(api.set_up) == 3
    (gone,) = api.freed
    assert gone == api.cloned[1]
    samplers.make(kind(1))
    assert len(api.set_up) == 3
