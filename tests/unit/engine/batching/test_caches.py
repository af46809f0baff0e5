"""Where a sequence sits, and what it takes over."""

from __future__ import annotations

import pytest

from edge.engine.batching import tokens
from edge.engine.batching.caches import IDLE_TOKENS_MAX, SHARED_TOKENS_MIN, Caches
from edge.engine.batching.shelf import Shelf
from edge.engine.batching.tokens import Tokens

INSTRUCTIONS = tuple(range(200))


def chat(number: int, turns: int) -> Tokens:
    """A conversation behind the instructions that all share."""
    return Tokens([*INSTRUCTIONS, *(1_000 * number + each for each in range(300 * turns))])


def sit(caches: Caches, key: int, prompt: Tokens) -> tuple[int, int]:
    """A sequence comes, reads its prompt, and goes: its slot, and what it had to read."""
    placement = caches.place(key, prompt)
    slot = caches.slots[placement.slot]
    assert slot.cached.begins_like(prompt, placement.keep)
    assert len(slot.cached) == placement.keep < len(prompt)
    slot.cached.extend(prompt.slice(placement.keep, len(prompt)))
    caches.leave(placement.slot)
    return placement.slot, len(prompt) - placement.keep


def test_two_chats_with_the_same_instructions_keep_their_histories() -> None:
    caches = Caches(16, Shelf(0))
    sit(caches, 1, chat(1, 1))
    assert sit(caches, 2, chat(2, 1))[1] == 300
    for turns in range(2, 6):
        for number in (1, 2):
            assert sit(caches, number, chat(number, turns))[1] == 300


def test_a_slot_that_nobody_used_for_longest_is_taken() -> None:
    caches = Caches(3, Shelf(0))
    taken = [sit(caches, key, Tokens([key] * 50))[0] for key in range(3)]
    sit(caches, 3, Tokens([0] * 60))
    assert sit(caches, 4, Tokens([9] * 50))[0] == taken[1]


def test_of_a_running_one_a_copy_is_made() -> None:
    caches = Caches(2, Shelf(0))
    first = caches.place(1, chat(1, 1))
    caches.slots[first.slot].cached.extend(chat(1, 1).slice(0, 500))
    second = caches.place(2, chat(2, 1))
    assert (second.copy_from, second.keep, second.drops) == (first.slot, 200, None)


def test_a_short_beginning_is_read() -> None:
    caches = Caches(2, Shelf(0))
    sit(caches, 1, Tokens([1] * (SHARED_TOKENS_MIN - 1) + [2] * 50))
    assert sit(caches, 2, Tokens([1] * (SHARED_TOKENS_MIN - 1) + [3] * 9))[1] == 9 + 15
    caches = Caches(2, Shelf(0))
    sit(caches, 1, Tokens([1] * SHARED_TOKENS_MIN + [2] * 50))
    assert sit(caches, 2, Tokens([1] * SHARED_TOKENS_MIN + [3] * 9))[1] == 9


def test_the_only_slot_gives_up_its_rest() -> None:
    caches = Caches(1, Shelf(0))
    sit(caches, 1, chat(1, 3))
    placement = caches.place(2, chat(2, 1))
    assert (placement.slot, placement.keep, placement.copy_from) == (0, 200, None)
    assert placement.drops is not None
    assert len(placement.drops) == len(chat(1, 3))


def test_who_comes_back_after_all_slots_went_to_others_finds_the_shelf() -> None:
    shelf = Shelf(100)
    caches = Caches(1, shelf)
    sit(caches, 1, chat(1, 1))
    placement = caches.place(2, Tokens([9] * 300))
    assert placement.drops is not None
    shelf.put(placement.drops, b"state")
    caches.leave(0)
    placement = caches.place(1, chat(1, 2))
    assert placement.fetch is not None
    assert placement.keep == 500


def test_of_as_long_ones_what_moves_least_is_taken() -> None:
    shelf = Shelf(100)
    caches = Caches(2, shelf)
    slot, _ = sit(caches, 1, chat(1, 1))
    shelf.put(chat(1, 1), b"state")
    placement = caches.place(1, chat(1, 2))
    assert (placement.slot, placement.copy_from, placement.fetch) == (slot, None, None)


def test_a_cache_that_cannot_be_cut_is_taken_over_whole_or_not_at_all() -> None:
    shelf = Shelf(100)
    caches = Caches(2, shelf, cuts=False)
    sit(caches, 1, chat(1, 1))
    # The same again: its last token would have to be read, and is in the state.
    assert sit(caches, 2, chat(1, 1))[1] == len(chat(1, 1))
    assert sit(caches, 3, chat(1, 2))[1] == len(chat(1, 2)) - len(chat(1, 1))
    shelf.put(chat(2, 2), b"longer")
    shelf.put(chat(3, 1), b"state")
    assert caches.place(4, chat(2, 1)).keep == 0
    placement = caches.place(5, chat(3, 2))
    assert (placement.fetch, placement.keep) == (2, len(chat(3, 1)))


def test_marks_that_agree_by_chance_give_nobody_anothers_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tokens, "hash", lambda _block: 7, raising=False)
    caches = Caches(2, Shelf(0))
    sit(caches, 1, Tokens([1] * 64))
    assert sit(caches, 2, Tokens([2] * 64))[1] == 64


def test_what_nobody_uses_makes_room_oldest_first() -> None:
    caches = Caches(3, Shelf(0))
    slots = [sit(caches, key, Tokens([key] * 50))[0] for key in range(3)]
    caches.place(3, Tokens([2] * 60))
    assert [caches.evict(), caches.evict(), caches.evict()] == [slots[0], slots[1], None]


def test_what_is_idle_is_put_away_the_oldest_first_until_it_is_little() -> None:
    caches = Caches(4, Shelf(0))
    for key in range(3):
        sit(caches, key, Tokens(range(1_000 * key, 1_000 * key + IDLE_TOKENS_MAX // 2)))
    surplus = caches.surplus()
    assert surplus is caches.slots[0]
    caches.forget(surplus.number)
    assert caches.surplus() is None


def test_what_is_shared_with_others_is_not_idle() -> None:
    caches = Caches(4, Shelf(0))
    for key in range(3):
        sit(caches, key, Tokens([*range(IDLE_TOKENS_MAX), 5_000 + key]))
    assert caches.surplus() is caches.slots[0]  # of one the whole length counts
    running = caches.place(9, Tokens(range(IDLE_TOKENS_MAX + 1)))
    caches.slots[running.slot].cached = Tokens(range(IDLE_TOKENS_MAX))
    assert caches.surplus() is None


def test_what_runs_is_no_surplus() -> None:
    caches = Caches(2, Shelf(0))
    placement = caches.place(1, Tokens(range(3 * IDLE_TOKENS_MAX)))
    caches.slots[placement.slot].cached.extend(range(2 * IDLE_TOKENS_MAX))
    assert caches.surplus() is None
