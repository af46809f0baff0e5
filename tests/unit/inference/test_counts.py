"""Who waits for a count, and what is not counted again."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.actors import CallTimeout, Reply
from edge.clock import NS_PER_MS
from edge.conversation import Message
from edge.engine.messages import Count, Counted
from edge.errors import EngineDead, EngineError, Overloaded
from edge.inference.counts import (
    CHARS_WAITING_MAX,
    COUNTS_WAITING_MAX,
    KEPT_OUT_MAX,
    KEPT_OUT_MS,
    Counts,
)
from edge.inference.protocol import CountTokens

LOOP = asyncio.new_event_loop()
"""Never runs: the futures are only looked at."""


class Caller:
    """Somebody who has asked."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[object] = asyncio.Future(loop=LOOP)
        self.reply = Reply(self.answer)


def ask(counts: Counts, prompt: str, now_ns: int = 0) -> tuple[Count, Caller]:
    caller = Caller()
    return counts.add(CountTokens(prompt, None), caller.reply, now_ns), caller


def die_of(counts: Counts, prompt: str, now_ns: int = 0) -> None:
    """The engine dies while it measures this."""
    count, caller = ask(counts, prompt, now_ns)
    counts.turned_to(count.key)
    counts.lose_all("it died", now_ns, own_fault=True)
    assert isinstance(caller.answer.exception(), EngineDead)


def test_each_hears_its_own_answer_once() -> None:
    counts = Counts()
    (one, first), (two, second) = ask(counts, "a"), ask(counts, "b")
    assert one == Count(-1, "a", None)
    assert two == Count(-2, "b", None)
    assert counts.answer(-2, Counted(-2, 5, 10))
    assert counts.answer(-1, EngineError("no"))
    assert second.answer.result() == Counted(-2, 5, 10)
    assert isinstance(first.answer.exception(), EngineError)
    assert not counts.answer(-1, Counted(-1, 1, 1))
    assert not counts.answer(7, Counted(7, 1, 1))
    assert len(counts) == 0


def test_so_many_wait_and_no_more() -> None:
    counts = Counts()
    for _ in range(COUNTS_WAITING_MAX):
        ask(counts, "a")
    with pytest.raises(Overloaded):
        ask(counts, "a")
    counts.answer(-1, Counted(-1, 1, 1))
    ask(counts, "a")


def test_so_many_characters_wait_and_no_more() -> None:
    counts = Counts()
    half = "a" * (CHARS_WAITING_MAX // 2)
    ask(counts, half)
    ask(counts, half)
    with pytest.raises(Overloaded):
        ask(counts, "a")
    counts.answer(-1, Counted(-1, 1, 1))
    ask(counts, "a")


def test_one_alone_may_be_of_any_length() -> None:
    counts = Counts()
    ask(counts, "a" * (CHARS_WAITING_MAX + 1))
    with pytest.raises(Overloaded):
        ask(counts, "a")


@given(st.lists(st.tuples(st.sampled_from("adl"), st.integers(-30, -1)), max_size=60))
def test_what_has_been_answered_takes_no_room(steps: list[tuple[str, int]]) -> None:
    counts = Counts()
    for what, key in steps:
        if what == "a":
            ask(counts, "abc")
        elif what == "d":
            counts.answer(key, Counted(key, 1, 1))
        else:
            counts.lose_all("it died", 0, own_fault=False)
    for key in range(-61, 0):
        counts.answer(key, Counted(key, 1, 1))
    half = "a" * (CHARS_WAITING_MAX // 2)
    ask(counts, half)
    ask(counts, half)


def test_all_who_wait_hear_of_a_death() -> None:
    counts = Counts()
    callers = [ask(counts, prompt)[1] for prompt in "abc"]
    counts.lose_all("it died", 0, own_fault=True)
    assert all(isinstance(each.answer.exception(), EngineDead) for each in callers)


def test_who_has_given_up_waiting_takes_no_room() -> None:
    counts = Counts()
    late, caller = ask(counts, "a" * CHARS_WAITING_MAX)
    assert counts.abandoned() == []
    caller.answer.set_exception(CallTimeout("engine", 1))
    assert isinstance(caller.answer.exception(), CallTimeout)
    assert counts.abandoned() == [late.key]
    assert counts.abandoned() == []
    ask(counts, "b" * CHARS_WAITING_MAX)
    assert not counts.answer(late.key, Counted(late.key, 1, 1))


def test_what_ended_the_engine_is_kept_out_for_a_while() -> None:
    counts = Counts()
    die_of(counts, "bad", now_ns=NS_PER_MS)
    ask(counts, "good", now_ns=NS_PER_MS)
    with pytest.raises(EngineError) as caught:
        ask(counts, "bad", now_ns=(KEPT_OUT_MS - 999) * NS_PER_MS)
    assert not caught.value.recoverable
    assert caught.value.retry_after_ms == 1_000
    ask(counts, "bad", now_ns=(KEPT_OUT_MS + 1) * NS_PER_MS)


def test_only_what_was_at_work_is_kept_out() -> None:
    counts = Counts()
    innocent, _ = ask(counts, "innocent")
    guilty, caller = ask(counts, "guilty")
    counts.turned_to(innocent.key)
    counts.turned_to(guilty.key)
    assert counts.chars_at_work == len("guilty")
    counts.lose_all("it died", 0, own_fault=True)
    assert isinstance(caller.answer.exception(), EngineDead)
    assert counts.chars_at_work is None
    ask(counts, "innocent")
    with pytest.raises(EngineError):
        ask(counts, "guilty")


@pytest.mark.parametrize("other", ["answered", "another's", "killed from outside"])
def test_who_was_not_at_work_or_not_the_cause_is_not_kept_out(other: str) -> None:
    counts = Counts()
    count, _ = ask(counts, "a prompt")
    counts.turned_to(count.key)
    if other == "answered":
        counts.answer(count.key, Counted(count.key, 1, 1))
    elif other == "another's":
        counts.turned_to(5)  # a request that runs
    assert (counts.chars_at_work is None) == (other != "killed from outside")
    counts.lose_all("it died", 0, own_fault=other != "killed from outside")
    ask(counts, "a prompt")


def test_so_many_are_remembered_and_the_oldest_forgotten() -> None:
    counts = Counts()
    for number in range(KEPT_OUT_MAX + 1):
        die_of(counts, f"prompt {number}")
    ask(counts, "prompt 0")
    for number in (1, KEPT_OUT_MAX):
        with pytest.raises(EngineError):
            ask(counts, f"prompt {number}")


def test_messages_are_told_apart_as_prompts_are() -> None:
    counts = Counts()
    asked = CountTokens(None, (Message("user", "bad"),))
    caller = Caller()
    counts.turned_to(counts.add(asked, caller.reply, 0).key)
    counts.lose_all("it died", 0, own_fault=True)
    assert isinstance(caller.answer.exception(), EngineDead)
    counts.add(CountTokens(None, (Message("system", "bad"),)), Caller().reply, 0)
    ask(counts, "bad")
    with pytest.raises(EngineError):
        counts.add(asked, Caller().reply, 0)
