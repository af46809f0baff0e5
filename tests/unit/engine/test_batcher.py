from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.engine.batcher import Batcher

PROMPTS = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=60), max_size=12)


@settings(deadline=None, max_examples=60)
@given(PROMPTS, st.integers(1, 4), st.integers(1, 40), st.booleans())
def test_steps_hold_what_they_promise(
    prompts: list[list[int]], slots: int, budget: int, reuse: bool
) -> None:
    batcher = Batcher(slots, budget, 8, reuse=reuse)
    for key, prompt in enumerate(prompts):
        assert batcher.add(key, prompt)
    cache: dict[int, list[int]] = {number: [] for number in range(slots)}
    holder: dict[int, int] = {}
    generated: dict[int, list[int]] = {}
    for _ in range(2_000):
        for admission in batcher.admit():
            assert admission.slot not in holder
            holder[admission.slot] = admission.key
            if admission.copy_from is not None:
                cache[admission.slot] = list(cache[admission.copy_from])
            del cache[admission.slot][admission.keep :]
            prompt = prompts[admission.key]
            assert cache[admission.slot] == prompt[: admission.keep]
            assert admission.keep < len(prompt)
        entries = batcher.plan()
        if not entries:
            break
        assert sum(len(entry.tokens) for entry in entries) <= batcher.batch_tokens
        planned = [entry.key for entry in entries]
        assert len(planned) == len(set(planned))
        assert set(generated) <= set(planned)
        for entry in entries:
            assert holder[entry.slot] == entry.key
            assert len(cache[entry.slot]) == entry.start
            cache[entry.slot].extend(entry.tokens)
            whole = prompts[entry.key] + generated.get(entry.key, [])
            assert cache[entry.slot] == whole[: len(cache[entry.slot])]
            assert entry.wants_logits == (len(cache[entry.slot]) == len(whole))
        batcher.decoded(entries)
        for entry in entries:
            if not entry.wants_logits:
                continue
            if len(generated.setdefault(entry.key, [])) == 3:
                assert batcher.remove(entry.key)
                assert not batcher.remove(entry.key)
                del generated[entry.key], holder[entry.slot]
            else:
                generated[entry.key].append(9)
                batcher.sampled(entry.key, 9)
    assert (batcher.running, batcher.waiting, holder) == (0, 0, {})


def test_a_shared_beginning_is_read_once() -> None:
    batcher = Batcher(2, 512, 512)
    beginning = list(range(100))
    batcher.add(1, [*beginning, 201])
    batcher.add(2, [*beginning, 202])
    assert [each.key for each in batcher.admit()] == [1]
    batcher.decoded(batcher.plan())
    (second,) = batcher.admit()
    assert (second.key, second.copy_from, second.keep) == (2, 0, 100)


def test_the_line_is_bounded() -> None:
    batcher = Batcher(1, 32, 16, waiting_max=1)
    assert batcher.add(1, [1])
    assert not batcher.add(2, [1])
