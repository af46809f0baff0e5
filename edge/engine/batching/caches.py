"""Which slot a sequence gets, and what of its prompt is taken over instead of read. Pure.

A slot keeps its cache when its sequence ends, for who comes back. So a newcomer goes on in a slot
whose cache it continues; else what it shares with any other is copied into a slot that is empty, or
that was used longest ago. Taking the slot with the longest common beginning in every case would be
wrong: two chats with the same instructions would cut each other's history down to these, turn by
turn, while other slots stand empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from edge.engine.batching.shelf import Shelf
from edge.engine.batching.tokens import Tokens

SHARED_TOKENS_MIN: Final = 16
"""A shorter common beginning is not worth a copy."""
IN_PLACE_SHARE: Final = 0.5
"""Of a cache, what has to be kept for it to be gone on in place."""

IDLE_TOKENS_MAX: Final = 256
"""What slots without a sequence keep in llama.cpp's cache while others work. Each step looks at the
whole of it: measured with a model of 135M, 7,200 idle tokens make a step half as long again, so
these make it longer by some percent."""


class Placement(NamedTuple):
    """Where a sequence sits. Before its first step: what the slot holds (``drops``) may be put on
    the shelf; then the cache of ``copy_from`` is copied over it, or number ``fetch`` is brought
    from the shelf, if one is given; then it is trimmed to ``keep`` tokens."""

    slot: int
    keep: int
    copy_from: int | None = None
    fetch: int | None = None
    drops: Tokens | None = None


@dataclass(slots=True, eq=False)
class Slot:
    """A place in llama.cpp's cache, what it holds, and the key of the sequence that sits there."""

    number: int
    cached: Tokens = field(default_factory=Tokens)
    key: int | None = None
    used_at: int = 0


class _Offer(NamedTuple):
    """Where ``shared`` tokens of a prompt can be had: in a slot, or on the shelf."""

    shared: int
    tokens: Tokens
    slot: Slot | None = None
    in_place: bool = False
    fetch: int | None = None


class Caches:
    """All slots. Some models' caches cannot be cut, since a recurrent layer has one state of all
    that it has read: these (``cuts`` False) are taken over whole or not at all. That is enough for
    a chat, whose next turn goes on where the last one ended."""

    def __init__(self, slots: int, shelf: Shelf, *, cuts: bool = True) -> None:
        self.slots = tuple(Slot(number) for number in range(slots))
        self.cuts = cuts
        self.shelf = shelf
        self._clock = 0

    @property
    def free(self) -> int:
        """How many slots have no sequence."""
        return sum(slot.key is None for slot in self.slots)

    def longest(self, prompt: Tokens) -> int:
        """How much of this prompt is in some slot."""
        return max(prompt.common(slot.cached) for slot in self.slots)

    def place(self, key: int, prompt: Tokens) -> Placement:
        """Gives this sequence a slot; there has to be a free one."""
        free = [slot for slot in self.slots if slot.key is None]
        # At least one token has to be decoded for there to be logits.
        most = len(prompt) - 1
        # The longest first; of as long ones what moves least, which comes first already.
        for offer in sorted(self._offers(prompt, free), key=lambda each: -each.shared):
            keep = min(most, offer.shared)
            if keep < len(offer.tokens) and not self.cuts:
                continue
            # Marks say that they agree; now every token is looked at.
            if keep >= SHARED_TOKENS_MIN and offer.tokens.begins_like(prompt, keep):
                return self._take(key, offer, keep, free)
        own = self._oldest(free)
        return Placement(own.number, 0, drops=self._seat(key, own, Tokens()))

    def _offers(self, prompt: Tokens, free: list[Slot]) -> Iterator[_Offer]:
        shared = {slot: prompt.common(slot.cached) for slot in self.slots}
        for slot in free:
            if shared[slot] >= IN_PLACE_SHARE * len(slot.cached):
                yield _Offer(shared[slot], slot.cached, slot, in_place=True)
        for slot in self.slots:
            yield _Offer(shared[slot], slot.cached, slot)
        number, on_shelf = self.shelf.best(prompt, whole=not self.cuts)
        if on_shelf:
            yield _Offer(on_shelf, self.shelf.take(number).tokens, fetch=number)

    def _take(self, key: int, offer: _Offer, keep: int, free: list[Slot]) -> Placement:
        source, tokens = offer.slot, offer.tokens.beginning(keep)
        if source is not None and offer.in_place:
            self._seat(key, source, tokens)
            return Placement(source.number, keep)
        # Only where there is no other slot does one give up its own rest.
        own = self._oldest([slot for slot in free if slot is not source] or free)
        copy_from = None if source is None or source is own else source.number
        return Placement(own.number, keep, copy_from, offer.fetch, self._seat(key, own, tokens))

    @staticmethod
    def _oldest(free: list[Slot]) -> Slot:
        """An empty one, else the one that was used longest ago."""
        return min(free, key=lambda slot: (bool(slot.cached), slot.used_at))

    @staticmethod
    def _seat(key: int, own: Slot, tokens: Tokens) -> Tokens | None:
        """The slot is this sequence's and holds these tokens; what it held before."""
        before, own.cached, own.key = own.cached, tokens, key
        return before or None

    def leave(self, number: int) -> None:
        """The slot's sequence has ended. Its cache is kept for who comes next."""
        slot = self.slots[number]
        slot.key = None
        self._clock += 1
        slot.used_at = self._clock

    def forget(self, number: int) -> None:
        """The slot's cache was lost."""
        self.slots[number].cached = Tokens()

    def by_use(self) -> list[Slot]:
        """The slots that hold something, the one used last at the end: those with a sequence."""
        held = [slot for slot in self.slots if slot.cached]
        return sorted(held, key=lambda slot: (slot.key is not None, slot.used_at))

    def surplus(self) -> Slot | None:
        """Of the slots without a sequence the one used longest ago, if together they keep more than
        `IDLE_TOKENS_MAX`; what they share with others is there once, and costs nothing."""
        others = [slot.cached for slot in self.slots if slot.key is not None]
        idle_tokens = 0
        last = None
        for slot in reversed(self.by_use()):
            if slot.key is None:
                shared = max(map(slot.cached.common, others), default=0)
                idle_tokens += len(slot.cached) - shared
                others.append(slot.cached)
                last = slot
        return last if idle_tokens > IDLE_TOKENS_MAX else None

    def evict(self) -> int | None:
        """Empties the cache of a slot without a sequence, since there is no room for those that
        have one: the one used longest ago. None when all are empty."""
        kept = [slot for slot in self.slots if slot.key is None and slot.cached]
        if not kept:
            return None
        slot = self._oldest(kept)
        slot.cached = Tokens()
        return slot.number
