"""Which texts go into one pass of an engine of embeddings. Pure.

A pass is a row of tokens with a sequence for each text. Nothing is padded, but llama.cpp has each
token look at all others of the pass and masks those of other texts, so the time that this takes
grows with the square of a pass: short texts are put together up to ``pass_tokens`` and no further,
though a single text may be longer. Below that a pass of several texts costs about as much as its
tokens, where each alone would pay for a whole round of the threads.
"""

from __future__ import annotations

from typing import NamedTuple


class Text(NamedTuple):
    """Text number ``place`` of the request ``key``, and its tokens, special ones included."""

    key: int
    place: int
    tokens: tuple[int, ...]


class Passes:
    """The texts that wait, in their order. A pass has one or several, ``sequences`` at most."""

    def __init__(self, pass_tokens: int, sequences: int) -> None:
        self._pass_tokens = pass_tokens
        self._sequences = sequences
        self._waiting: list[Text] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, text: Text) -> None:
        """The text waits from now on."""
        self._waiting.append(text)

    def drop(self, key: int) -> None:
        """Nobody wants the texts of this request any more."""
        self._waiting = [text for text in self._waiting if text.key != key]

    def take(self) -> list[Text]:
        """The next pass, whose texts wait no more; empty when none waits. Whoever has waited
        longest is always in it, then in their order all who still fit."""
        taken: list[Text] = []
        left: list[Text] = []
        tokens = 0
        for text in self._waiting:
            size = len(text.tokens)
            fits = len(taken) < self._sequences and tokens + size <= self._pass_tokens
            if fits or not taken:
                taken.append(text)
                tokens += size
            else:
                left.append(text)
        self._waiting = left
        return taken
