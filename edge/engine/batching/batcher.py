"""Continuous batching: which sequences get which tokens into the next decode step. Pure.

Every sequence that generates gets its one token in every step; what is left of the step's budget
goes to prompts, in chunks, so that a long prompt slows the others down but never stops them. A new
sequence joins between two steps. Its prompt's beginning is taken over from whatever cache has it
(`caches`); if another sequence is just reading the same beginning, it waits for that one to be done
rather than reading it a second time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import Final

from edge.engine.batching.budget import Budget
from edge.engine.batching.caches import SHARED_TOKENS_MIN, Caches, Placement
from edge.engine.batching.draft import ROWS_MAX, Drafter
from edge.engine.batching.tokens import Tokens

LOOK_AHEAD: Final = 64
"""How many that wait for another's prompt may be passed over in one look at the queue."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Tokens of one sequence for the next step, at positions from ``start`` on. ``wants_logits``
    when a token is to be sampled after the last of them; and after each of the last ``drafted``
    ones and the one before these, which are guesses: `verified` says how many were right."""

    key: int
    slot: int
    tokens: tuple[int, ...]
    start: int
    wants_logits: bool
    drafted: int = 0


@dataclass(slots=True)
class _Sequence:
    key: int
    prompt: Tokens
    singly_from: int | None = None
    slot: int = 0
    position: int = 0
    next_token: int | None = None
    drafter: Drafter | None = None


class Batcher:
    """Who sits in the slots, who waits, and what goes into the next step.

    How much of prompts goes into a step is for ``budget`` to say, which has to have room for at
    least as many tokens as there are slots, so that every sequence can have its token. With
    ``drafts`` what a sequence says next may be guessed, where a step has room and it pays.
    """

    def __init__(
        self, caches: Caches, budget: Budget, waiting_max: int = 10_000, *, drafts: bool = False
    ) -> None:
        self._drafts = drafts
        assert budget.most >= len(caches.slots)
        self.budget = budget
        self.waiting_max = waiting_max
        self.caches = caches
        self._running: dict[int, _Sequence] = {}
        self._waiting: deque[_Sequence] = deque()

    @property
    def running(self) -> int:
        """Sequences in slots."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Sequences without a slot."""
        return len(self._waiting)

    def add(self, key: int, prompt: Iterable[int], *, singly_from: int | None = None) -> bool:
        """A new sequence waits for a slot; False when too many wait. The prompt is not empty. From
        ``singly_from`` on each token has a step of its own, as if it had just been said, and
        nothing is guessed; None is for one to which the shape of its steps is no matter."""
        if len(self._waiting) >= self.waiting_max:
            return False
        tokens = Tokens(prompt)
        assert tokens, "a sequence needs a token to begin with"
        self._waiting.append(_Sequence(key, tokens, singly_from))
        return True

    def remove(self, key: int) -> bool:
        """The sequence has ended or is not wanted any more; its slot is free, with its cache kept
        for who comes next. False when it is not known."""
        sequence = self._running.pop(key, None)
        if sequence is not None:
            self.caches.leave(sequence.slot)
            return True
        for waiting in self._waiting:
            if waiting.key == key:
                self._waiting.remove(waiting)
                return True
        return False

    def admit(self) -> list[tuple[int, Placement]]:
        """Gives free slots to waiting sequences, in order, as far as is worth it now: their keys,
        and where they sit."""
        admitted = []
        still: deque[_Sequence] = deque()
        while self._waiting and self.caches.free and len(still) < LOOK_AHEAD:
            sequence = self._waiting.popleft()
            if self._is_being_read(sequence.prompt):
                still.append(sequence)
                continue
            placement = self.caches.place(sequence.key, sequence.prompt)
            sequence.slot, sequence.position = placement.slot, placement.keep
            self._running[sequence.key] = sequence
            admitted.append((sequence.key, placement))
        self._waiting = still + self._waiting
        return admitted

    def _is_being_read(self, prompt: Tokens) -> bool:
        """Whether a running sequence is about to have more of this prompt in its cache."""
        if not self.caches.cuts:
            return False  # when it has been read there is more behind it
        best_now = self.caches.longest(prompt)
        for sequence in self._running.values():
            if sequence.position < len(sequence.prompt):
                shared = prompt.common(sequence.prompt)
                if shared >= SHARED_TOKENS_MIN and shared > max(best_now, sequence.position):
                    return True
        return False

    def requeue(self) -> int | None:
        """The cache has no room for all that run: who came last waits again, before all others,
        with what it has said behind its prompt. Its key; None when only one runs, which has room.
        """
        if len(self._running) < 2:
            return None
        key, sequence = self._running.popitem()
        if sequence.next_token is not None:
            read = self.caches.slots[sequence.slot].cached
            sequence.prompt = read.beginning(sequence.position)
            sequence.prompt.extend((sequence.next_token,))
            sequence.next_token = None
        self.caches.leave(sequence.slot)
        self._waiting.appendleft(sequence)
        return key

    def reread(self, key: int) -> None:
        """What was to be taken over for this sequence is not there: it reads its prompt whole."""
        sequence = self._running[key]
        sequence.position = 0
        self.caches.slots[sequence.slot].cached = Tokens()

    def plan(self) -> list[Entry]:
        """The next step; empty when there is nothing to do.

        Prompts share what is left evenly; what a short one does not need goes to the longer.
        """
        entries = []
        running = self._running.values()
        reading = [each for each in running if each.position < len(each.prompt)]
        # Who reads gets all the room that there is. What is left for guesses is shared evenly.
        generating = len(running) - len(reading)
        guesses = 0 if reading else max(0, ROWS_MAX - generating) // max(1, generating)
        for sequence in running:
            if sequence.next_token is not None:
                drafted = sequence.drafter.draft(guesses) if sequence.drafter is not None else ()
                tokens = (sequence.next_token, *drafted)
                where = (sequence.key, sequence.slot, tokens, sequence.position)
                entries.append(Entry(*where, True, len(drafted)))
        left = self.budget.prompt_tokens(len(entries))
        reading.sort(key=lambda each: len(each.prompt) - each.position)
        for place, sequence in enumerate(reading):
            # Rounded up: with less than a token each, the shortest prompts go first.
            share = -(-left // (len(reading) - place))
            if sequence.singly_from is not None:
                share = min(share, max(1, sequence.singly_from - sequence.position))
            tokens = sequence.prompt.slice(sequence.position, sequence.position + share)
            if tokens:
                last = sequence.position + len(tokens) == len(sequence.prompt)
                entries.append(Entry(sequence.key, sequence.slot, tokens, sequence.position, last))
                left -= len(tokens)
        return entries

    def reads(self, entry: Entry) -> bool:
        """Whether these tokens are of its prompt. One that is read singly takes as long as one that
        is said, and counts as such."""
        sequence = self._running[entry.key]
        said = sequence.singly_from is not None and entry.start >= sequence.singly_from
        return sequence.next_token is None and not said

    def decoded(self, entries: Items[Entry]) -> None:
        """The step was made: these tokens are in their slots' caches now."""
        for entry in entries:
            sequence = self._running[entry.key]
            assert sequence.position == entry.start, "a step is counted once"
            sequence.position += len(entry.tokens)
            sequence.next_token = None
            self.caches.slots[entry.slot].cached.extend(entry.tokens)

    def sampled(self, key: int, token: int) -> None:
        """This token goes into the next step."""
        sequence = self._running[key]
        sequence.next_token = token
        if self._drafts and sequence.singly_from is None and sequence.drafter is None:
            sequence.drafter = Drafter(sequence.prompt.slice(0, len(sequence.prompt)))
        if sequence.drafter is not None:
            sequence.drafter.add(token)

    def verified(self, entry: Entry, accepted: int) -> int:
        """So many of its guesses were right, and were told by `sampled` like others; the rest is to
        be cut off its slot's cache, of which so many tokens are left then."""
        sequence = self._running[entry.key]
        assert sequence.drafter is not None, "nobody else guesses"
        price = self.budget.row_price(len(self._running), entry.drafted)
        sequence.drafter.saw(entry.drafted, accepted, price)
        sequence.position -= entry.drafted - accepted
        self.caches.slots[entry.slot].cached.cut(sequence.position)
        return sequence.position

    def prefilled(self, key: int) -> int:
        """Tokens of its prompt that have been read."""
        sequence = self._running[key]
        return min(sequence.position, len(sequence.prompt))
