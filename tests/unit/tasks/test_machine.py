"""Every pair of state and event, and what holds over any sequence of them."""

from __future__ import annotations

import copy
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clock import NS_PER_MS, WALL_NS_MAX, Moment
from edge.tasks import effects, events, machine
from edge.tasks.events import Event
from edge.tasks.machine import IllegalTransition
from edge.tasks.task import (
    TERMINAL,
    Fallback,
    Options,
    Request,
    State,
    Task,
    Timings,
    Usage,
    snapshot_from_json,
)
from tests.support.rows import with_text
from tests.support.times import at

EVENTS: dict[str, Event] = {
    "Begin": events.Begin(),
    "Recover": events.Recover(),
    "Due": events.Due(),
    "Start": events.Start(),
    "Admit": events.Admit(3, 1),
    "Finish": events.Finish("stop", "c", Usage(3, 1, 2), 1.0, 2.0),
    "Fail": events.Fail("engine_failed", "it broke", True, 100),
    "Lose": events.Lose("gone"),
    "StartFallback": events.StartFallback("no engine"),
    "HandOver": events.HandOver(),
    "Unanswered": events.Unanswered("nobody knows"),
    "Answer": events.Answer("sorry", "notice"),
    "Cancel": events.Cancel(),
    "Retry": events.Retry(),
}
S = State
REQUEST = Request("t", "c", "hi", None, None, Options())
WAITING = {"Cancel": S.CANCELLED, "Answer": S.COMPLETED, "Fail": S.DISCARDED}
LEGAL: dict[State, dict[str, State]] = {
    S.SCHEDULED: WAITING | {"Begin": S.SCHEDULED, "Recover": S.SCHEDULED, "Due": S.AVAILABLE},
    S.RETRYABLE: WAITING | {"Recover": S.RETRYABLE, "Due": S.AVAILABLE},
    S.AVAILABLE: WAITING
    | {
        "Begin": S.AVAILABLE,
        "Recover": S.AVAILABLE,
        "Start": S.EXECUTING,
        "StartFallback": S.EXECUTING,
    },
    S.EXECUTING: {
        "Recover": S.AVAILABLE,
        "Admit": S.EXECUTING,
        "Finish": S.COMPLETED,
        "Fail": S.RETRYABLE,
        "Lose": S.AVAILABLE,
        "Answer": S.COMPLETED,
        "Cancel": S.CANCELLED,
    },
    **{end: {"Retry": S.AVAILABLE} for end in TERMINAL},
}
ON_FALLBACK: dict[str, State] = {
    "Recover": S.AVAILABLE,
    "HandOver": S.EXECUTING,
    "Admit": S.EXECUTING,
    "Finish": S.COMPLETED,
    "Fail": S.DISCARDED,
    "Lose": S.AVAILABLE,
    "Answer": S.COMPLETED,
    "Unanswered": S.AVAILABLE,
    "Cancel": S.CANCELLED,
}


def progress(task: Task, now: Moment) -> int:
    """A step of the engine; the offset of its text."""
    return machine.progress(task, 3, (7,), "ab", lambda: now)


def legal(task: Task) -> dict[str, State]:
    return ON_FALLBACK if task.fallback_turn else LEGAL[task.state]


def task_in(state: State) -> Task:
    return Task(REQUEST, state, 0, attempt=1 if state is S.EXECUTING else 0)


@pytest.mark.parametrize(
    ("state", "fallback"), [*((state, False) for state in State), (S.EXECUTING, True)]
)
@pytest.mark.parametrize("name", EVENTS)
def test_every_pair(state: State, fallback: bool, name: str) -> None:
    task = task_in(state)
    task.fallback_turn = fallback
    before = copy.deepcopy(task)
    wanted = legal(task).get(name)
    if wanted is None:
        with pytest.raises(IllegalTransition):
            machine.apply(task, EVENTS[name], at(5))
        assert task == before
    else:
        asked = machine.apply(task, EVENTS[name], at(5))
        assert task.state is wanted
        concluded = sum(isinstance(each, effects.Conclude) for each in asked)
        assert concluded == (wanted in TERMINAL)
        released = sum(isinstance(each, effects.Release) for each in asked)
        # A rebuilt task's slot went with its actor.
        leaves = state is S.EXECUTING and wanted is not S.EXECUTING and name != "Recover"
        assert released == leaves


@pytest.mark.parametrize("state", State)
def test_only_a_running_task_makes_progress(state: State) -> None:
    task = task_in(state)
    before = copy.deepcopy(task)
    if state is S.EXECUTING:
        assert progress(task, at(5)) == 0
        assert (task.text, task.tokens, task.prefill_done) == ("ab", [7], 3)
    else:
        with pytest.raises(IllegalTransition, match="progress"):
            progress(task, at(5))
        assert task == before


def test_the_last_attempt_that_fails_discards() -> None:
    task = task_in(S.EXECUTING)
    task.attempt = task.max_attempts
    machine.apply(task, EVENTS["Fail"], at(5))
    assert task.state is S.DISCARDED


