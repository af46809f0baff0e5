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
from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
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
_SHARE_MAX: Final = 0.9
"""Nobody is told that the engine will do nothing but what comes later."""


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
        others_ms = self._all.at(now_ms) * weight - told_apart_ms
        # Of two sums of the same numbers one may be larger by a rounding.
        return flows, others_ms if others_ms > 1e-9 else 0.0


class Newcomers:
    """Those who may come while others wait: of each client where it would start now, in virtual
    time, and its rate; ``others_ms`` is the rate of all that are not told apart. An estimate costs
    a few microseconds, however many they are."""

    def __init__(self, flows: Iterable[tuple[float, Rate]], others_ms: float, slots: int) -> None:
        ordered = sorted(flows)
        self._slots = max(1, slots)
        self._others_ms = others_ms
        self._tags = [tag for tag, _ in ordered]
        # Of the first so many: rates, what a token of each takes, the same times its tag.
        self._rates = list(accumulate((rate.work_ms for _, rate in ordered), initial=0.0))
        self._tokens = list(accumulate((rate.token_ms for _, rate in ordered), initial=0.0))
        products = (tag * rate.token_ms for tag, rate in ordered)
        self._products = list(accumulate(products, initial=0.0))

    def delayed_ms(self, wait_ms: float, below_tag: float, last_tokens: float) -> float:
        """How long a wait becomes when all who start below this tag go first.

        While it is longer more of them come; but none with more than what fits below the tag, and
        one task more, which has ``last_tokens``."""
        at = bisect_left(self._tags, below_tag)
        if not at:
            return wait_ms
        share = (self._rates[at] + self._others_ms) / self._slots
        longer_ms = wait_ms / (1 - min(_SHARE_MAX, share))
        if self._others_ms:
            return longer_ms
        work_ms = (below_tag + last_tokens) * self._tokens[at] - self._products[at]
        return min(longer_ms, wait_ms + work_ms / self._slots)
