"""Single steps of continuous batching, written out."""

from __future__ import annotations

from edge.engine.batcher import Admission, Batcher, Entry

LONG = tuple(range(100))


def step(batcher: Batcher) -> list[Entry]:
    """One step; whoever wants a token gets 7."""
    entries = batcher.plan()
    batcher.decoded(entries)
    for entry in entries:
        if entry.wants_logits:
            batcher.sampled(entry.key, 7)
    return entries


def test_who_generates_gets_a_token_and_the_prompts_share_the_chunk() -> None:
    batcher = Batcher(3, 64, 8)
    batcher.add(1, [1])
    batcher.admit()
    step(batcher)
    batcher.add(2, LONG)
    batcher.add(3, [9, 9])
    batcher.admit()
    entries = {entry.key: entry for entry in step(batcher)}
    assert entries[1] == Entry(1, entries[1].slot, (7,), 1, True)
    assert entries[3].tokens == (9, 9)
    assert entries[3].wants_logits
    # What the short prompt left goes to the long one.
    assert len(entries[2].tokens) == 6
    assert not entries[2].wants_logits
    assert batcher.prefilled(2) == 6


def test_a_prompt_being_read_is_waited_for_and_copied() -> None:
    batcher = Batcher(2, 50, 50)
    batcher.add(1, LONG)
    batcher.add(2, (*LONG, 5))
    assert [each.key for each in batcher.admit()] == [1]
    step(batcher)
    assert batcher.admit() == []
    step(batcher)
    assert batcher.admit() == [Admission(2, 1, 0, 100)]


def test_a_prompt_read_by_one_who_was_cancelled_is_read_by_the_next() -> None:
    batcher = Batcher(2, 50, 50)
    batcher.add(1, LONG)
    batcher.add(2, LONG)
    batcher.admit()
    step(batcher)
    assert batcher.remove(1)
    # What had been read is still in the slot.
    assert batcher.admit() == [Admission(2, 0, None, 50)]


def test_the_last_prompt_token_is_always_decoded() -> None:
    batcher = Batcher(1, 200, 200)
    batcher.add(1, LONG)
    batcher.admit()
    step(batcher)
    batcher.remove(1)
    batcher.add(2, LONG)
    assert batcher.admit() == [Admission(2, 0, None, 99)]


def test_a_lost_cache_is_not_shared() -> None:
    batcher = Batcher(1, 200, 200)
    batcher.add(1, LONG)
    batcher.admit()
    step(batcher)
    batcher.remove(1)
    batcher.forget(0)
    batcher.add(2, LONG)
    assert batcher.admit() == [Admission(2, 0, None, 0)]


def test_the_waiting_list_is_bounded() -> None:
    batcher = Batcher(1, 8, 8, waiting_max=2)
    assert [batcher.add(key, [1]) for key in range(3)] == [True, True, False]
    assert batcher.remove(0)
    assert not batcher.remove(0)
    assert batcher.add(3, [1])
