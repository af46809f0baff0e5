"""When to try again: exponential backoff with a cap and jitter.

The shape is Oban's (a wait that doubles with each attempt, spread by a random part so that tasks
which failed together do not come back together); the base is short, because a person is watching.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

EXPONENT_MAX: Final = 30
"""Doubling further than this only makes large numbers; the cap has long taken over."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``base_ms`` is the wait after the first failure, ``max_ms`` bounds every wait before jitter,
    ``jitter`` is the largest share that chance may add."""

    base_ms: int = 1_000
    max_ms: int = 300_000
    jitter: float = 0.1

    def delay_ms(self, attempt: int, rng: Random) -> int:
        """How long to wait after attempt number `attempt` (from 1) has failed.

        >>> RetryPolicy(base_ms=1000, max_ms=5000, jitter=0.0).delay_ms(3, Random(1))
        4000
        """
        if attempt < 1:
            raise ValueError(f"attempts count from 1, got {attempt}")
        steady_ms = min(self.max_ms, self.base_ms * 2 ** min(attempt - 1, EXPONENT_MAX))
        return int(steady_ms * (1 + self.jitter * rng.random()))
