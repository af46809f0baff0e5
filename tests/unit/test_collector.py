"""What is frozen, and that garbage among it is found after all."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from edge.collector import Collector


class Knot:
    """Part of a cycle of its own."""

    def __init__(self) -> None:
        self.me = self


@contextmanager
def running(collector: Collector) -> Iterator[None]:
    collector.start()
    try:
        yield
    finally:
        collector.stop()
        assert gc.get_freeze_count() == 0


def test_what_survived_once_is_not_looked_at_again() -> None:
    with running(Collector()):
        kept = [Knot() for _ in range(10_000)]
        gc.collect()
        assert len(gc.get_objects()) < 10_000
        assert len(kept) == 10_000


def test_garbage_that_was_never_frozen_is_found_at_once() -> None:
    with running(Collector()):
        seen = weakref.ref(Knot())
        gc.collect()
        assert seen() is None


def test_garbage_among_the_frozen_is_found_once_there_is_much() -> None:
    with running(Collector(frozen_min=0, count_every=1)):
        knot = Knot()
        seen = weakref.ref(knot)
        gc.collect()
        del knot
        gc.collect()
        assert seen() is not None, "it is frozen, and few are"
        much = [Knot() for _ in range(gc.get_freeze_count() + 1)]
        gc.collect()
        gc.collect()
        assert seen() is None
        del much
