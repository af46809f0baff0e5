from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from edge.tasks.kinds import Kinds, check_all
from edge.tasks.task import State


@dataclass(frozen=True)
class Thing:
    number: int
    share: float
    name: str | None
    flag: bool
    state: State
    parts: tuple[str, ...]
    inner: Thing | None = None


GOOD = Thing(1, 0.5, "a", True, State.AVAILABLE, ("a",))


@pytest.mark.parametrize(
    "changes",
    [{}, {"share": 5}, {"name": None}, {"flag": False}, {"parts": ()}, {"inner": GOOD}],
)
def test_what_the_annotations_allow(changes: dict[str, Any]) -> None:
    kinds = Kinds(Thing)
    kinds.check(replace(GOOD, **changes))
    kinds.check(replace(GOOD, **changes))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("number", True), ("number", 1.0), ("number", None), ("number", "1"), ("share", "0.5"),
        ("share", True), ("name", 1), ("name", ["a"]), ("flag", 1), ("flag", None),
        ("state", "available"), ("parts", ["a"]), ("parts", None), ("inner", {}),
    ],
)  # fmt: skip
def test_what_they_do_not(name: str, value: Any) -> None:
    kinds = Kinds(Thing)
    kinds.check(GOOD)
    with pytest.raises(TypeError, match=name):
        kinds.check(replace(GOOD, **{name: value}))
    kinds.check(GOOD)


def test_all_of_one_kind() -> None:
    check_all((), int)
    check_all((1, 2), int)
    for values in ((1, True), (1, None), ("1",)):
        with pytest.raises(TypeError):
            check_all(values, int)
