"""The actor of one task: the only owner of its state, between the line, the engine, the store and
everybody who watches.

It feeds what it hears to the task's machine and carries the effects out. A crash brings it back
from the last snapshot, which is kept by the `Life` that outlives it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from edge.actors import NORMAL, Actor, Down, Reason, Reply
from edge.clock import NS_PER_MS, Timer
from edge.engine.messages import Admitted, Finished, Output, Rejected
from edge.errors import Conflict, StorageError
from edge.inference import Abort, EngineLost, Run
from edge.services import wire
from edge.services.audience import Audience
from edge.services.dispatcher import Dequeue, Enqueue, Release, Turn, Watched
from edge.services.messages import (
    CancelTask,
    Command,
    Commanded,
    Describe,
    Watch,
    Watching,
    generate,
)
from edge.services.surroundings import Life, Surroundings
from edge.services.wire import Place
from edge.tasks import effects, events, machine
from edge.tasks.machine import IllegalTransition
from edge.tasks.task import State, Task, Usage


@dataclass(frozen=True, slots=True)
class _Timeout:
    key: int


@dataclass(frozen=True, slots=True)
class _Committed:
    version: int
    error: StorageError | None


class _Expire:
    """An ended task has been kept long enough."""


class TaskActor(Actor):
    """One task. Transient: it ends normally some time after the task has."""

    __slots__ = (
        "_around",
        "_audience",
        "_conclusion",
        "_expiry",
        "_key",
        "_life",
        "_started_ns",
        "_timers",
        "task",
    )

    def __init__(self, life: Life, around: Surroundings) -> None:
        self.task: Task = life.snapshot.restore()
        self._life = life
        self._around = around
        self._audience = Audience(self.task, around.followers)
        self._key: int | None = None
        self._started_ns = 0
        self._conclusion: effects.Conclude | None = None
        self._timers: list[Timer] = []

    def started(self) -> None:
        if self.task.terminal:
            self._expire_later()
        elif self._life.fresh:
            self._life.fresh = False
            self._apply(events.Begin())
        else:
            self._apply(events.Recover())
            if self.task.seq and self._audience:
                # It was told of before, so this is after a crash: back to what is left.
                self._audience.tell("rewind", {"offset": len(self.task.text)})

    # ---- what it hears

    def handle(self, message: object) -> None:
        kind = type(message)
        if kind is Output:
            self._output(message)  # type: ignore[arg-type]  # mypy does not narrow on `is`
        elif isinstance(message, Admitted):
            if message.key == self._key:
                self._apply(events.Admit(message.prompt_tokens, message.cached_tokens))
        elif isinstance(message, Finished):
            self._finished(message)
        elif isinstance(message, Turn):
            self._turn(message)
        elif isinstance(message, Watch):
            self._watch(message)
        elif isinstance(message, Place):
            if self.task.state is State.AVAILABLE:
                self._audience.tell(
                    "queued", {"position": message.position, "eta_ms": message.eta_ms}
                )
        elif isinstance(message, events.Due):
            if self.task.state in (State.SCHEDULED, State.RETRYABLE):
                self._apply(message)
        elif isinstance(message, Down):
            self._audience.leave(message.ref)
        elif isinstance(message, _Committed):
            self._committed(message)
        elif isinstance(message, Command):
            self._command(message)
        elif isinstance(message, _Expire):
            if self.task.terminal:
                self.stop(NORMAL)
        else:
            self._trouble(message)

    def handle_call(self, request: object, reply: Reply) -> None:
        if isinstance(request, Describe):
            reply(self.document())
            return
        try:
            self._obey(request)
        except Conflict as error:
            reply.fail(error)
        else:
            reply(self.document())

    def _obey(self, request: object) -> None:
        cancel = isinstance(request, CancelTask)
        try:
            self._apply(events.Cancel() if cancel else events.Retry())
        except IllegalTransition as error:
            wish = "cancelled" if cancel else "run again"
            raise Conflict(f"the task is {self.task.state} and cannot be {wish}") from error

    def _command(self, message: Command) -> None:
        try:
            self._obey(message.request)
        except Conflict as error:
            message.channel.send(Commanded(message.ref, None, str(error)))
        else:
            message.channel.send(Commanded(message.ref, self.document(), None))

    def stopped(self, reason: Reason) -> None:
        journal = self._around.journal
        if reason is NORMAL:
            journal.forget(self)
            self._around.on_ended(self.task.task_id)
        elif reason.abnormal:
            # What it has become may be wrong; its successor begins at the last snapshot, but
            # counts on: what was told under a number stays told.
            journal.forget(self)
            self._life.snapshot = replace(self._life.snapshot, seq=self.task.seq)
        elif not self.task.terminal:
            journal.mark(self)

    def _output(self, output: Output) -> None:
        if output.key == self._key:
            first = self.task.timings.ttft_ms is None
            self._apply(events.Progress(output.prefilled, output.tokens, output.text))
            self._around.journal.mark(self)
            if first and self.task.timings.ttft_ms is not None:
                self._around.telemetry.emit(
                    "task.first_text", task_id=self.task.task_id, ttft_ms=self.task.timings.ttft_ms
                )

    def _finished(self, message: Finished) -> None:
        if message.key != self._key:
            return
        usage = Usage(message.prompt_tokens, message.cached_tokens, message.completion_tokens)
        self._apply(
            events.Finish(
                message.reason, message.text, usage, message.prefill_ms, message.decode_ms
            )
        )

    def _turn(self, turn: Turn) -> None:
        self._key = turn.key
        self._started_ns = self.system.clock.now_ns()
        if self.task.state is not State.AVAILABLE:
            self._release()
            return
        self._apply(events.Start())
        self._around.telemetry.emit(
            "task.started",
            task_id=self.task.task_id,
            attempt=self.task.attempt,
            queued_ms=self.task.timings.queued_ms,
        )

    def _trouble(self, message: object) -> None:
        """The attempt did not work out."""
        if isinstance(message, Rejected) and message.key == self._key:
            self._fail(message.code, message.message, message.recoverable)
        elif isinstance(message, EngineLost) and message.key == self._key:
            if message.blamed:
                self._fail("engine_died", message.reason, True)
            else:
                self._apply(events.Lose(message.reason))
        elif isinstance(message, _Timeout) and message.key == self._key:
            self._abort()
            limit_ms = self.task.request.timeout_ms
            self._fail("timeout", f"the attempt took longer than its {limit_ms} ms", True)

    def _fail(self, code: str, sentence: str, recoverable: bool) -> None:
        attempt = max(1, self.task.attempt)
        retry_in_ms = self._around.retry.delay_ms(attempt, self._around.rng)
        self._apply(events.Fail(code, sentence, recoverable, retry_in_ms))
        if self.task.state is State.RETRYABLE:
            self._around.telemetry.emit(
                "task.retrying",
                task_id=self.task.task_id,
                attempt=attempt,
                in_ms=retry_in_ms,
                error=sentence,
            )

    # ---- what follows

    def _apply(self, event: events.Event) -> None:
        before = self.task.state
        for effect in machine.apply(self.task, event, self.system.clock.wall_ns()):
            self._carry_out(effect, before)

    def _carry_out(self, effect: effects.Effect, before: State) -> None:
        task = self.task
        if isinstance(effect, effects.TellProgress):
            self._tell_progress(effect)
        elif isinstance(effect, effects.Record):
            self._around.journal.record(task, effect.event, before, effect.cause)
            self._life.snapshot = task.snapshot()
        elif isinstance(effect, effects.Conclude):
            self._conclude(effect, before)
        elif isinstance(effect, effects.Tell):
            self._audience.tell(effect.event, effect.payload)
        elif isinstance(effect, effects.Enqueue):
            request = task.request
            self._dispatcher(
                Enqueue(task.task_id, request.client, request.priority, effect.front, self.ref)
            )
            if self._audience:
                self._dispatcher(Watched(task.task_id))
        elif isinstance(effect, effects.Dequeue):
            self._dispatcher(Dequeue(task.task_id))
        elif isinstance(effect, effects.Run):
            self._run(effect)
        elif isinstance(effect, effects.Abort):
            self._abort()
        elif isinstance(effect, effects.Release):
            self._release()
        else:
            self._timers.append(self.send_after(effect.delay_ms, events.Due()))

    def _run(self, effect: effects.Run) -> None:
        assert self._key is not None, "a task runs in its turn"
        engine = self.system.registry.whereis("engine")
        request = generate(self.task.request, self._key, self.task.tokens, len(self.task.text))
        if engine is None or not engine.send(Run(request, self.ref)):
            self.ref.send(EngineLost(self._key, "the engine is being restarted", False))
        if effect.timeout_ms is not None:
            self._timers.append(self.send_after(effect.timeout_ms, _Timeout(self._key)))

    def _abort(self) -> None:
        engine = self.system.registry.whereis("engine")
        if engine is not None and self._key is not None:
            engine.send(Abort(self._key))

    def _release(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self._key is not None:
            service_ms = (self.system.clock.now_ns() - self._started_ns) / NS_PER_MS
            timings, usage = self.task.timings, self.task.usage
            self._dispatcher(
                Release(self._key, service_ms, usage.completion_tokens, timings.decode_ms or 0.0)
            )
            self._key = None

    def _dispatcher(self, message: object) -> None:
        dispatcher = self.system.registry.whereis(self._around.dispatcher_name)
        if dispatcher is not None:
            dispatcher.send(message)

    # ---- the end

    def _conclude(self, effect: effects.Conclude, before: State) -> None:
        """Committed first, told afterwards: nobody hears of an end that could be lost."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._conclusion = effect
        self._around.journal.forget(self)
        version, ref = self.task.version + 1, self.ref
        self._around.journal.record(
            self.task,
            effect.event,
            before,
            effect.cause,
            lambda error: ref.send(_Committed(version, error)),
        )
        self._life.snapshot = self.task.snapshot()

    def _committed(self, message: _Committed) -> None:
        effect = self._conclusion
        if effect is None or message.version != self.task.version:
            return
        self._conclusion = None
        task = self.task
        self._audience.tell(*wire.end_event(self.document()), last=True)
        self._audience.dismiss()
        self._around.telemetry.emit(
            "task.finished",
            task_id=task.task_id,
            state=str(task.state),
            source=task.source,
            duration_ms=((task.finished_ns or 0) - task.created_ns) / NS_PER_MS,
            completion_tokens=task.usage.completion_tokens,
        )
        self._expire_later()

    def _expire_later(self) -> None:
        self.send_after(self._around.finished_keep_ms, _Expire())

    # ---- who watches

    def _watch(self, message: Watch) -> None:
        task = self.task
        # An end that is not committed yet has not happened for anybody outside.
        ended = task.terminal and self._conclusion is None
        offset = task.resume_offset(message.offset)
        message.channel.send(
            Watching(task.task_id, self.document(), task.text[offset:], offset, ended)
        )
        if ended:
            return
        if not message.once and self._audience.join(message.channel):
            self.monitor(message.channel)
        if task.state is State.AVAILABLE:
            self._dispatcher(Watched(task.task_id))

    def _tell_progress(self, effect: effects.TellProgress) -> None:
        if self._audience:
            self._audience.tell_progress(effect, self._left_ms())
        else:
            self.task.seq += 1

    def _left_ms(self) -> int:
        elapsed_ms = (self.system.clock.now_ns() - self._started_ns) / NS_PER_MS
        return self._around.board.estimator.left_ms(
            elapsed_ms, len(self.task.tokens), self.task.request.options.max_tokens
        )

    def document(self) -> dict[str, Any]:
        """The task as clients see it now. An end that is not committed yet is not shown."""
        task = self.task
        waiting = task.state is State.AVAILABLE
        shown = wire.document(
            task,
            place=self._around.board.place(task.task_id) if waiting else None,
            eta_ms=self._left_ms() if task.state is State.EXECUTING else None,
            durable=self._around.journal.durable,
        )
        if self._conclusion is not None:
            shown |= {"state": str(State.EXECUTING), "result": None, "finished_at": None}
        return shown
