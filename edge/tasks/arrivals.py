"""How much work comes, and whose: what will go before a task that waits already.

Fair queueing lets a client that comes with a question pass another one's thousand. So whoever asks
how long the last of the thousand waits has to count with questions that nobody has asked yet. What
is known of them: at which rate each client has come with work so far, and that none can pass a task
with more than its share (`edge.tasks.line`): only with tasks that start, in virtual time, before
that one does.

Pure. Work is in milliseconds for which it holds a slot of the engine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

from edge.clock import NS_PER_MS

MEMORY_MS: Final = 300_000
"""After so long, what has come counts a third: long enough to tell a client that comes every minute
from chance, short enough for those who leave."""
SEEN_MS_MIN: Final = 60_000
"""Nobody's rate is known from a shorter time."""
FLOWS_MAX: Final = 32
"""Clients that are told apart, those that come with most; what others bring is one sum."""
BURST_TASKS_MAX: Final = 2
"""Of what a client brings at a time, that it may bring again at any time. A batch of a thousand
comes once, and then stands in the line, where it is counted."""
_ROUNDS: Final = 4


class Passing(NamedTuple):
    """What a client may pass a task with: so much work a millisecond, so much at most."""

    rate: float
    most_ms: float


class Rate(NamedTuple):
    """With how much work a client comes: so much a millisecond; a token of it is so much."""

    work_ms: float
    token_ms: float


class _Decaying:
    """A sum that forgets."""

    __slots__ = ("_at_ms", "_sum", "token_ms")

    def __init__(self, at_ms: float) -> None:
        self.token_ms = 0.0
        self._sum = 0.0
        self._at_ms = at_ms

    def add(self, amount: float, at_ms: float) -> None:
        self._sum = self.at(at_ms) + amount
        self._at_ms = at_ms

    def at(self, at_ms: float) -> float:
        return self._sum * math.exp((self._at_ms - at_ms) / MEMORY_MS)


class Arrivals:
    """Learns from those that come."""

    def __init__(self, now_ns: int) -> None:
        self._begun_ms = now_ns / NS_PER_MS
        self._all = _Decaying(self._begun_ms)
        self._flows: dict[str, _Decaying] = {}

    def came(self, flow: str, work_ms: float, tokens: float, waiting: int, now_ns: int) -> None:
        """A task of this client came, of which so many wait already."""
        if waiting >= BURST_TASKS_MAX:
            return
        now_ms = now_ns / NS_PER_MS
        self._all.add(work_ms, now_ms)
        known = self._flows.get(flow)
        if known is None:
            if len(self._flows) >= FLOWS_MAX:
                del self._flows[min(self._flows, key=lambda each: self._flows[each].at(now_ms))]
            known = self._flows[flow] = _Decaying(now_ms)
        known.add(work_ms, now_ms)
        known.token_ms = work_ms / max(1, tokens)

    def rates(self, now_ns: int) -> tuple[dict[str, Rate], float]:
        """Of each client that is told apart, and work a millisecond of all others together."""
        now_ms = now_ns / NS_PER_MS
        seen_ms = max(SEEN_MS_MIN, now_ms - self._begun_ms)
        weight = 1 / (MEMORY_MS * -math.expm1(-seen_ms / MEMORY_MS))
        flows = {
            flow: Rate(each.at(now_ms) * weight, each.token_ms)
            for flow, each in self._flows.items()
        }
        told_apart_ms = sum(each.work_ms for each in flows.values())
        return flows, max(0.0, self._all.at(now_ms) * weight - told_apart_ms)


def passed_ms(wait_ms: float, passing: Iterable[Passing], slots: int) -> float:
    """How long the wait becomes when these pass, with an engine of so many slots.

    While it is longer more of them come, each up to what it may pass with."""
    passing = list(passing)
    longer_ms = wait_ms
    for _ in range(_ROUNDS):
        work_ms = sum(min(each.rate * longer_ms, each.most_ms) for each in passing)
        longer_ms = wait_ms + work_ms / max(1, slots)
    return longer_ms
