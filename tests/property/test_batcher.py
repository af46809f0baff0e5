"""Continuous batching under any order of events: nothing lost, nothing twice, no budget broken."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.engine.batching.batcher import Batcher
from edge.engine.batching.budget import Budget
from edge.engine.batching.caches import SHARED_TOKENS_MIN, Caches
from edge.engine.batching.shelf import Shelf

BEGINNINGS = ((1,) * 40, (1,) * 20 + (2,) * 30, (3,))
PROMPTS = st.tuples(st.sampled_from(BEGINNINGS), st.lists(st.integers(0, 2), max_size=30)).map(
    lambda parts: (*parts[0], *parts[1])
)
REQUESTS = st.lists(st.tuples(PROMPTS, st.integers(1, 6)), min_size=1, max_size=12)


@settings(deadline=None, max_examples=150)
@given(
    requests=REQUESTS,
    slots=st.integers(1, 4),
    batch_tokens=st.integers(1, 40),
    cuts=st.booleans(),
    data=st.data(),
)
def test_each_sequence_reads_its_own_prompt_and_ends_once(
    requests: list[tuple[tuple[int, ...], int]],
    slots: int,
    batch_tokens: int,
    cuts: bool,
    data: st.DataObject,
) -> None:
    batcher = Batcher(Caches(slots, Shelf(0), cuts=cuts), Budget(200, max(batch_tokens, slots)))
    # What a real cache would hold: the oracle for copies, trims and positions.
    caches: list[tuple[int, ...]] = [()] * slots
    wanted: dict[int, list[int]] = {}
    left: dict[int, int] = {}
    in_slot: dict[int, int] = {}
    for key, (prompt, length) in enumerate(requests):
        assert batcher.add(key, prompt)
        wanted[key], left[key] = list(prompt), length
    for _ in range(2_000):
        if not left:
            break
        if data.draw(st.integers(0, 9)) == 0:
            key = data.draw(st.sampled_from(sorted(left)))
            assert batcher.remove(key)
            assert not batcher.remove(key)
            in_slot.pop(key, None)
            del left[key]
        for key, admission in batcher.admit():
            assert admission.slot not in in_slot.values()
            if admission.copy_from is not None:
                assert cuts or admission.keep == len(caches[admission.copy_from])
                assert admission.keep >= SHARED_TOKENS_MIN
                caches[admission.slot] = caches[admission.copy_from]
            assert cuts or admission.keep in (0, len(caches[admission.slot]))
            caches[admission.slot] = caches[admission.slot][: admission.keep]
            in_slot[key] = admission.slot
        entries = batcher.plan()
        assert bool(entries) == bool(left), "whoever is left gets on"
        assert sum(len(entry.tokens) for entry in entries) <= max(batch_tokens, slots)
        assert len({entry.key for entry in entries}) == len(entries)
        batcher.decoded(entries)
        for entry in entries:
            assert in_slot[entry.key] == entry.slot
            assert len(caches[entry.slot]) == entry.start
            caches[entry.slot] += entry.tokens
            assert list(caches[entry.slot]) == wanted[entry.key][: len(caches[entry.slot])]
            assert entry.wants_logits == (len(caches[entry.slot]) == len(wanted[entry.key]))
            if entry.wants_logits:
                left[entry.key] -= 1
                if left[entry.key]:
                    wanted[entry.key].append(5)
                    batcher.sampled(entry.key, 5)
                else:
                    assert batcher.remove(entry.key)
                    del left[entry.key], in_slot[entry.key]
    assert not left
    assert batcher.running == batcher.waiting == 0
