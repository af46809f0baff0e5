"""A sorted sequence that knows how much stands before each of its members.

A sorted container answers "the how many-th is this?"; the waiting line also has to answer "how much
work is before it?" and "who is the first that may be answered otherwise?". So members lie in
blocks, each with its sums, and whoever asks adds up whole blocks and walks within one. With a
million members that is some two thousand numbers, added by one call of `sum`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

BLOCK_MAX: Final = 1_024
"""Members of a block before it is cut in two. Larger blocks are slower to insert into and to walk,
more blocks to add up; at a million members both cost the same at about this size."""


class Member(Protocol):
    """What can be ranked. None of it may change while it is in a sequence."""

    @property
    def rank(self) -> tuple[float, int]:
        """Where it stands; no two members have the same."""
        ...

    @property
    def prompt_tokens(self) -> int:
        """What the model has to read for it."""
        ...

    @property
    def output_tokens(self) -> int:
        """What the model has to write for it."""
        ...

    @property
    def marked(self) -> bool:
        """Whether `Ranked.first_marked` looks for it."""
        ...


M = TypeVar("M", bound=Member)


class Ahead(NamedTuple):
    """What stands before a place: how many members, and what the model has to do for them."""

    members: int
    prompt_tokens: int
    output_tokens: int


class Ranked(Generic[M]):
    """Members in the order of their ranks. Adding and taking out cost some microseconds, looking
    for a place some ten, with a million members."""

    __slots__ = ("_blocks", "_counts", "_lasts", "_marks", "_outputs", "_prompts", "_ranks")

    def __init__(self) -> None:
        # Of each block: its members, their ranks, the last rank, and its sums. The lists go
        # together: the same index means the same block, and no block is empty.
        self._blocks: list[list[M]] = []
        self._ranks: list[list[tuple[float, int]]] = []
        self._lasts: list[tuple[float, int]] = []
        self._counts: list[int] = []
        self._prompts: list[int] = []
        self._outputs: list[int] = []
        self._marks: list[int] = []

    def __len__(self) -> int:
        return sum(self._counts)

    def __bool__(self) -> bool:
        return bool(self._blocks)

    def __iter__(self) -> Iterator[M]:
        for block in self._blocks:
            yield from block

    def add(self, member: M) -> None:
        """Puts a member in its place. ValueError when one of its rank is there."""
        rank = member.rank
        if not self._blocks:
            self._insert_block(0, [member], [rank])
            return
        at = min(bisect_left(self._lasts, rank), len(self._lasts) - 1)
        ranks = self._ranks[at]
        place = bisect_left(ranks, rank)
        if place < len(ranks) and ranks[place] == rank:
            raise ValueError(f"the rank {rank} is taken")
        ranks.insert(place, rank)
        self._blocks[at].insert(place, member)
        self._lasts[at] = ranks[-1]
        self._counts[at] += 1
        self._prompts[at] += member.prompt_tokens
        self._outputs[at] += member.output_tokens
        self._marks[at] += member.marked
        if len(ranks) > BLOCK_MAX:
            self._cut(at)

    def remove(self, member: M) -> None:
        """Takes a member out. ValueError when it is not there."""
        at, place = self._find(member)
        ranks, block = self._ranks[at], self._blocks[at]
        del ranks[place], block[place]
        if not ranks:
            for of_blocks in self._of_blocks():
                del of_blocks[at]
            return
        self._lasts[at] = ranks[-1]
        self._counts[at] -= 1
        self._prompts[at] -= member.prompt_tokens
        self._outputs[at] -= member.output_tokens
        self._marks[at] -= member.marked

    def iter_from(self, rank: tuple[float, int]) -> Iterator[M]:
        """Those that have this rank or a higher one."""
        at, place = self._at(rank)
        for block in islice(self._blocks, at, None):
            yield from islice(block, place, None)
            place = 0

    def first(self) -> M | None:
        """The first of all."""
        return self._blocks[0][0] if self._blocks else None

    def first_marked(self) -> M | None:
        """The first that is marked."""
        for block, marks in zip(self._blocks, self._marks, strict=True):
            if marks:
                return next(member for member in block if member.marked)
        return None

    def first_from(self, rank: tuple[float, int]) -> M | None:
        """The first that has this rank or a higher one."""
        at, place = self._at(rank)
        return self._blocks[at][place] if at < len(self._blocks) else None

    def last_before(self, rank: tuple[float, int]) -> M | None:
        """The last that has a lower rank."""
        at, place = self._at(rank)
        if place:
            return self._blocks[at][place - 1]
        return self._blocks[at - 1][-1] if at else None

    def before(self, member: M) -> Ahead:
        """What stands before this member. ValueError when it is not there."""
        return self._before(*self._find(member))

    def before_rank(self, rank: tuple[float, int]) -> Ahead:
        """The same for a member of this rank, were it there."""
        return self._before(*self._at(rank))

    def _at(self, rank: tuple[float, int]) -> tuple[int, int]:
        """The block, and the place in it, of the first that is not before this rank."""
        at = bisect_left(self._lasts, rank)
        return at, bisect_left(self._ranks[at], rank) if at < len(self._lasts) else 0

    def _before(self, at: int, place: int) -> Ahead:
        here = self._blocks[at][:place] if place else []
        return Ahead(
            sum(self._counts[:at]) + place,
            sum(self._prompts[:at]) + sum(member.prompt_tokens for member in here),
            sum(self._outputs[:at]) + sum(member.output_tokens for member in here),
        )

    def _find(self, member: M) -> tuple[int, int]:
        rank = member.rank
        at = bisect_left(self._lasts, rank)
        if at < len(self._lasts):
            place = bisect_left(self._ranks[at], rank)
            if self._blocks[at][place] is member:
                return at, place
        raise ValueError(f"there is no such member of rank {rank}")

    def _cut(self, at: int) -> None:
        block, ranks = self._blocks[at], self._ranks[at]
        for of_blocks in self._of_blocks():
            del of_blocks[at]
        half = len(block) // 2
        self._insert_block(at, block[half:], ranks[half:])
        self._insert_block(at, block[:half], ranks[:half])

    def _insert_block(self, at: int, block: list[M], ranks: list[tuple[float, int]]) -> None:
        self._blocks.insert(at, block)
        self._ranks.insert(at, ranks)
        self._lasts.insert(at, ranks[-1])
        self._counts.insert(at, len(block))
        self._prompts.insert(at, sum(member.prompt_tokens for member in block))
        self._outputs.insert(at, sum(member.output_tokens for member in block))
        self._marks.insert(at, sum(member.marked for member in block))

    def _of_blocks(self) -> tuple[list[Any], ...]:
        return (
            self._blocks, self._ranks, self._lasts,
            self._counts, self._prompts, self._outputs, self._marks,
        )  # fmt: skip
