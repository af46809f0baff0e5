from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any, cast

import pytest

from edge.telemetry import EVENTS


@pytest.mark.parametrize("name", EVENTS)
def test_a_row_says_what_it_is(name: str) -> None:
    kind = EVENTS[name]
    room, _, what = name.partition(".")
    assert room
    assert what
    assert kind.what.endswith(".")
    assert not kind.measurements.keys() & kind.metadata.keys()
    assert kind.fields == {**kind.measurements, **kind.metadata}
    for field in kind.fields.values():
        isinstance(None, field)  # a type, or some


@pytest.mark.parametrize("name", EVENTS)
def test_what_is_measured_is_a_number(name: str) -> None:
    for field in EVENTS[name].measurements.values():
        assert isinstance(1, field)
        assert not isinstance("1", field)


def test_nobody_changes_it() -> None:
    kind = EVENTS["engine.step"]
    with pytest.raises(FrozenInstanceError):
        kind.what = "another"  # type: ignore[misc]  # that is what is tried
    for table in (EVENTS, kind.measurements, kind.metadata):
        with pytest.raises(TypeError):
            cast(dict[str, Any], table)["new"] = int
