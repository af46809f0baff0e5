"""The last tokens of a text, for what looks back at them. Pure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


class RecentTokens:
    """The last `lookback` tokens of those that were added."""

    def __init__(self, lookback: int) -> None:
        self._tokens: deque[int] = deque(maxlen=lookback)
        self._times: Counter[int] = Counter()
        self._different: NDArray[np.int32] | None = None

    def add(self, tokens: Iterable[int]) -> None:
        """In their order."""
        for token in tokens:
            if len(self._tokens) == self._tokens.maxlen:
                self._forget(self._tokens.popleft())
            self._tokens.append(token)
            self._times[token] += 1
            if self._times[token] == 1:
                self._different = None

    def _forget(self, token: int) -> None:
        self._times[token] -= 1
        if not self._times[token]:
            del self._times[token]
            self._different = None

    @property
    def different(self) -> NDArray[np.int32]:
        """Each of them once, in any order. It is not to be changed."""
        if self._different is None:
            self._different = np.fromiter(self._times, np.int32, len(self._times))
        return self._different
