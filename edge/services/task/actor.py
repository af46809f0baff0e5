"""The actor of one task: the only owner of its state, between the line, the engine, the store and
everybody who watches.

It feeds what it hears to the task's machine and carries the effects out. A crash brings it back
from the last snapshot, which is kept by the `LiveTask` that outlives it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from edge.actors import NORMAL, Actor, Down, Reason, Ref, Reply
from edge.clock import Timer
from edge.engine.messages import Admitted, Finished, Output, Rejected
from edge.errors import Conflict, Overloaded
from edge.inference import EngineLost
from edge.services.task import answer_form, wire
from edge.services.task.audience import Audience
from edge.services.task.current_turn import FALLBACK_NAME, CurrentTurn, Timeout
from edge.services.task.end_commit import Committed, EndCommit, WriteAgain
from edge.services.task.forecast import Owner
from edge.services.task.live_task import Dependencies, LiveTask
from edge.services.task.messages import (
    CancelTask,
    Command,
    Commanded,
    Describe,
    FallbackReady,
    FoundAnswer,
    ModelRefused,
    NoAnswer,
    Watch,
    offered,
)
from edge.services.task.reading import TOOL_CALL, Reading, reading_of
from edge.services.task.turns import Turn
from edge.services.task.wire import QueuePosition
from edge.tasks import effects, events, machine
from edge.tasks.line import Entry
from edge.tasks.machine import IllegalTransition
from edge.tasks.task import ENGINE_DIED, TOOL_CALLS, State, Task, Usage

CANCEL_MS: Final = 3_000
"""How long a cancel waits for its commit before it is answered all the same: for longer than until
a disk that was behind is tried once more, and not as long as who called waits."""

MODEL_UNAVAILABLE: Final = "model_unavailable"
"""The code of a task whose model cannot be had, though others may be."""

CANCELLING: Final = "cancelling"
"""What is said then in place of a state: the task runs no more, but the disk does not have that
yet, so a crash of the node could still bring it back."""

_JUST_ENDING: Final = "the task is just ending; try again in a moment"

_Outcome = dict[str, Any] | Conflict | Overloaded
"""What becomes of a command: the task's document, or why not."""
_Answer = Callable[[_Outcome], object]
"""Where the outcome goes. It holds no actor, which would hold itself by it."""

_OF_A_TURN = (
    Admitted,
    Finished,
    Rejected,
    EngineLost,
    Timeout,
    FoundAnswer,
    FallbackReady,
    NoAnswer,
)


@dataclass(frozen=True, slots=True)
class _Expire:
    """A task that ended with this version has been kept long enough."""

    version: int


@dataclass(frozen=True, slots=True)
class _StillEnding:
    """Who has cancelled the task has waited for long enough: this one, and who came after it."""

    first: _Answer


