"""Guesses at what a sequence says next, from what it has said and read before. Pure.

Who sums up, quotes or edits repeats long stretches of the prompt. So where the last few tokens have
stood before, what followed them there is a good guess, and costs nothing to make (prompt look-up
decoding; Saxena 2023). The guess goes into the step behind the token that is sure, and what the
model would have said after each of these is known one step later: as far as it agrees, several
tokens came of one step, and they are those that would have come one by one.

A guess costs its rows in the step: on a CPU half a step each, measured with SmolLM2-135M (13 ms
with one row, 20 with two, 63 with eight); on a GPU next to nothing. So a guess pays when more of
it was right than its price, its length follows what came of the one before, and whose guess did not
pay is left alone for a while, each time for longer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

GRAM_TOKENS: Final = 3
"""What has to have stood before. Two agree by chance too often, four find half as much."""
DRAFT_TOKENS_MIN: Final = 2
"""The first guess, and any after one that failed."""
ROWS_MAX: Final = 8
"""Of a step with guesses: of all who generate, their sure tokens and the guesses behind them."""
PAUSE_STEPS_MAX: Final = 64
"""For which who always fails is left alone: then a guess costs under a hundredth."""


class Drafter:
    """Of one sequence, which is begun with ``tokens``."""

    __slots__ = ("_follows", "_length", "_pause", "_tokens", "_wait")

    def __init__(self, tokens: Iterable[int]) -> None:
        self._tokens: list[int] = []
        self._follows: dict[tuple[int, ...], int] = {}
        self._length = DRAFT_TOKENS_MIN
        self._pause = 0
        self._wait = 0
        for token in tokens:
            self.add(token)

    def add(self, token: int) -> None:
        """The sequence goes on with it."""
        tokens = self._tokens
        if len(tokens) >= GRAM_TOKENS:
            self._follows[tuple(tokens[-GRAM_TOKENS:])] = len(tokens)
        tokens.append(token)

    def draft(self, most: int) -> tuple[int, ...]:
        """What may come next, of at most so many tokens; empty when there is no guess worth it.
        To be asked once for each step."""
        if self._wait:
            self._wait -= 1
            return ()
        start = self._follows.get(tuple(self._tokens[-GRAM_TOKENS:]))
        if start is None or most <= 0:
            return ()
        return tuple(self._tokens[start : start + min(most, self._length)])

    def saw(self, drafted: int, accepted: int, price: float) -> None:
        """So many of a guess were right. ``price`` is what a further row in a step costs, measured
        by what a token costs that comes without a guess."""
        if accepted > price * drafted:
            self._pause = 0
        else:
            self._pause = self._wait = min(PAUSE_STEPS_MAX, 2 * self._pause + 1)
        if accepted == drafted:
            self._length = min(ROWS_MAX - 1, 2 * self._length + 1)
        else:
            self._length = max(DRAFT_TOKENS_MIN, accepted)
