"""Runs seeds; a failure is shrunk to the fewest entries of its script that still bring it about."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from edge.clock import NS_PER_S
from tests.simulation import script
from tests.simulation.truth import Violation
from tests.simulation.world import World

SHRINK_S_MAX: Final = 30.0
TAIL: Final = 40
LINE_CHARS_MAX: Final = 300


@dataclass(frozen=True)
class Outcome:
    """One run. ``failure`` is None when every promise was kept, else which was broken, or the name
    of the exception; ``sentence`` says more. ``reached`` are the bounds that somebody came to."""

    seed: int
    entries: script.Script
    failure: str | None
    sentence: str
    trace: list[Any]
    reached: frozenset[str]

    @property
    def digest(self) -> str:
        """The same for the same trace, in any process."""
        return hashlib.sha256(repr(self.trace).encode()).hexdigest()[:16]


def run(seed: int, entries: script.Script | None = None) -> Outcome:
    """Runs the script of a seed, or what is left of it."""
    entries = script.draw(seed) if entries is None else entries
    world = World(seed, entries)
    failure, sentence = None, ""
    try:
        world.run()
    except Violation as violation:
        failure, sentence = violation.kind, str(violation)
    except Exception as error:
        failure, sentence = type(error).__name__, f"{type(error).__name__}: {error}"
    return Outcome(seed, entries, failure, sentence, world.trace, frozenset(world.reached))


def shrink(outcome: Outcome) -> Outcome:
    """The same failure by as few entries as can be found in some time: first without what came
    after it, then without whatever it does not need."""
    until = time.monotonic() + SHRINK_S_MAX
    end_us = outcome.trace[-1][0] // 1_000 if outcome.trace else 0
    before = tuple(entry for entry in outcome.entries if entry[0] <= end_us)
    best = _same(outcome, before) or outcome
    size = len(best.entries)
    while size:
        start = 0
        while start < len(best.entries) and time.monotonic() < until:
            fewer = best.entries[:start] + best.entries[start + size :]
            smaller = _same(best, fewer)
            if smaller is None:
                start += size
            else:
                best = smaller
        size //= 2
    return best


def _same(outcome: Outcome, entries: script.Script) -> Outcome | None:
    again = run(outcome.seed, entries)
    return again if again.failure == outcome.failure else None


def report(outcome: Outcome) -> str:
    """A failure for people: what, by which entries, and the last that happened before it."""
    whole = len(script.draw(outcome.seed))
    lines = [
        f"seed {outcome.seed}: {outcome.sentence}",
        f"by {len(outcome.entries)} of the script's {whole} entries:",
        *(f"  {at_us / 1e6:11.6f} s  {entry}" for at_us, entry in outcome.entries),
        "the end of the trace:",
        *map(_line, outcome.trace[-TAIL:]),
        f"again: python -m tests.simulation --seed {outcome.seed}",
    ]
    return "\n".join(lines)


def _line(event: tuple[Any, ...]) -> str:
    at_ns, what, *details = event
    text = f"  {at_ns / NS_PER_S:11.6f} s  {what:<18} {' '.join(map(str, details))}"
    return text if len(text) <= LINE_CHARS_MAX else text[:LINE_CHARS_MAX] + " …"


@contextmanager
def silence() -> Iterator[None]:
    """The node's own log says nothing: in a simulated world all kinds of things go wrong."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def first_failure(seeds: Iterable[int]) -> Outcome | None:
    """The first of these seeds that fails."""
    with silence():
        for seed in seeds:
            outcome = run(seed)
            if outcome.failure is not None:
                return outcome
    return None
