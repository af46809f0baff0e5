"""How often the engine may die: its restart budget, and the wait before each restart. Pure."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Final

from edge.clock import NS_PER_MS
from edge.inference.policy import LifecyclePolicy

EXPONENT_MAX: Final = 20
"""Doubling further only makes large numbers; the cap has long taken over."""


class Deaths:
    """Those that count, within the window of the policy. `rng` spreads the waits."""

    def __init__(self, policy: LifecyclePolicy, rng: Random) -> None:
        self._policy = policy
        self._rng = rng
        self._at_ns: deque[int] = deque()

    def forget(self) -> None:
        """Somebody has changed something: all begins anew."""
        self._at_ns.clear()

    def add(self, now_ns: int, *, fruitful: bool, explained: bool) -> int:
        """One more; how many count now. ``fruitful``: this engine had made a token. ``explained``:
        it is known which task ended it."""
        at_ns = self._at_ns
        if fruitful:
            at_ns.clear()
        elif explained:
            # It tells who caused the one before, too: only because of that one did the task run
            # alone.
            if at_ns:
                at_ns.pop()
        else:
            at_ns.append(now_ns)
        while at_ns and now_ns - at_ns[0] > self._policy.deaths_window_ms * NS_PER_MS:
            at_ns.popleft()
        return len(at_ns)

    @property
    def too_many(self) -> bool:
        """The budget is spent."""
        return len(self._at_ns) > self._policy.deaths_max

    def delay_ms(self) -> int:
        """The wait before the next engine is started."""
        policy = self._policy
        doublings = min(max(0, len(self._at_ns) - 1), EXPONENT_MAX)
        steady_ms = min(policy.backoff_max_ms, policy.backoff_base_ms * 2**doublings)
        return int(steady_ms * (1 + policy.jitter * self._rng.random()))