class TaskActor(Actor):
    """One task. Transient: it ends normally some time after the task has."""

    __slots__ = (
        "_audience",
        "_cancels",
        "_deps",
        "_due",
        "_end",
        "_held",
        "_live",
        "_may_have_caused",
        "_most_likely_caused",
        "_no_fallback",
        "_reading",
        "task",
    )  # fmt: skip

    def __init__(self, live: LiveTask, deps: Dependencies) -> None:
        self.task: Task = live.restore()
        self._live = live
        self._deps = deps
        self._audience = Audience(self.task, deps.followers, deps.turns.left_ms)
        self._held: CurrentTurn | None = None
        self._due: Timer | None = None
        # It may have caused the end of an engine; most likely so if it had made no token there.
        self._may_have_caused = self._most_likely_caused = False
        self._no_fallback = False
        self._reading: Reading | None = None  # where its text says more than its content
        self._cancels: tuple[_Answer, ...] = ()  # who waits for the end

    def started(self) -> None:
        self._end = EndCommit(self.ref, self._live, self._deps, self._audience)
        if self._end.unwritten:
            # A predecessor crashed before it heard of the commit.
            self._end.write_again()
        elif self.task.terminal:
            self._expire_later()
        elif self._live.fresh:
            self._live.fresh = False
            self._apply(events.Begin())
        else:
            self._apply(events.Recover())
            if self.task.seq and self._audience:
                # It was told of before, so this is after a crash: back to what is left.
                self._audience.tell("rewind", {"offset": len(self.task.output)})

    # ---- what it hears

    def handle(self, message: object) -> None:
        kind = type(message)
        if kind is Output:
            self._output(message)  # type: ignore[arg-type]  # mypy does not narrow on `is`
        elif isinstance(message, Turn):
            self._turn(message)
        elif isinstance(message, Watch):
            self._watch(message)
        elif isinstance(message, QueuePosition):
            self._moved(message)
        elif isinstance(message, events.Due):
            if self.task.state in (State.SCHEDULED, State.RETRYABLE):
                self._apply(message)
        elif isinstance(message, Down):
            if self._held is not None and self._held.asked(message.ref):
                self._ask_fallback()
            else:
                self._audience.leave(message.ref)
                if not self._audience:
                    self._deps.turns.unwatch(self.task)
        elif isinstance(message, Committed):
            self._committed(message)
        elif isinstance(message, WriteAgain):
            self._end.write_again()
        elif isinstance(message, Command):
            self._command(message)
        elif isinstance(message, _StillEnding):
            if self._cancels[:1] == (message.first,):
                self._answer_cancels()
        elif isinstance(message, _Expire) and message.version == self.task.version:
            self.stop(NORMAL)
        elif isinstance(message, events.Fail) and not self.task.terminal:
            self._apply(message)
        elif isinstance(message, ModelRefused) and self.task.state is State.AVAILABLE:
            self._refused(message.reason)
        elif isinstance(message, _OF_A_TURN) and self._is_mine(message.key):
            self._in_turn(message)

    def _is_mine(self, key: int) -> bool:
        return self._held is not None and self._held.key == key

    def handle_call(self, request: object, reply: Reply) -> None:
        if isinstance(request, Describe):
            reply(self.document(logprobs=True))
            return
        self._obey(request, partial(_reply, reply))

    def _command(self, message: Command) -> None:
        self._obey(message.request, partial(_tell_channel, message.channel, message.ref))

    def _obey(self, request: object, answer: _Answer) -> None:
        try:
            if isinstance(request, CancelTask):
                if not self._end.untold:
                    self._apply(events.Cancel())
                self._answer_at_end(answer)
            elif self._end.untold:
                answer(Conflict(_JUST_ENDING))
            else:
                self._retry(answer)
        except IllegalTransition:
            wish = "cancelled" if isinstance(request, CancelTask) else "run again"
            answer(Conflict(f"the task is {self.task.state} and cannot be {wish}"))
        except Overloaded as refusal:
            answer(refusal)

    def _answer_at_end(self, answer: _Answer) -> None:
        """A cancel is answered when the end is committed: not before, since a crash could take it
        back, and whichever end it is that was first. A client does not wait for long, though."""
        if not self._cancels:
            self.send_after(CANCEL_MS, _StillEnding(answer))
        self._cancels += (answer,)

    def _answer_cancels(self) -> None:
        cancels, self._cancels = self._cancels, ()
        untold = self._end.untold
        outcome: _Outcome
        if self.task.state is State.CANCELLED:
            outcome = self.document() | ({"state": CANCELLING} if untold else {})
        elif untold:
            outcome = Conflict(_JUST_ENDING)
        else:
            outcome = Conflict(f"the task is {self.task.state} and cannot be cancelled")
        for answer in cancels:
            answer(outcome)

    def _retry(self, answer: _Answer) -> None:
        """Written down before anything comes of it: or text of the new run could be in the hands of
        clients when a crash brings the old one back."""
        before = self.task.state
        if self.task.terminal:
            # The last moment to refuse it, and the only one that nobody can come before.
            self._deps.on_opened(self.task.request)
        record, *rest = machine.apply(self.task, events.Retry(), self.system.clock.moment())
        assert isinstance(record, effects.Record)
        version = self.task.version + 1

        def go_on() -> None:
            if self.task.version == version:  # else it was cancelled meanwhile
                for effect in rest:
                    self._carry_out(effect, before)
            answer(self.document())

        self._end.undo(record, before, go_on)

    def stopped(self, reason: Reason) -> None:
        journal = self._deps.journal
        if reason is NORMAL:
            journal.forget(self._live)
            self._deps.on_ended(self.task.task_id)
        elif reason.abnormal:
            # What it has become may be wrong; its successor begins at the last snapshot, but must
            # not use a number a second time.
            task, live = self.task, self._live
            journal.forget(live)
            live.snapshot = replace(live.snapshot, version=task.version, seq=task.seq)
        elif not self.task.terminal:
            journal.mark(self._live)

    def _output(self, output: Output) -> None:
        """What comes with every token, from the engine's step (`Routes.step`) straight to those who
        watch (`Audience.progress`)."""
        held, task = self._held, self.task
        if held is None or output.key != held.key:
            return
        tokens, text = output.tokens, output.text
        first = task.timings.ttft_ms is None
        moment = self.system.clock.moment
        lines = output.logprobs
        offset = machine.progress(task, output.prefilled, tokens, text, moment, lines)
        self._audience.progress("decode" if tokens else "prefill", text, offset)
        if self._reading is not None:
            self._read(self._reading, len(tokens), text)
        self._deps.journal.mark(self._live)
        if first and task.timings.ttft_ms is not None:
            self._deps.telemetry.emit(
                "task.first_text", task_id=task.task_id, ttft_ms=task.timings.ttft_ms
            )
        if tokens and (held.alone or self._may_have_caused):
            self._may_have_caused = held.alone = False
            self._deps.turns.cleared(held.key)

    def _read(self, reading: Reading, tokens: int, text: str) -> None:
        """Tells of the calls in it."""
        if reading.thinks:
            self.task.reasoning_tokens += tokens
        for call in reading.feed(text):
            self._audience.tell(TOOL_CALL, call)

    def _finished(self, end: Finished) -> None:
        usage = Usage(end.prompt_tokens, end.cached_tokens, end.completion_tokens)
        text = end.text
        form = self.task.request.options.response_format
        if form is not None and end.reason != "cancelled":
            text += answer_form.ending(form, self.task.text + text, self.task.dialect)
        reason, reading = end.reason, self._reading
        if reading is not None:
            if text:
                # Told like all that came before, so that the calls in it are told behind it.
                self._output(Output(end.key, self.task.prefill_done, (), text))
                text = ""
            if reason == "stop" and reading.calls_whole:
                reason = TOOL_CALLS
        self._apply(events.Finish(reason, text, usage, end.prefill_ms, end.decode_ms))

    def _turn(self, turn: Turn) -> None:
        if self._held is not None or self.task.state is not State.AVAILABLE:
            # It was cancelled, and may run again by another turn.
            self._deps.turns.release(turn.key, 0)
            return
        self._held = CurrentTurn(turn, self.ref, self.system)
        if turn.fallback:
            used_up = self.task.attempt >= self.task.max_attempts
            why = "the attempts are used up" if used_up else self._deps.turns.engine_of(self.task)
            self._apply(events.StartFallback(why))
            return
        self._apply(events.Start())
        self._deps.telemetry.emit(
            "task.started",
            task_id=self.task.task_id,
            attempt=self.task.attempt,
            queued_ms=self.task.timings.queued_ms,
        )

    def _in_turn(self, message: Any) -> None:
        """What the engine and the fallback say, but for the output."""
        held = self._held
        assert held is not None, "it is of this turn"
        if isinstance(message, (FoundAnswer, FallbackReady, NoAnswer)):
            held.answered()
        if isinstance(message, Admitted):
            dialect = message.dialect or None
            self._apply(events.Admit(message.prompt_tokens, message.cached_tokens, dialect))
            self._reading = reading_of(self.task)
            self._deps.turns.saw_prompt(self.task)
        elif isinstance(message, Finished):
            self._finished(message)
        elif isinstance(message, FoundAnswer):
            self._apply(events.Answer(message.text, message.source))
        elif isinstance(message, FallbackReady):
            held.standby = message.engine
            self._apply(events.HandOver())
        elif isinstance(message, NoAnswer):
            self._no_fallback = True
            self._apply(events.Unanswered(message.reason))
        elif isinstance(message, EngineLost) and not message.caused:
            if message.may_have_caused:
                self._may_have_caused, self._most_likely_caused = True, message.silent
            self._apply(events.Lose(message.reason))
        elif held.fallback:
            # The other model cannot do it either, or not in time.
            held.abort()
            held.ask_fallback(self.task, model=False)
        elif isinstance(message, EngineLost):
            self._fail(ENGINE_DIED, message.reason, True)
        elif isinstance(message, Timeout):
            held.abort()
            limit_ms = self.task.request.timeout_ms
            self._fail("timeout", f"the attempt took longer than its {limit_ms} ms", True)
        else:
            self._fail(message.code, message.message, message.recoverable)

    def _ask_fallback(self) -> None:
        """What may have ended one engine is not given to another."""
        assert self._held is not None, "it is asked for in a turn"
        self._held.ask_fallback(
            self.task, model=not self._may_have_caused and not self.task.ended_engine
        )

    def _may_fall_back(self) -> bool:
        request = self.task.request
        here = self.system.registry.whereis(FALLBACK_NAME) is not None
        # Who gives tools waits for calls of this model.
        wanted = request.fallback and offered(request)[0] is None
        return here and wanted and not self._no_fallback

    def _refused(self, reason: str) -> None:
        """Its model cannot be had: it is out of the line, and is answered otherwise or not at
        all."""
        if self._may_fall_back():
            self._enqueue(effects.Enqueue(front=True, fallback_only=True))
        else:
            self._apply(events.Fail(MODEL_UNAVAILABLE, reason, False, 0))

    def _fail(self, code: str, sentence: str, recoverable: bool) -> None:
        attempt = max(1, self.task.attempt)
        retry_in_ms = self._deps.retry.delay_ms(attempt, self._deps.rng)
        # Who has killed engine after engine is told so, and gets no other answer.
        fallback = code != ENGINE_DIED and self._may_fall_back()
        self._apply(events.Fail(code, sentence, recoverable, retry_in_ms, fallback))
        if self.task.state is State.RETRYABLE:
            self._deps.telemetry.emit(
                "task.retrying",
                task_id=self.task.task_id,
                attempt=attempt,
                in_ms=retry_in_ms,
                error=sentence,
            )

    # ---- what follows

    def _apply(self, event: events.Event) -> None:
        before = self.task.state
        for effect in machine.apply(self.task, event, self.system.clock.moment()):
            self._carry_out(effect, before)

    def _carry_out(self, effect: effects.Effect, before: State) -> None:
        task = self.task
        if isinstance(effect, effects.TellProgress):
            self._audience.progress(effect.phase, effect.delta, effect.offset)
        elif isinstance(effect, effects.Record):
            if not self._deps.journal.record(task, effect.event, before, effect.cause):
                self._deps.journal.mark(self._live)
            self._live.written()
        elif isinstance(effect, effects.Conclude):
            self._conclude(effect, before)
        elif isinstance(effect, effects.Tell):
            self._audience.tell(effect.event, effect.payload)
        elif isinstance(effect, effects.Enqueue):
            self._enqueue(effect)
        elif isinstance(effect, effects.Dequeue):
            self._deps.turns.withdraw(task.task_id)
        elif isinstance(effect, effects.Release):
            self._release()
        elif isinstance(effect, effects.Wake):
            self._due = self.send_after(effect.delay_ms, events.Due())
        elif isinstance(effect, effects.AskFallback):
            self._ask_fallback()
        elif self._held is not None:
            if isinstance(effect, effects.StartGenerating):
                self._held.run(task, effect.timeout_ms)
            else:
                self._held.abort()

    def _enqueue(self, effect: effects.Enqueue) -> None:
        task, request = self.task, self.task.request
        fallback = self._may_fall_back()
        if effect.fallback_only and not fallback:
            sentence = "its attempts are used up, and there is no other answer"
            self._apply(events.Fail("no_answer", sentence, False, 0))
            return
        turns = self._deps.turns
        cost = turns.cost(task)
        entry = Entry(
            task.task_id, request.flow, request.priority, int(cost.prompt_tokens),
            int(cost.output_tokens), Owner(task, self.ref), tag=task.tag,
            alone=self._may_have_caused or task.ended_engine, fallback_only=effect.fallback_only,
            may_fall_back=fallback, model=request.model,
        )  # fmt: skip
        turns.enqueue(
            entry, returning=effect.front, first=self._most_likely_caused,
            keep_alive_ms=request.keep_alive_ms,
        )  # fmt: skip
        task.tag = entry.tag
        if self._audience:
            turns.watch(task)

    def _release(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.close()
            self._deps.turns.done(held.key, self.task)

    # ---- the end

    def _conclude(self, effect: effects.Conclude, before: State) -> None:
        if self._due is not None:
            self._due.cancel()
        self._deps.on_closed(self.task.request)
        self._end.begin(effect, before)

    def _committed(self, message: Committed) -> None:
        if self._end.committed(message):
            # Who asked for the end hears of it first: a channel closes after it was told.
            self._answer_cancels()
            self._end.tell()
        if message.then is None and self.task.terminal and not self._end.unwritten:
            self._expire_later()

    def _expire_later(self) -> None:
        self.send_after(self._deps.finished_keep_ms, _Expire(self.task.version))

    # ---- who watches

    def _watch(self, message: Watch) -> None:
        task = self.task
        # An end that is not committed yet has not happened for anybody outside.
        ended = task.terminal and not self._end.untold
        if self._audience.show(message, self.document(), ended):
            self.monitor(message.channel)
        if task.state is State.AVAILABLE:
            self._deps.turns.watch(task)

    def _moved(self, position: QueuePosition) -> None:
        if not self._audience:
            self._deps.turns.unwatch(self.task)
        elif self.task.state is State.AVAILABLE:
            self._audience.tell("queued", position.told())

    def _left_ms(self) -> int:
        return self._deps.turns.left_ms(self.task)

    def document(self, *, logprobs: bool = False) -> dict[str, Any]:
        """The task as clients see it now. An end that is not committed yet is not shown."""
        task = self.task
        waiting = task.state is State.AVAILABLE
        shown = wire.document(
            task,
            position=self._deps.turns.position(task.task_id) if waiting else None,
            eta_ms=self._left_ms() if task.state is State.EXECUTING else None,
            durable=self._deps.journal.durable,
            logprobs=logprobs,
        )
        if self._end.untold:
            # The last event has its number already, but nobody has heard of it.
            shown |= {"state": str(self._end.untold), "result": None, "finished_at": None}
            shown["seq"] -= 1
        return shown


def _reply(reply: Reply, outcome: _Outcome) -> None:
    if isinstance(outcome, Conflict | Overloaded):
        reply.fail(outcome)
    else:
        reply(outcome)


def _tell_channel(channel: Ref, ref: object, outcome: _Outcome) -> None:
    if isinstance(outcome, Conflict | Overloaded):
        channel.send(Commanded(ref, None, str(outcome)))
    else:
        channel.send(Commanded(ref, outcome, None))
