"""The life of a task: one table of transitions, the only place that changes a task.

``apply(task, event, now)`` looks the pair of state and event up in `TRANSITIONS`; a pair that is
not there raises `IllegalTransition` and changes nothing. Otherwise the task is changed and a list
of effects says what the rest of the house has to do about it. The machine knows neither actors nor
storage nor who is watching.

::

    scheduled ──Due──▶ available ──Start──▶ executing ──Finish──▶ completed
        ▲                  ▲  ▲                │ │ │
        │                  │  └──Lose──────────┘ │ └─Fail, attempts used up──▶ discarded
        │                  └──Due── retryable ◀──┘ Fail
        └ accept           ▲
                           └──Retry── completed, cancelled, discarded
    Cancel leads from every state before an end to cancelled; Answer to completed.

A turn may be the fallback's, which is no attempt of the model. Then `AskFallback` asks for an
answer, which is an `Answer`, a `HandOver` to another model, or `Unanswered`. A task whose attempts
are used up waits for a turn of the fallback alone; so does one that another model has gone on with,
whose tokens mean nothing to the first.

Text is kept over attempts: a later attempt goes on behind the tokens of the one before, so nothing
is said twice. Only `Retry` of an ended task begins at the first character again.

Of the time scales of a `Moment`, dates are of the wall clock, for people; waits and durations are
measured by how long the node has run; and `edge.tasks.schedule` says when a task is due.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from edge.clock import NS_PER_MS, Moment
from edge.tasks.effects import (
    AskFallback,
    Conclude,
    Dequeue,
    Effect,
    Enqueue,
    Record,
    Release,
    StartGenerating,
    StopGenerating,
    Tell,
    TellProgress,
    Wake,
)
from edge.tasks.events import (
    Admit,
    Answer,
    Begin,
    Cancel,
    Due,
    Event,
    Fail,
    Finish,
    HandOver,
    Lose,
    Recover,
    Retry,
    Start,
    StartFallback,
    Unanswered,
)
from edge.tasks.logprobs import before
from edge.tasks.schedule import LOOK_AGAIN_MS, left_ms, set_date, set_due
from edge.tasks.task import (
    Fallback,
    Request,
    State,
    Task,
    TaskError,
    Timings,
    Usage,
)
from edge.tasks.text import Text


class IllegalTransition(Exception):
    """This event means nothing in this state; the task is unchanged."""

    def __init__(self, state: State, what: str) -> None:
        super().__init__(f"{what} is not possible in state {state}")


# ---- the way in


def accept(request: Request, now: Moment, schedule_in_ms: int = 0) -> tuple[Task, list[Effect]]:
    """A new task and what follows from it. The first version has to be stored by the caller before
    anybody is told of the task, so no `Record` is among the effects."""
    task = Task(
        request=request,
        state=State.SCHEDULED if schedule_in_ms > 0 else State.AVAILABLE,
        created_ns=now.wall_ns,
        ready_run_ns=now.run_ns,
        max_attempts=request.max_attempts,
    )
    if schedule_in_ms > 0:
        set_due(task, schedule_in_ms, now)
    return task, _wait(task, now)


def apply(task: Task, event: Event, now: Moment) -> list[Effect]:
    """Changes the task as the event demands and returns what else has to happen, in order."""
    row = ON_FALLBACK if task.fallback_turn else TRANSITIONS[task.state]
    transition = row.get(type(event))
    if transition is None:
        raise IllegalTransition(task.state, type(event).__name__)
    return transition(task, event, now)


# ---- transitions


def _wait(task: Task, now: Moment) -> list[Effect]:
    if task.state is State.AVAILABLE:
        # One that had its turn since it was last ready has lost it, and goes before the others.
        return [Enqueue(front=task.ready_run_ns is None, fallback_only=task.beyond_model)]
    set_date(task, now)
    return [Wake(min(left_ms(task, now), LOOK_AGAIN_MS))]


def _begin(task: Task, _event: Begin, now: Moment) -> list[Effect]:
    return _wait(task, now)


def _cut_back(task: Task) -> None:
    """The text is as short as it is now, whatever clients have seen."""
    length = len(task.output)
    task.text_floor = length if task.text_floor is None else min(task.text_floor, length)


def _recover(task: Task, _event: Recover, now: Moment) -> list[Effect]:
    _cut_back(task)
    return _wait(task, now)


def _recover_executing(task: Task, _event: Recover, _now: Moment) -> list[Effect]:
    _cut_back(task)
    return [Record("recovered"), *_back_to_line(task)]


def _due(task: Task, _event: Due, now: Moment) -> list[Effect]:
    if left_ms(task, now) > 0:
        return _wait(task, now)
    task.state = State.AVAILABLE
    task.ready_run_ns = now.run_ns
    task.due_ns = task.scheduled_ns = task.tag = None
    # It is written down with its place in the line.
    return [Enqueue(front=False), Record("due")]


def _since_ready_ms(task: Task, now: Moment) -> float:
    """For how long the node has run since the task first waited for its turn."""
    if task.begun_run_ns is not None:
        return (now.run_ns - task.begun_run_ns) / NS_PER_MS + (task.timings.queued_ms or 0.0)
    return 0.0 if task.ready_run_ns is None else (now.run_ns - task.ready_run_ns) / NS_PER_MS


def _execute(task: Task, now: Moment) -> None:
    task.state = State.EXECUTING
    task.prefill_done = 0
    if task.begun_run_ns is None:
        task.timings = replace(task.timings, queued_ms=_since_ready_ms(task, now))
        task.begun_run_ns, task.started_ns = now.run_ns, now.wall_ns
    task.ready_run_ns = None


def _start(task: Task, _event: Start, now: Moment) -> list[Effect]:
    _execute(task, now)
    task.attempt += 1
    return [
        Record("started"),
        StartGenerating(task.request.timeout_ms),
        TellProgress("prefill", "", len(task.output)),
    ]


def _admit(task: Task, event: Admit, _now: Moment) -> list[Effect]:
    task.usage = replace(
        task.usage, prompt_tokens=event.prompt_tokens, cached_tokens=event.cached_tokens
    )
    task.prefill_done = event.cached_tokens
    if not len(task.output):
        # Text that is there already goes on as it began.
        task.dialect = event.dialect
    return []


def progress(
    task: Task,
    prefilled: int,
    tokens: Sequence[int],
    text: str,
    moment: Callable[[], Moment],
    logprobs: tuple[str, ...] = (),
) -> int:
    """A step of the engine: so many prompt tokens read in all, new output tokens, the text that
    they gave, and what is said of them (`edge.tasks.logprobs`); the offset at which it begins.

    A transition like those of the table. But this one comes with every token of every task, and
    there is nothing to carry out but to tell of it: so there is no event and no effect, and the
    time is asked for the first text alone.
    """
    if task.state is not State.EXECUTING:
        raise IllegalTransition(task.state, "progress")
    task.prefill_done = prefilled
    if tokens:
        task.tokens.extend(tokens)
    if logprobs:
        task.logprobs += logprobs
    return _append(task, text, moment)


def _append(task: Task, text: str, moment: Callable[[], Moment]) -> int:
    """Adds output text; the offset at which it begins."""
    offset = len(task.output)
    if text:
        task.output.append(text)
        if task.timings.ttft_ms is None:
            # From when it first became ready, whatever attempts and pauses were between.
            task.timings = replace(task.timings, ttft_ms=_since_ready_ms(task, moment()))
    return offset


def _finish(task: Task, event: Finish, now: Moment) -> list[Effect]:
    offset = _append(task, event.text, lambda: now)
    before = task.fallback.tokens if task.fallback else 0
    task.usage = replace(event.usage, completion_tokens=before + event.usage.completion_tokens)
    task.timings = replace(task.timings, prefill_ms=event.prefill_ms, decode_ms=event.decode_ms)
    effects: list[Effect] = [Release()]
    if event.text:
        effects.append(TellProgress("decode", event.text, offset))
    source = task.fallback.source if task.fallback else "model"
    return effects + _end(task, State.COMPLETED, event.reason, source, now)


def _end(
    task: Task, state: State, reason: str | None, source: str | None, now: Moment
) -> list[Effect]:
    """The task reaches `state`, one of the ends. What is told is built from the task itself by
    who tells it, because by then the store knows more (is it durable?)."""
    task.state = state
    task.fallback_turn = False
    task.finished_ns = now.wall_ns
    task.due_ns = task.scheduled_ns = None
    begun_ns = task.begun_run_ns
    task.timings = replace(
        task.timings,
        ran_ms=None if begun_ns is None else (now.run_ns - begun_ns) / NS_PER_MS,
        total_ms=_since_ready_ms(task, now),
    )
    task.finish_reason = reason
    task.source = source
    event = {
        State.COMPLETED: "completed",
        State.CANCELLED: "cancelled",
        State.DISCARDED: "failed",
    }[state]
    return [Conclude(event)]


def _fail(task: Task, event: Fail, now: Moment) -> list[Effect]:
    error = TaskError(task.attempt, now.wall_ns, event.code, event.message)
    task.add_error(error)
    if event.recoverable and task.attempt >= task.max_attempts and event.fallback:
        task.state = State.AVAILABLE
        task.prefill_done = 0
        line = Enqueue(front=True, fallback_only=True)
        return [Release(), Record("attempts used up", event.message), line]
    if not event.recoverable or task.attempt >= task.max_attempts:
        return [Release(), *_end(task, State.DISCARDED, None, None, now)]
    task.state = State.RETRYABLE
    set_due(task, event.retry_in_ms, now)
    told = {
        "attempt": task.attempt,
        "max_attempts": task.max_attempts,
        "in_ms": event.retry_in_ms,
        "error": {"code": event.code, "message": event.message},
    }
    return [
        Release(),
        Record("failed", event.message),
        Tell("retrying", told),
        *_wait(task, now),
    ]


def _fail_waiting(task: Task, event: Fail, now: Moment) -> list[Effect]:
    """The task itself cannot be worked with, such as when its actor breaks again and again."""
    task.add_error(TaskError(task.attempt, now.wall_ns, event.code, event.message))
    return [Dequeue(), *_end(task, State.DISCARDED, None, None, now)]


def _fail_on_fallback(task: Task, event: Fail, now: Moment) -> list[Effect]:
    task.add_error(TaskError(task.attempt, now.wall_ns, event.code, event.message))
    return [Release(), *_end(task, State.DISCARDED, None, None, now)]


def _back_to_line(task: Task) -> list[Effect]:
    """The turn did not count."""
    if task.fallback_turn:
        task.fallback_turn = False
    else:
        task.attempt -= 1
    task.state = State.AVAILABLE
    task.prefill_done = 0
    return [Enqueue(front=True, fallback_only=task.beyond_model)]


def _lose(task: Task, event: Lose, _now: Moment) -> list[Effect]:
    return [Release(), Record("engine lost", event.reason), *_back_to_line(task)]


def _cancel_waiting(task: Task, _event: Cancel, now: Moment) -> list[Effect]:
    return [Dequeue(), *_end(task, State.CANCELLED, "cancelled", None, now)]


def _cancel_executing(task: Task, _event: Cancel, now: Moment) -> list[Effect]:
    return [StopGenerating(), Release(), *_end(task, State.CANCELLED, "cancelled", None, now)]


def _start_fallback(task: Task, event: StartFallback, now: Moment) -> list[Effect]:
    _execute(task, now)
    task.fallback_turn = True
    return [Record("fallback", event.reason), AskFallback()]


def _goes_on(task: Task, source: str) -> Tell:
    """From here on the text is not the model's: whoever watches is told before it comes."""
    task.fallback = Fallback(source, len(task.output), task.tokens_made)
    task.tokens = []
    # What the model had begun to say beyond is not gone on with.
    task.logprobs = before(task.logprobs, len(task.output))
    return Tell("fallback", {"source": source, "offset": len(task.output)})