@settings(deadline=None, max_examples=80)
@given(st.lists(st.sampled_from([*sorted(EVENTS), "progress"]), max_size=40), st.integers(0, 5))
def test_any_sequence(names: list[str], schedule_in_ms: int) -> None:
    request = Request("t", "c", "hi", None, None, Options(), max_attempts=2)
    task, _ = machine.accept(request, at(0), schedule_in_ms)
    for now_ns, name in enumerate(names, 1):
        text = task.text
        if name == "progress" and task.state is S.EXECUTING:
            assert progress(task, at(now_ns)) == len(text)
            assert task.text == text + "ab"
        if name == "progress":
            continue
        try:
            asked = machine.apply(task, EVENTS[name], at(now_ns))
        except IllegalTransition:
            assert name not in legal(task)
            continue
        assert not task.fallback_turn or task.state is S.EXECUTING
        assert 0 <= task.attempt <= task.max_attempts
        assert (task.finished_ns is not None) == task.terminal
        if name == "Retry":
            assert task.text == ""
        else:
            assert task.text.startswith(text)
        for effect in asked:
            if isinstance(effect, effects.TellProgress):
                assert task.text[effect.offset :] == effect.delta


WALL_NS = st.integers(0, WALL_NS_MAX)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(st.sampled_from(sorted(EVENTS)), WALL_NS), max_size=40), WALL_NS)
def test_the_wall_clock_decides_nothing_but_dates(
    steps: list[tuple[str, int]], first_wall_ns: int
) -> None:
    """Two tasks live through the same, one of them by a wall clock that jumps about."""
    calm, _ = machine.accept(REQUEST, Moment(0, 0, 0), 1)
    wild, _ = machine.accept(REQUEST, Moment(0, 0, first_wall_ns), 1)
    for number, (name, wall_ns) in enumerate(steps, 1):
        run_ns = number * 300_000
        asked = []
        for task, shown_ns in ((calm, run_ns), (wild, wall_ns)):
            try:
                now = Moment(run_ns, run_ns, shown_ns)
                asked.append(machine.apply(task, EVENTS[name], now))
            except IllegalTransition:
                asked.append([])
        assert asked[0] == asked[1]
        for duration_ms in asdict(wild.timings).values():
            assert duration_ms is None or 0 <= duration_ms <= run_ns / NS_PER_MS + 3
    assert undated(calm) == undated(wild)


def undated(task: Task) -> Task:
    task.errors = tuple(replace(error, at_ns=0) for error in task.errors)
    task.created_ns, task.scheduled_ns, task.started_ns, task.finished_ns = 0, None, None, None
    return task


def test_durations_are_those_for_which_the_node_ran() -> None:
    task, _ = machine.accept(REQUEST, at(0))
    machine.apply(task, EVENTS["Start"], at(4 * NS_PER_MS))
    machine.apply(task, EVENTS["Lose"], at(5 * NS_PER_MS))
    # Over a restart, and a wall clock that went back by years.
    task = snapshot_from_json(REQUEST, task.snapshot().to_json()).restore()
    later = Moment(6 * NS_PER_MS, 10**15, 5)
    machine.apply(task, EVENTS["Recover"], later)
    machine.apply(task, EVENTS["Start"], later._replace(run_ns=7 * NS_PER_MS))
    progress(task, later._replace(run_ns=9 * NS_PER_MS))
    progress(task, later._replace(run_ns=10 * NS_PER_MS))
    machine.apply(task, EVENTS["Finish"], later._replace(run_ns=12 * NS_PER_MS))
    assert task.timings == Timings(4.0, 1.0, 9.0, 2.0, ran_ms=8.0, total_ms=12.0)


def test_a_task_that_had_no_turn_has_not_run() -> None:
    task, _ = machine.accept(REQUEST, at(0))
    machine.apply(task, EVENTS["Cancel"], at(5 * NS_PER_MS))
    assert (task.timings.ran_ms, task.timings.total_ms) == (None, 5.0)
    machine.apply(task, EVENTS["Retry"], at(50 * NS_PER_MS))
    machine.apply(task, EVENTS["Cancel"], at(52 * NS_PER_MS))
    assert task.timings.total_ms == 2.0, "from when it was asked for again"


def test_what_was_cut_back_is_read_again() -> None:
    task = task_in(S.EXECUTING)
    with_text(task, "Once upon")
    assert task.resume_offset(4) == 4
    assert task.resume_offset(20) == 9
    machine.apply(task, events.Recover(), at(0))
    with_text(task, "Once upon a time")
    assert task.resume_offset(4) == 4
    assert task.resume_offset(14) == 9


def on_fallback(text: str = "", tokens: int = 0, attempt: int = 0) -> Task:
    task = task_in(S.AVAILABLE)
    with_text(task, text)
    task.tokens, task.attempt = [1] * tokens, attempt
    asked = machine.apply(task, EVENTS["StartFallback"], at(5))
    assert asked == [effects.Record("fallback", "no engine"), effects.AskFallback()]
    return task


