"""Caches of prompts that no slot holds any more, as bytes in memory, in case somebody comes back.

A chat whose slot went to others, or an assistant's long instructions, would be read anew. What
llama.cpp can give of a slot's cache is kept here instead, for as long as there is room: reading it
back takes milliseconds where reading the prompt takes seconds. Pure: it never calls llama.cpp.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from typing import Final, NamedTuple, Protocol

from edge.engine.batching.tokens import Tokens

KEPT_TOKENS_MIN: Final = 64
"""A shorter prompt is read as fast as it is fetched."""
KEPT_MAX: Final = 256
"""Of those with the same beginning all are looked at for a sequence that gets a slot."""


class Elsewhere(Protocol):
    """A state that is not in memory."""

    @property
    def size_bytes(self) -> int:
        """How long it is."""

    def read(self) -> bytes:
        """The state; empty when it can't be had any more."""


class Kept(NamedTuple):
    """One cache: of these tokens, in llama.cpp's own form, or where that is."""

    tokens: Tokens
    state: bytes | Elsewhere

    @property
    def size_bytes(self) -> int:
        """Of its state."""
        return len(self.state) if isinstance(self.state, bytes) else self.state.size_bytes

    def read(self) -> bytes:
        """Its state; empty when it can't be had any more."""
        return self.state if isinstance(self.state, bytes) else self.state.read()


class Shelf:
    """Caches of at most ``size_bytes_max`` in all; the one not used for longest goes first. With a
    bound of 0 nothing is kept."""

    def __init__(self, size_bytes_max: int) -> None:
        self._size_bytes_max = size_bytes_max
        self._kept: OrderedDict[int, Kept] = OrderedDict()
        self._by_mark: dict[int, set[int]] = {}  # of all marks of those that are kept
        self._number = 0
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def wants(self, tokens: Tokens, size_bytes: int) -> bool:
        """Whether a cache of these tokens is worth its room: it fits, and without it something
        would be lost."""
        return size_bytes <= self._size_bytes_max and not self.spares(tokens)

    def spares(self, tokens: Tokens) -> bool:
        """Whether nothing is lost with a cache of these tokens: it is short, or one that is here
        holds all of it."""
        if len(tokens) < KEPT_TOKENS_MIN:
            return True
        same = self._numbers(tokens, len(tokens.marks))
        return any(self._kept[each].tokens.common(tokens) == len(tokens) for each in same)

    def put(self, tokens: Tokens, state: bytes | Elsewhere) -> None:
        """Keeps it; what it goes beyond is part of it and goes."""
        for number in self._numbers(tokens, 1):
            each = self._kept[number].tokens
            if each.common(tokens) == len(each):
                self._drop(number)
        self._number += 1
        kept = self._kept[self._number] = Kept(tokens, state)
        for mark in tokens.marks:
            self._by_mark.setdefault(mark, set()).add(self._number)
        self.size_bytes += kept.size_bytes
        while self.size_bytes > self._size_bytes_max or len(self._kept) > KEPT_MAX:
            self._drop(next(iter(self._kept)))

    def best(self, prompt: Tokens, *, whole: bool = False) -> tuple[int, int]:
        """Number of the cache with the longest beginning of this prompt, of a block at least
        (`edge.engine.batching.tokens`), and how long it is; zeros when there is none. With
        ``whole`` only those count that the prompt goes beyond."""
        # Who has a mark has all before it, too.
        blocks = bisect_left(prompt.marks, True, key=lambda mark: mark not in self._by_mark)
        if whole:
            blocks = min(blocks, 1)
        best = (0, 0)
        for number in self._numbers(prompt, blocks):
            tokens = self._kept[number].tokens
            shared = tokens.common(prompt)
            if shared > best[1] and not (whole and min(shared, len(prompt) - 1) < len(tokens)):
                best = (number, shared)
        return best

    def take(self, number: int) -> Kept:
        """That cache, which counts as used now."""
        self._kept.move_to_end(number)
        return self._kept[number]

    def all(self) -> list[Kept]:
        """All of them, the one not used for longest first."""
        return list(self._kept.values())

    def _numbers(self, tokens: Tokens, blocks: int) -> list[int]:
        """Of those that have its first so many blocks, in their order; none for no block."""
        if not 0 < blocks <= len(tokens.marks):
            return []
        return sorted(self._by_mark.get(tokens.marks[blocks - 1], ()))

    def _drop(self, number: int) -> None:
        kept = self._kept.pop(number)
        self.size_bytes -= kept.size_bytes
        for mark in kept.tokens.marks:
            numbers = self._by_mark[mark]
            numbers.discard(number)
            if not numbers:
                del self._by_mark[mark]
