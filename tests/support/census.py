"""Counts what is alive of a kind, so that a test can say that nothing is left."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


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
