"""Counts what is alive of a kind, so that a test can say that nothing is left."""

from __future__ import annotations

import gc
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def alive(*kinds: type) -> Counter[str]:
    """How many objects of these classes are in memory, by the name of their class; also those that
    `gc.freeze` has hidden from the collector."""
    gc.unfreeze()
    return Counter(type(each).__name__ for each in gc.get_objects() if type(each) in kinds)


@contextmanager
def without_collector() -> Iterator[None]:
    """For the time of the block an object goes when nobody points to it, and only then: what points
    to itself in a circle stays."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def kept_by_the_house() -> Counter[str]:
    """How many objects there are of each of our classes, and how many entries in all that each of
    their attributes holds: ``Tasks``, ``Tasks._live_tasks`` and so on."""
    gc.collect()
    gc.unfreeze()
    found: Counter[str] = Counter()
    for each in gc.get_objects():
        kind = type(each)
        if str(kind.__module__).startswith("edge."):
            found[kind.__name__] += 1
            for name, value in _attributes(each):
                found[f"{kind.__name__}.{name}"] += _entries(value)
    return +found


def _entries(value: object) -> int:
    """Of a container and of those in it."""
    if isinstance(value, dict):
        return len(value) + sum(_entries(each) for each in value.values() if _holds(each))
    if isinstance(value, list | set | frozenset | deque | tuple):
        return len(value) + sum(_entries(each) for each in value if _holds(each))
    return 0


def _holds(value: object) -> bool:
    return isinstance(value, dict | list | set | frozenset | deque | tuple)


def _attributes(each: Any) -> Iterator[tuple[str, object]]:
    for kind in type(each).__mro__:
        names = kind.__dict__.get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if hasattr(each, name):
                yield name, getattr(each, name)
    yield from getattr(each, "__dict__", {}).items()