def _hand_over(task: Task, _event: HandOver, _now: Moment) -> list[Effect]:
    run = StartGenerating(task.request.timeout_ms)
    if task.fallback is not None:
        return [run]
    return [Record("handed over"), _goes_on(task, "fallback_model"), run]


def _unanswered(task: Task, event: Unanswered, now: Moment) -> list[Effect]:
    """What the model can still do is left to it."""
    if not task.beyond_model:
        return [Release(), Record("no fallback", event.reason), *_back_to_line(task)]
    if not task.errors:
        task.add_error(TaskError(task.attempt, now.wall_ns, "no_answer", event.reason))
    return [Release(), *_end(task, State.DISCARDED, None, None, now)]


def _answer(task: Task, event: Answer, now: Moment) -> list[Effect]:
    held: list[Effect] = (
        [StopGenerating(), Release()] if task.state is State.EXECUTING else [Dequeue()]
    )
    marked = _goes_on(task, event.source)
    task.usage = replace(task.usage, completion_tokens=task.tokens_made)
    offset = _append(task, event.text, lambda: now)
    told = TellProgress("fallback", event.text, offset)
    return [*held, marked, told, *_end(task, State.COMPLETED, "stop", event.source, now)]


def _retry(task: Task, _event: Retry, now: Moment) -> list[Effect]:
    task.state = State.AVAILABLE
    task.ready_run_ns = now.run_ns
    task.max_attempts = max(task.max_attempts, task.attempt + 1)
    task.output = Text()
    _cut_back(task)
    task.tokens = []
    task.logprobs = ()
    task.prefill_done = 0
    task.usage = Usage()
    task.timings = Timings()
    task.begun_run_ns = task.started_ns = task.finished_ns = None
    task.finish_reason = task.source = task.fallback = task.tag = task.dialect = None
    task.reasoning_tokens = 0
    return [Record("retried"), Tell("rewind", {"offset": 0}), Enqueue(front=False)]


