"""Every pair of state and event, and what holds over any sequence of them."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.tasks import effects, events, machine
from edge.tasks.events import Event
from edge.tasks.machine import IllegalTransition
from edge.tasks.task import TERMINAL, Options, Request, State, Task, Usage

EVENTS: dict[str, Event] = {
    "Begin": events.Begin(),
    "Recover": events.Recover(),
    "Due": events.Due(),
    "Start": events.Start(),
    "Admit": events.Admit(3, 1),
    "Progress": events.Progress(3, (7,), "ab"),
    "Finish": events.Finish("stop", "c", Usage(3, 1, 2), 1.0, 2.0),
    "Fail": events.Fail("engine_failed", "it broke", True, 100),
    "Lose": events.Lose("gone"),
    "Answer": events.Answer("sorry", "notice"),
    "Cancel": events.Cancel(),
    "Retry": events.Retry(),
}
S = State
WAITING = {"Cancel": S.CANCELLED, "Answer": S.COMPLETED, "Fail": S.DISCARDED}
LEGAL: dict[State, dict[str, State]] = {
    S.SCHEDULED: WAITING | {"Begin": S.SCHEDULED, "Recover": S.SCHEDULED, "Due": S.AVAILABLE},
    S.RETRYABLE: WAITING | {"Recover": S.RETRYABLE, "Due": S.AVAILABLE},
    S.AVAILABLE: WAITING | {"Begin": S.AVAILABLE, "Recover": S.AVAILABLE, "Start": S.EXECUTING},
    S.EXECUTING: {
        "Recover": S.AVAILABLE,
        "Admit": S.EXECUTING,
        "Progress": S.EXECUTING,
        "Finish": S.COMPLETED,
        "Fail": S.RETRYABLE,
        "Lose": S.AVAILABLE,
        "Answer": S.COMPLETED,
        "Cancel": S.CANCELLED,
    },
    **{end: {"Retry": S.AVAILABLE} for end in TERMINAL},
}


def task_in(state: State) -> Task:
    request = Request("t", "c", "hi", None, None, Options())
    return Task(request, state, 0, attempt=1 if state is S.EXECUTING else 0)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("name", EVENTS)
def test_every_pair(state: State, name: str) -> None:
    task = task_in(state)
    before = copy.deepcopy(task)
    wanted = LEGAL[state].get(name)
    if wanted is None:
        with pytest.raises(IllegalTransition):
            machine.apply(task, EVENTS[name], 5)
        assert task == before
    else:
        asked = machine.apply(task, EVENTS[name], 5)
        assert task.state is wanted
        concluded = sum(isinstance(each, effects.Conclude) for each in asked)
        assert concluded == (wanted in TERMINAL)
        released = sum(isinstance(each, effects.Release) for each in asked)
        # A rebuilt task's slot went with its actor.
        leaves = state is S.EXECUTING and wanted is not S.EXECUTING and name != "Recover"
        assert released == leaves


def test_the_last_attempt_that_fails_discards() -> None:
    task = task_in(S.EXECUTING)
    task.attempt = task.max_attempts
    machine.apply(task, EVENTS["Fail"], 5)
    assert task.state is S.DISCARDED


@settings(deadline=None, max_examples=80)
@given(st.lists(st.sampled_from(sorted(EVENTS)), max_size=40), st.integers(0, 5))
def test_any_sequence(names: list[str], schedule_in_ms: int) -> None:
    request = Request("t", "c", "hi", None, None, Options(), max_attempts=2)
    task, _ = machine.accept(request, 0, schedule_in_ms)
    for now_ns, name in enumerate(names, 1):
        text = task.text
        try:
            asked = machine.apply(task, EVENTS[name], now_ns)
        except IllegalTransition:
            assert name not in LEGAL[task.state]
            continue
        assert 0 <= task.attempt <= task.max_attempts
        assert (task.finished_ns is not None) == task.terminal
        if name == "Retry":
            assert task.text == ""
        else:
            assert task.text.startswith(text)
        for effect in asked:
            if isinstance(effect, effects.TellProgress):
                assert task.text[effect.offset :] == effect.delta


def test_what_was_cut_back_is_read_again() -> None:
    task = task_in(S.EXECUTING)
    task.text = "Once upon"
    assert task.resume_offset(4) == 4
    assert task.resume_offset(20) == 9
    machine.apply(task, events.Recover(), 0)
    task.text = "Once upon a time"
    assert task.resume_offset(4) == 4
    assert task.resume_offset(14) == 9
