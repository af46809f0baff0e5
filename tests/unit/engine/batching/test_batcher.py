from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.engine.batching.batcher import Batcher
from edge.engine.batching.budget import FIRST_TOKENS, Budget
from edge.engine.batching.caches import Caches
from edge.engine.batching.draft import ROWS_MAX
from edge.engine.batching.shelf import Shelf

PROMPTS = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=60), max_size=12)


@settings(deadline=None, max_examples=60)
@given(PROMPTS, st.integers(1, 4), st.integers(1, 40), st.booleans())
def test_steps_hold_what_they_promise(
    prompts: list[list[int]], slots: int, budget: int, cuts: bool
) -> None:
    batcher = Batcher(Caches(slots, Shelf(0), cuts=cuts), Budget(200, max(budget, slots)))
    for key, prompt in enumerate(prompts):
        assert batcher.add(key, prompt)
    cache: dict[int, list[int]] = {number: [] for number in range(slots)}
    holder: dict[int, int] = {}
    generated: dict[int, list[int]] = {}
    for _ in range(2_000):
        for key, admission in batcher.admit():
            assert admission.slot not in holder
            holder[admission.slot] = key
            if admission.copy_from is not None:
                cache[admission.slot] = list(cache[admission.copy_from])
            del cache[admission.slot][admission.keep :]
            prompt = prompts[key]
            assert cache[admission.slot] == prompt[: admission.keep]
            assert admission.keep < len(prompt)
        entries = batcher.plan()
        if not entries:
            break
        assert sum(len(entry.tokens) for entry in entries) <= batcher.budget.most
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
    batcher = Batcher(Caches(2, Shelf(0)), Budget(200, 512))
    beginning = list(range(FIRST_TOKENS - 1))
    batcher.add(1, [*beginning, 201])
    batcher.add(2, [*beginning, 202])
    assert [key for key, _ in batcher.admit()] == [1]
    batcher.decoded(batcher.plan())
    ((key, placement),) = batcher.admit()
    assert (key, placement.copy_from, placement.keep) == (2, 0, FIRST_TOKENS - 1)


def test_the_line_is_bounded() -> None:
    batcher = Batcher(Caches(1, Shelf(0)), Budget(200, 32), waiting_max=1)
    assert batcher.add(1, [1])
    assert not batcher.add(2, [1])


def test_who_came_last_waits_again_with_all_that_it_has_said() -> None:
    batcher = Batcher(Caches(2, Shelf(0)), Budget(200, 512))
    for key in (1, 2):
        batcher.add(key, [key] * 16)
    batcher.admit()
    batcher.decoded(batcher.plan())
    batcher.sampled(1, 7)
    batcher.sampled(2, 8)
    batcher.add(3, [3])
    assert batcher.requeue() == 2
    (entry,) = batcher.plan()
    assert entry.key == 1
    assert batcher.requeue() is None
    # Nobody overtakes it, and what it had read is still there.
    ((key, placement),) = batcher.admit()
    assert (key, placement.keep) == (2, 16)
    assert [each.tokens for each in batcher.plan()] == [(7,), (8,)]


def test_what_could_not_be_brought_is_read() -> None:
    batcher = Batcher(Caches(2, Shelf(0)), Budget(200, 512))
    batcher.add(1, [1] * 20)
    batcher.admit()
    batcher.decoded(batcher.plan())
    batcher.remove(1)
    batcher.add(2, [1] * 20)
    batcher.admit()
    batcher.reread(2)
    (entry,) = batcher.plan()
    assert (entry.start, len(entry.tokens)) == (0, 20)


def drafting() -> tuple[Batcher, list[int]]:
    """One sequence whose prompt has been read, and which says what it begins with."""
    batcher = Batcher(Caches(2, Shelf(0)), Budget(200, 512), drafts=True)
    prompt = [*range(20), 50]
    batcher.add(1, prompt)
    batcher.admit()
    batcher.decoded(batcher.plan())
    for token in (0, 1):
        batcher.sampled(1, token)
        batcher.decoded(batcher.plan())
    batcher.sampled(1, 2)
    return batcher, [*prompt, 0, 1]


def test_guesses_follow_the_sure_token_and_the_wrong_ones_are_cut_off() -> None:
    batcher, read = drafting()
    (entry,) = batcher.plan()
    assert (entry.tokens, entry.drafted, entry.start) == ((2, 3, 4), 2, len(read))
    batcher.decoded([entry])
    batcher.sampled(1, 3)
    batcher.sampled(1, 9)
    assert batcher.verified(entry, 1) == len(read) + 2
    (entry,) = batcher.plan()
    assert (entry.tokens[0], entry.start) == (9, len(read) + 2)


def test_nobody_guesses_while_somebody_reads() -> None:
    batcher, _ = drafting()
    batcher.add(2, [99] * 40)
    batcher.admit()
    entries = {entry.key: entry for entry in batcher.plan()}
    assert entries[1].tokens == (2,)
    assert len(entries[2].tokens) > 1


def test_guesses_take_the_rows_that_there_are_and_no_more() -> None:
    batcher = Batcher(Caches(16, Shelf(0)), Budget(200, 512), drafts=True)
    for key in range(16):
        batcher.add(key, [key, *range(100, 120), key, 100, 101])
    batcher.admit()
    while any(batcher.prefilled(key) < 24 for key in range(16)):
        batcher.decoded([entry for entry in batcher.plan() if batcher.reads(entry)])
    for key in range(16):
        batcher.sampled(key, 102)
    for running in range(16, 0, -1):
        rows = sum(len(entry.tokens) for entry in batcher.plan())
        assert rows <= max(running, ROWS_MAX)
        batcher.remove(running - 1)


def test_what_was_said_before_is_read_as_it_was_said() -> None:
    """The prompt in one piece, then a token in a step; the same where the sequence has to wait
    again. Only what is read in pieces teaches what reading costs."""
    batcher = Batcher(Caches(2, Shelf(0), cuts=False), Budget(200, 64))
    assert batcher.add(1, [7] * 5)
    assert batcher.add(2, [*[8] * 5, 1, 2, 3], singly_from=5)
    batcher.admit()
    steps = []
    for _ in range(3):
        entries = batcher.plan()
        steps += [each for each in entries if each.key == 2]
        if len(steps) == 1:
            assert all(map(batcher.reads, entries))
        else:
            assert not batcher.reads(steps[-1])
        batcher.decoded(entries)
        batcher.sampled(1, 9)
    assert [each.tokens for each in steps] == [(8,) * 5, (1,), (2,)]
    assert batcher.requeue() == 2
    batcher.admit()
    again = []
    for _ in range(4):
        (entry,) = [each for each in batcher.plan() if each.key == 2]
        batcher.decoded([entry])
        again.append((entry.tokens, entry.wants_logits))
    assert again == [((8,) * 5, False), ((1,), False), ((2,), False), ((3,), True)]
