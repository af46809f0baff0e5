"""Sequences of tokens that know quickly how long a beginning they have in common. Pure.

Each keeps a mark for every block of its tokens: a hash of the block and of the mark before it, so
that two sequences with the same mark at some place have, in all likelihood, the same tokens up to
there. How far they agree is then found by halving, however long they are. Marks are for finding
only: what a cache is taken over for is compared token by token, once (`Tokens.begins_like`), since
somebody may make prompts whose marks agree and whose tokens do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

BLOCK_TOKENS: Final = 32
"""Of one mark. The last block is compared token by token, so a longer one costs more there."""


class Tokens:
    """A sequence that grows at its end and can be cut there."""

    __slots__ = ("_ids", "_marks")

    def __init__(self, ids: Iterable[int] = ()) -> None:
        self._ids: list[int] = []
        self._marks: list[int] = []
        self.extend(ids)

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def marks(self) -> Sequence[int]:
        """One for each whole block: who has the same has, in all likelihood, the same tokens up to
        the block's end."""
        return self._marks

    def slice(self, start: int, end: int) -> tuple[int, ...]:
        """The tokens from one position to another."""
        return tuple(self._ids[start:end])

    def extend(self, ids: Iterable[int]) -> None:
        """They follow at the end."""
        self._ids.extend(ids)
        marks = self._marks
        for start in range(len(marks) * BLOCK_TOKENS, len(self._ids), BLOCK_TOKENS):
            block = self._ids[start : start + BLOCK_TOKENS]
            if len(block) == BLOCK_TOKENS:
                marks.append(hash((marks[-1] if marks else 0, *block)))

    def cut(self, length: int) -> None:
        """Only so many are left."""
        del self._ids[length:]
        del self._marks[length // BLOCK_TOKENS :]

    def beginning(self, length: int) -> Tokens:
        """Another sequence, of the first tokens of this one."""
        other = Tokens()
        other._ids = self._ids[:length]
        other._marks = self._marks[: length // BLOCK_TOKENS]
        return other

    def common(self, other: Tokens) -> int:
        """How long the common beginning is, as far as marks tell."""
        mine, theirs = self._marks, other._marks
        same, end = 0, min(len(mine), len(theirs))
        while same < end:
            middle = (same + end + 1) // 2
            if mine[middle - 1] == theirs[middle - 1]:
                same = middle
            else:
                end = middle - 1
        start = same * BLOCK_TOKENS
        ends = start + BLOCK_TOKENS
        return start + _common(self._ids[start:ends], other._ids[start:ends])

    def begins_like(self, other: Tokens, length: int) -> bool:
        """Whether the first tokens of both are the same, every one of them."""
        return self._ids[:length] == other._ids[:length]


def _common(first: list[int], second: list[int]) -> int:
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count
