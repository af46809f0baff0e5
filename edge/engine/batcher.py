"""Continuous batching: which sequences get which tokens into the next decode step. Pure.

Every sequence that generates gets its one token in every step; what is left of the step's budget
goes to prompts, in chunks, so that a long prompt slows the others down but never stops them. A new
sequence joins between two steps. Its prompt's beginning is taken over from whatever slot has it in
its cache; if another sequence is just reading the same beginning, it waits for that one to be done
rather than reading it a second time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from typing import Final

SHARED_TOKENS_MIN: Final = 16
"""A shorter common beginning is not worth a copy."""
LOOK_AHEAD: Final = 64
"""How many that wait for another's prompt may be passed over in one look at the queue."""


@dataclass(frozen=True, slots=True)
class Admission:
    """A waiting sequence gets a slot. Before the next decode the slot's cache has to be trimmed to
    ``keep`` tokens; if ``copy_from`` is given, that slot's cache is copied over it first."""

    key: int
    slot: int
    copy_from: int | None
    keep: int


@dataclass(frozen=True, slots=True)
class Entry:
    """Tokens of one sequence for the next step, at positions from ``start`` on. ``wants_logits``
    when a token is to be sampled after the last of them."""

    key: int
    slot: int
    tokens: tuple[int, ...]
    start: int
    wants_logits: bool


@dataclass(slots=True)
class _Sequence:
    key: int
    slot: int
    prompt: tuple[int, ...]
    position: int
    next_token: int | None = None


@dataclass(slots=True)
class _Slot:
    number: int
    cached: list[int] = field(default_factory=list)
    key: int | None = None
    used_at: int = 0


class Batcher:
    """Slots, who sits in them, who waits, and what each slot's cache holds.

    A step has at most ``batch_tokens``, or ``slots`` if that is more, so that every sequence can
    have its token. Without `reuse` each prompt is read whole: some models' caches cannot be cut.
    """

    def __init__(
        self,
        slots: int,
        batch_tokens: int,
        prefill_chunk_tokens: int,
        waiting_max: int = 10_000,
        *,
        reuse: bool = True,
    ) -> None:
        self.batch_tokens = max(batch_tokens, slots)
        self._reuse = reuse
        self.prefill_chunk_tokens = prefill_chunk_tokens
        self.waiting_max = waiting_max
        self._slots = [_Slot(number) for number in range(slots)]
        self._running: dict[int, _Sequence] = {}
        self._waiting: deque[tuple[int, tuple[int, ...]]] = deque()
        self._clock = 0

    @property
    def running(self) -> int:
        """Sequences in slots."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Sequences without a slot."""
        return len(self._waiting)

    def add(self, key: int, prompt: Items[int]) -> bool:
        """A new sequence waits for a slot; False when too many wait. The prompt is not empty."""
        assert prompt, "a sequence needs a token to begin with"
        if len(self._waiting) >= self.waiting_max:
            return False
        self._waiting.append((key, tuple(prompt)))
        return True

    def remove(self, key: int) -> bool:
        """The sequence has ended or is not wanted any more; its slot is free, with its cache kept
        for who comes next. False when it is not known."""
        sequence = self._running.pop(key, None)
        if sequence is not None:
            slot = self._slots[sequence.slot]
            slot.key = None
            self._clock += 1
            slot.used_at = self._clock
            return True
        for waiting in self._waiting:
            if waiting[0] == key:
                self._waiting.remove(waiting)
                return True
        return False

    def admit(self) -> list[Admission]:
        """Gives free slots to waiting sequences, in order, as far as is worth it now."""
        admissions = []
        still: deque[tuple[int, tuple[int, ...]]] = deque()
        free = [slot for slot in self._slots if slot.key is None]
        while self._waiting and free and len(still) < LOOK_AHEAD:
            key, prompt = self._waiting.popleft()
            if self._is_being_read(prompt):
                still.append((key, prompt))
                continue
            admissions.append(self._place(key, prompt, free))
        self._waiting = still + self._waiting
        return admissions

    def _is_being_read(self, prompt: tuple[int, ...]) -> bool:
        """Whether a running sequence is about to have more of this prompt in its cache."""
        if not self._reuse:
            return False
        best_now = max(_common(prompt, slot.cached) for slot in self._slots)
        for sequence in self._running.values():
            if sequence.position < len(sequence.prompt):
                shared = _common(prompt, sequence.prompt)
                if shared >= SHARED_TOKENS_MIN and shared > max(best_now, sequence.position):
                    return True
        return False

    def _place(self, key: int, prompt: tuple[int, ...], free: list[_Slot]) -> Admission:
        # At least one token has to be decoded for there to be logits.
        most = len(prompt) - 1 if self._reuse else 0
        own = max(free, key=lambda slot: (_common(prompt, slot.cached), -slot.used_at))
        keep = min(most, _common(prompt, own.cached))
        source = max(self._slots, key=lambda slot: _common(prompt, slot.cached))
        shared = min(most, _common(prompt, source.cached))
        copy_from = None
        if keep < SHARED_TOKENS_MIN:
            # Nothing worth keeping: take the slot whose cache was used longest ago.
            own = min(free, key=lambda slot: slot.used_at)
            keep = min(most, _common(prompt, own.cached))
        if shared >= SHARED_TOKENS_MIN and shared > keep:
            copy_from, keep = source.number, shared
            own.cached = list(source.cached)
        free.remove(own)
        del own.cached[keep:]
        own.key = key
        self._running[key] = _Sequence(key, own.number, prompt, keep)
        return Admission(key, own.number, copy_from, keep)

    def plan(self) -> list[Entry]:
        """The next step; empty when there is nothing to do. At most ``batch_tokens`` in all.

        Prompts share what is left evenly; what a short one does not need goes to the longer.
        """
        entries = []
        left = self.batch_tokens
        for sequence in self._running.values():
            if sequence.next_token is not None and left:
                entries.append(
                    Entry(
                        sequence.key, sequence.slot, (sequence.next_token,), sequence.position, True
                    )
                )
                left -= 1
        if entries:
            left = min(left, self.prefill_chunk_tokens)
        reading = [each for each in self._running.values() if each.position < len(each.prompt)]
        reading.sort(key=lambda each: len(each.prompt) - each.position)
        for place, sequence in enumerate(reading):
            # Rounded up: with less than a token each, the shortest prompts go first.
            share = -(-left // (len(reading) - place))
            tokens = sequence.prompt[sequence.position : sequence.position + share]
            if tokens:
                last = sequence.position + len(tokens) == len(sequence.prompt)
                entries.append(Entry(sequence.key, sequence.slot, tokens, sequence.position, last))
                left -= len(tokens)
        return entries

    def decoded(self, entries: Items[Entry]) -> None:
        """The step was made: these tokens are in their slots' caches now."""
        for entry in entries:
            sequence = self._running[entry.key]
            assert sequence.position == entry.start, "a step is counted once"
            sequence.position += len(entry.tokens)
            sequence.next_token = None
            self._slots[entry.slot].cached.extend(entry.tokens)

    def sampled(self, key: int, token: int) -> None:
        """This token goes into the next step."""
        self._running[key].next_token = token

    def position(self, key: int) -> int:
        """Tokens of the sequence in its cache."""
        return self._running[key].position

    def prefilled(self, key: int) -> int:
        """Tokens of its prompt that have been read."""
        sequence = self._running[key]
        return min(sequence.position, len(sequence.prompt))

    def forget(self, slot: int) -> None:
        """The slot's cache was lost."""
        self._slots[slot].cached.clear()


def _common(first: Items[int], second: Items[int]) -> int:
    """Length of the common beginning."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count
