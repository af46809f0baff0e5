"""Whether what was read from outside holds the kinds of values that its class promises."""

from __future__ import annotations

import types
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

_WIDER: Final = {float: (float, int)}
"""JSON writes 5.0 also as 5."""


class Kinds:
    """The kinds of a dataclass's values, by its annotations; of a tuple only that it is one."""

    def __init__(self, checked: type[Any]) -> None:
        hints = get_type_hints(checked)
        self._allowed = {field.name: _kinds(hints[field.name]) for field in fields(checked)}
        self._values = attrgetter(*self._allowed)
        # Values are of few combinations of kinds, and there may be a hundred thousand to check.
        self._good: set[tuple[type[Any], ...]] = set()

    def check(self, value: object) -> None:
        """TypeError with the name of the first value that is of another kind."""
        kinds = tuple(map(type, self._values(value)))
        if kinds in self._good:
            return
        for (name, allowed), kind in zip(self._allowed.items(), kinds, strict=True):
            if kind not in allowed:
                raise TypeError(f"{name} may not be {kind.__name__}")
        self._good.add(kinds)


def _kinds(hint: Any) -> tuple[type[Any], ...]:
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(kind for each in get_args(hint) for kind in _kinds(each))
    kind = get_origin(hint) or hint
    return _WIDER.get(kind, (kind,))


def check_all(values: tuple[Any, ...], kind: type[Any]) -> None:
    """TypeError unless all are of this very kind."""
    if not set(map(type, values)) <= {kind}:
        raise TypeError(f"one of them is not {kind.__name__}")