def test_an_answer_goes_on_behind_the_text_and_is_marked_first() -> None:
    task = on_fallback("Once ", tokens=2)
    asked = machine.apply(task, events.Answer("upon a time", "history"), at(5))
    marked, told = (
        asked.index(effects.Tell("fallback", {"source": "history", "offset": 5})),
        asked.index(effects.TellProgress("fallback", "upon a time", 5)),
    )
    assert marked < told
    assert (task.text, task.source, task.tokens_made) == ("Once upon a time", "history", 2)
    assert task.fallback == Fallback("history", 5, 2)
    assert task.attempt == 0


def test_another_model_counts_its_own_tokens_and_all_are_told() -> None:
    task = on_fallback("Once ", tokens=2)
    asked = machine.apply(task, EVENTS["HandOver"], at(5))
    marked = effects.Tell("fallback", {"source": "fallback_model", "offset": 5})
    assert asked == [effects.Record("handed over"), marked, effects.StartGenerating(None)]
    progress(task, at(6))
    assert (task.tokens, task.tokens_made) == ([7], 3)
    # Its engine is gone: it waits for the next one, and the model could not go on with this.
    asked = machine.apply(task, EVENTS["Lose"], at(7))
    assert asked[-1] == effects.Enqueue(front=True, fallback_only=True)
    machine.apply(task, EVENTS["StartFallback"], at(8))
    asked = machine.apply(task, EVENTS["HandOver"], at(8))
    assert asked == [effects.StartGenerating(None)], "it was marked before"
    machine.apply(task, events.Finish("stop", "", Usage(9, 0, 1), 1.0, 1.0), at(9))
    assert (task.source, task.usage.completion_tokens) == ("fallback_model", 3)


def test_attempts_that_are_used_up_lead_to_a_fallback_if_there_is_one() -> None:
    task = task_in(S.EXECUTING)
    task.attempt = task.max_attempts
    failed = events.Fail("engine_failed", "it broke", True, 100, fallback=True)
    asked = machine.apply(task, failed, at(5))
    assert task.state.value == "available"
    assert asked[-1] == effects.Enqueue(front=True, fallback_only=True)
    asked = machine.apply(task, EVENTS["Recover"], at(6))
    assert asked == [effects.Enqueue(front=False, fallback_only=True)]
    machine.apply(task, EVENTS["StartFallback"], at(7))
    machine.apply(task, EVENTS["Unanswered"], at(8))
    assert task.state.value == "discarded"
    assert [error.code for error in task.errors] == ["engine_failed"]


def test_who_was_handed_over_and_finds_no_answer_fails_with_a_word() -> None:
    task = on_fallback()
    machine.apply(task, EVENTS["HandOver"], at(5))
    machine.apply(task, EVENTS["Unanswered"], at(6))
    assert task.state is S.DISCARDED
    assert [(error.code, error.message) for error in task.errors] == [("no_answer", "nobody knows")]


def test_an_error_of_the_request_is_not_answered_otherwise() -> None:
    task = task_in(S.EXECUTING)
    machine.apply(task, events.Fail("prompt_too_long", "too long", False, 0, fallback=True), at(5))
    assert task.state is S.DISCARDED


def test_a_retry_begins_with_the_model_again() -> None:
    task = on_fallback("Once ", tokens=2)
    machine.apply(task, EVENTS["Answer"], at(5))
    asked = machine.apply(task, EVENTS["Retry"], at(6))
    assert asked[-1] == effects.Enqueue(front=False)
    assert task.fallback is None
    assert not task.beyond_model


LINES = tuple(f'["{text}",-1.0,{offset},[]]' for offset, text in enumerate("abcd"))


def test_logprobs_are_kept_over_a_lost_engine_and_gone_with_a_retry() -> None:
    task = Task(REQUEST, State.EXECUTING, 1)
    machine.progress(task, 1, (1,), "a", lambda: at(1), LINES[:1])
    machine.apply(task, EVENTS["Lose"], at(2))
    machine.apply(task, EVENTS["Start"], at(3))
    machine.progress(task, 1, (2,), "b", lambda: at(4), LINES[1:2])
    assert task.logprobs == LINES[:2]
    machine.apply(task, EVENTS["Finish"], at(5))
    assert task.snapshot().restore().logprobs == LINES[:2]
    machine.apply(task, EVENTS["Retry"], at(6))
    assert task.logprobs == ()


def test_who_goes_on_with_a_text_begins_where_it_ends() -> None:
    """The model had said "bc", of which only "b" was told: it might have become a stop string."""
    task = Task(REQUEST, State.EXECUTING, 1, fallback_turn=True)
    machine.progress(task, 1, (1, 2, 3), "ab", lambda: at(1), LINES[:3])
    machine.apply(task, EVENTS["HandOver"], at(2))
    machine.progress(task, 1, (4,), "X", lambda: at(3), ('["X",-2.0,2,[]]',))
    assert task.logprobs == (*LINES[:2], '["X",-2.0,2,[]]')
