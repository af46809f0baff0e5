from __future__ import annotations

from random import Random
from typing import Any, cast

import pytest

from edge import fallback_branch
from edge.inference import ModelFile
from edge.inference.shipped import embedded
from edge.services.fallback import FallbackActor
from edge.services.task.turns import Turns
from edge.settings import Settings
from edge.storage import Store
from edge.telemetry import Telemetry

TINY = embedded()[0]
OWN = ModelFile("own", TINY.path.with_name("own.gguf"), 0, 0)


def fallback_of(model: ModelFile, **settings: Any) -> FallbackActor | None:
    """The fallback that these settings lead to, if they want one."""
    chosen = Settings()
    for name, value in settings.items():
        setattr(chosen.fallback, name, value)
    specs = fallback_branch.children(
        chosen, cast(Turns, None), cast(Store, None), Telemetry(), model, None, Random()
    )
    if not specs:
        return None
    assert [spec.name for spec in specs] == ["outage", "standby", "fallback"]
    assert all(spec.own_budget for spec in specs)
    fallback = specs[-1].start()
    assert isinstance(fallback, FallbackActor)
    return fallback


def test_no_fallback_is_wanted() -> None:
    assert fallback_of(OWN, enabled=False) is None


@pytest.mark.parametrize(
    ("model", "embedded", "has_model"),
    [(OWN, True, True), (OWN, False, False), (TINY, True, False)],
)
def test_the_embedded_model_stands_in_for_others_only(
    model: ModelFile, embedded: bool, has_model: bool
) -> None:
    fallback = fallback_of(model, embedded=embedded)
    assert fallback is not None
    assert (fallback._model is not None) == has_model


def test_history_can_be_switched_off() -> None:
    for history in (True, False):
        fallback = fallback_of(OWN, history=history)
        assert fallback is not None
        assert (fallback._find is not None) == history


def test_what_the_second_engine_takes_is_known_before() -> None:
    settings = Settings()
    takes = fallback_branch.memory_bytes(settings, OWN)
    assert TINY.size_bytes < takes < TINY.size_bytes + 2**30
    assert fallback_branch.memory_bytes(settings, TINY) == 0
    settings.fallback.enabled = False
    assert fallback_branch.memory_bytes(settings, OWN) == 0