_Transition = Callable[[Task, Any, Moment], list[Effect]]

_WAITING: Final[dict[type[Any], _Transition]] = {
    Recover: _recover,
    Cancel: _cancel_waiting,
    Answer: _answer,
    Fail: _fail_waiting,
}
_ENDED: Final[dict[type[Any], _Transition]] = {Retry: _retry}

TRANSITIONS: Final[dict[State, dict[type[Any], _Transition]]] = {
    State.SCHEDULED: _WAITING | {Begin: _begin, Due: _due},
    State.RETRYABLE: _WAITING | {Due: _due},
    State.AVAILABLE: _WAITING | {Begin: _begin, Start: _start, StartFallback: _start_fallback},
    State.EXECUTING: {
        Recover: _recover_executing,
        Admit: _admit,
        Finish: _finish,
        Fail: _fail,
        Lose: _lose,
        Answer: _answer,
        Cancel: _cancel_executing,
    },
    State.COMPLETED: _ENDED,
    State.CANCELLED: _ENDED,
    State.DISCARDED: _ENDED,
}

ON_FALLBACK: Final[dict[type[Any], _Transition]] = {
    Recover: _recover_executing,
    HandOver: _hand_over,
    Admit: _admit,
    Finish: _finish,
    Fail: _fail_on_fallback,
    Lose: _lose,
    Answer: _answer,
    Unanswered: _unanswered,
    Cancel: _cancel_executing,
}
"""The row of an executing task whose turn is the fallback's."""
