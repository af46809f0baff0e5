"""The actor that owns the engine process: starts it, feeds it, watches it, brings it back.

It decides nothing itself: what happens to the process is `Lifecycle`, who gets which message is
`Routes`, the process and its pipe are `Worker`. Messages from the pipe are handled as they arrive,
on the loop's thread between two mailbox turns, and not by way of the mailbox: one hop less for
every token.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import asdict
from random import Random
from typing import Final

from edge.actors import Actor, Crash, Down, Reason, Ref, Reply
from edge.clock import NS_PER_MS, Timer
from edge.engine.messages import (
    BACKEND_BROKEN_STATUS,
    REQUESTS_MAX,
    CacheUse,
    Cancel,
    Counted,
    FrameTooLarge,
    FromEngine,
    LoadFailed,
    Ping,
    PipeError,
    Pong,
    Ready,
    Rejected,
    Shutdown,
    Step,
    Tokenising,
)
from edge.errors import (
    ClientError,
    EngineDead,
    EngineError,
    InvalidRequest,
    Overloaded,
    PromptTooLong,
)
from edge.inference import lifecycle as life
from edge.inference.counts import Counts
from edge.inference.policy import LifecyclePolicy
from edge.inference.process import Process, StartProcess, Worker
from edge.inference.protocol import (
    Abort,
    CountTokens,
    EngineDown,
    EngineGivenUp,
    EngineLost,
    EngineStatus,
    EngineUp,
    Run,
    StartEngine,
    Status,
    StopEngine,
    Subscribe,
)
from edge.inference.routes import Routes
from edge.inference.witness import Witness
from edge.telemetry import Telemetry

_LOADING: Final = "the engine is loading its model"
_CLIENT_ERRORS: Final = {error.code: error for error in (InvalidRequest, PromptTooLong)}


class _TimeUp:
    """The timer with this number has run out."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class EngineActor(Actor):
    """See the module, and `edge.inference.protocol` for what may be sent to it.

    `command` gives the worker's command line for fast or safe mode, with ``{fd}`` where the number
    of its socket belongs; `start_process` runs it, by default as a `Worker`, which needs a running
    event loop. `on_step` is told of each step: how many tokens it generated, how many others it
    read, and how many sequences go on; `on_threads` with each sign of life between two steps of how
    many threads it works with, `on_cache_use` of what came of its caches (`CacheUse`). Starts the
    engine when it is spawned; an orderly stop (`Ref.stop`) ends when the process is gone, any other
    kills it.
    """

    def __init__(
        self,
        command: Callable[[bool], tuple[str, ...]],
        *,
        telemetry: Telemetry,
        policy: LifecyclePolicy,
        rng: Random,
        safe: bool = False,
        start_process: StartProcess = Worker,
        on_step: Callable[[int, int, int], object] | None = None,
        on_threads: Callable[[int], object] | None = None,
        on_cache_use: Callable[[CacheUse], object] | None = None,
    ) -> None:
        self._command = command
        self._start_process = start_process
        self._on_step = on_step
        self._on_threads = on_threads
        self._on_cache_use = on_cache_use
        self._telemetry = telemetry
        self._life = life.Lifecycle(policy, rng, safe=safe)
        self._routes = Routes(self._cancel)
        self._witness = Witness()
        self._was_stopped = False
        self._worker: Process | None = None
        self._ready: Ready | None = None
        self._spawned_ns = 0
        self._timer: Timer | None = None
        self._timer_number = 0
        self._pings = 0
        self._counts = Counts()
        self._subscribers: dict[Ref, None] = {}
        self._stop_replies: list[Reply] = []
        self._end_reason: Reason | None = None
        self._deaths = 0
        self._news: EngineUp | EngineDown | EngineGivenUp = EngineDown(_LOADING, 0)

    # ---- as an actor

    def started(self) -> None:
        self._apply(life.Start())

    def handle(self, message: object) -> None:
        match message:
            case Run():
                self._run(message)
            case Abort(key):
                if key in self._routes:
                    self._cancel(key)
            case _TimeUp(number=number):
                if number == self._timer_number:
                    self._cancel_abandoned()
                    self._apply(life.TimeUp())
            case Subscribe(ref):
                self.monitor(ref)
                self._subscribers[ref] = None
                ref.send(self._news)
            case Down(ref, _):
                self._subscribers.pop(ref, None)
            case StartEngine():
                self._start_again()
            case StopEngine():
                self._apply(life.Stop())
            case _:
                raise TypeError(f"the engine actor takes no {type(message).__name__}")

    def handle_call(self, request: object, reply: Reply) -> None:
        match request:
            case CountTokens():
                self._count(request, reply)
            case Status():
                reply(self._status())
            case StopEngine():
                self._stop_replies.append(reply)
                self._apply(life.Stop())
            case _:
                reply.fail(TypeError(f"the engine actor answers no {type(request).__name__}"))

    def stopping(self, reason: Reason) -> None:
        self._end_reason = reason
        self._apply(life.Stop())

    def stopped(self, reason: Reason) -> None:
        self._lose(f"the engine's actor ended: {reason}", own_fault=False)
        if self._worker is not None:
            self._worker.kill()

    # ---- requests

    def _run(self, message: Run) -> None:
        request, reply_to = message.request, message.reply_to
        key = request.key
        if self._worker is None or self._ready is None:
            reply_to.send(EngineLost(key, "the engine is not running", caused=False))
        elif key in self._routes:
            reply_to.send(Rejected(key, "conflict", f"the key {key} is running", False))
        elif len(self._routes) >= REQUESTS_MAX:
            reply_to.send(Rejected(key, "overloaded", "the engine has too much to do", True))
        else:
            try:
                self._worker.send(request)
            except PipeError as error:
                refused = _refused(error, "prompt" if request.messages is None else "messages")
                sentence, field = str(refused), refused.field
                reply_to.send(Rejected(key, refused.code, sentence, False, field))
            else:
                self._routes.add(key, reply_to, ended_engine=message.ended_engine)

    def _cancel(self, key: int) -> None:
        if self._worker is not None:
            self._worker.send(Cancel(key))

    def _count(self, request: CountTokens, reply: Reply) -> None:
        if self._worker is None or self._ready is None:
            reply.fail(EngineDead("the engine is not running; try again shortly"))
            return
        self._cancel_abandoned()
        try:
            count = self._counts.add(request, reply, self.system.clock.now_ns())
        except (Overloaded, EngineError) as error:
            reply.fail(error)
            return
        try:
            self._worker.send(count)
        except PipeError as error:
            field = "prompt" if request.messages is None else "messages"
            self._counts.answer(count.key, _refused(error, field))

    def _cancel_abandoned(self) -> None:
        for key in self._counts.abandoned():
            self._cancel(key)

    def _start_again(self) -> None:
        if self._life.state in {life.State.STOPPED, life.State.BACKOFF, life.State.GIVEN_UP}:
            self._apply(life.Start())

    def _status(self) -> EngineStatus:
        news = self._news
        return EngineStatus(
            state=self._life.state.value,
            pid=None if self._worker is None else self._worker.pid,
            ready=self._ready,
            safe_mode=self._life.safe,
            running=len(self._routes),
            deaths=self._deaths,
            reason="" if isinstance(news, EngineUp) else news.reason,
        )

    # ---- from the worker

    def _from(self, worker: Process, act: Callable[[], None]) -> None:
        """Code that the worker calls, outside of the mailbox: held to an actor's rules."""
        if worker is not self._worker or not self.ref.alive:
            return
        try:
            act()
        except Exception as error:
            self._telemetry.emit("actor.crashed", name=self.ref.label, error=error)
            self.ref.kill(Crash(error))

    def _receive(self, message: FromEngine) -> None:
        match message:
            case Step():
                self._heard()
                tokens = self._routes.step(message)
                if tokens:
                    self._life.fruitful = True
                if self._on_step is not None:
                    self._on_step(tokens, message.batch_tokens - tokens, message.running)
                self._telemetry.emit(
                    "engine.step",
                    running=message.running,
                    waiting=message.waiting,
                    tokens=tokens,
                    batch_tokens=message.batch_tokens,
                    decode_us=message.decode_us,
                )
            case Pong(threads=threads):
                self._heard()
                if threads and self._on_threads is not None:
                    self._on_threads(threads)
            case CacheUse():
                self._telemetry.emit("engine.cache", **asdict(message))
                if self._on_cache_use is not None:
                    self._on_cache_use(message)
            case Tokenising(key=key):
                self._counts.turned_to(key)
            case Counted(key=key):
                self._counts.answer(key, message)
            case Rejected(key=key):
                if not self._counts.answer(key, _as_error(message)):
                    self._routes.end(message)
            case Ready():
                self._is_up(message)
            case LoadFailed():
                self._apply(life.Refused(message.message))

    def _heard(self) -> None:
        lifecycle = self._life
        if lifecycle.state is life.State.READY:
            lifecycle.last_heard_ns = self.system.clock.now_ns()
        else:
            self._apply(life.Heard())

    def _is_up(self, ready: Ready) -> None:
        self._apply(life.Up())
        if self._life.state is not life.State.READY:
            return
        assert self._worker is not None
        self._ready = ready
        self._telemetry.emit(
            "engine.ready",
            pid=self._worker.pid,
            model=ready.model,
            slots=ready.slots,
            load_ms=(self.system.clock.now_ns() - self._spawned_ns) / NS_PER_MS,
        )
        self._announce(EngineUp(ready, self._worker.pid))

    def _exited(self, code: int | None, reason: str) -> None:
        pid = self._worker.pid if self._worker is not None else None
        self._worker = None
        running = len(self._routes)
        if self._life.state in life.WITH_PROCESS:
            expected = self._life.state in {life.State.STOPPING, life.State.REFUSED}
            outside = True if self._was_stopped or code == BACKEND_BROKEN_STATUS else None
            if code == -signal.SIGKILL and self._witness.ran_out_of_memory():
                outside, reason = False, "the engine was ended for lack of memory"
            measured_chars = self._counts.chars_at_work
            if measured_chars is not None:
                reason = f"{reason}, while it measured a prompt of {measured_chars} characters"
            culprit = measured_chars is not None or self._routes.culprit() is not None
            exited = life.Exited(code, reason, culprit, outside)
            effects = self._life.apply(exited, self.system.clock.now_ns())
            lost = next((effect for effect in effects if isinstance(effect, life.Lost)), None)
            if not expected:
                self._deaths += 1
                reason = reason if lost is None else lost.reason
                self._telemetry.emit("engine.died", pid=pid, reason=reason, running=running)
            self._carry_out(effects)

    # ---- effects

    def _apply(self, event: life.Event) -> None:
        self._carry_out(self._life.apply(event, self.system.clock.now_ns()))

    def _carry_out(self, effects: list[life.Effect]) -> None:
        for effect in effects:
            match effect:
                case life.Spawn(safe):
                    self._spawn(safe)
                case life.Kill():
                    if self._worker is not None:
                        self._was_stopped = self._witness.is_stopped(self._worker.pid)
                        self._worker.kill()
                case life.Shut():
                    if self._worker is not None:
                        self._worker.send(Shutdown())
                case life.Arm(delay_ms):
                    self._arm(delay_ms)
                case life.Disarm():
                    self._disarm()
                case life.SendPing():
                    self._ping()
                case life.Probed(safe_mode, code):
                    self._telemetry.emit("engine.probed", safe_mode=safe_mode, exit_code=code)
                case life.Stalled(silent_ms):
                    pid = None if self._worker is None else self._worker.pid
                    self._telemetry.emit("engine.stalled", pid=pid, silent_ms=silent_ms)
                case life.Lost(reason, own_fault):
                    self._lose(reason, own_fault=own_fault)
                case life.BackingOff(reason, delay_ms, deaths):
                    self._telemetry.emit("engine.backoff", in_ms=delay_ms, deaths=deaths)
                    self._announce(EngineDown(reason, delay_ms))
                case life.GaveUp(reason, refused):
                    self._telemetry.emit("engine.given_up", reason=reason)
                    self._announce(EngineGivenUp(reason, refused))
                case life.Stopped():
                    self._has_stopped()

    def _spawn(self, safe: bool) -> None:
        self._spawned_ns = self.system.clock.now_ns()
        self._was_stopped = False
        self._witness.began()
        if not isinstance(self._news, EngineDown) or self._news.retry_in_ms != 0:
            self._announce(EngineDown(_LOADING, 0))
        worker = self._start_process(
            self._command(safe),
            on_started=lambda pid: self._telemetry.emit("engine.started", pid=pid),
            on_message=lambda message: self._from(worker, lambda: self._receive(message)),
            on_exit=lambda code, reason: self._from(worker, lambda: self._exited(code, reason)),
        )
        self._worker = worker

    def _arm(self, delay_ms: int) -> None:
        self._disarm()
        self._timer = self.send_after(delay_ms, _TimeUp(self._timer_number))

    def _disarm(self) -> None:
        # The number makes a message void that is in the mailbox already.
        self._timer_number += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ping(self) -> None:
        if self._worker is not None:
            self._pings += 1
            self._worker.send(Ping(self._pings))

    def _lose(self, reason: str, *, own_fault: bool) -> None:
        self._ready = None
        # A prompt that was being measured is the likelier cause: with it gone, whoever else it may
        # have been is found out the next time.
        measured = self._counts.chars_at_work is not None
        self._routes.lose_all(reason, own_fault=own_fault and not measured)
        self._counts.lose_all(reason, self.system.clock.now_ns(), own_fault=own_fault)

    def _has_stopped(self) -> None:
        self._announce(EngineDown("the engine was stopped", None))
        replies, self._stop_replies = self._stop_replies, []
        for reply in replies:
            reply(None)
        if self._end_reason is not None:
            self.stop(self._end_reason)

    def _announce(self, news: EngineUp | EngineDown | EngineGivenUp) -> None:
        self._news = news
        for ref in self._subscribers:
            ref.send(news)


def _refused(error: PipeError, field: str) -> ClientError:
    """What the client hears of a message that could not be sent."""
    if isinstance(error, FrameTooLarge):
        return PromptTooLong(f"the prompt is too long: {error}", field=field)
    return InvalidRequest(str(error), field=field)


def _as_error(rejected: Rejected) -> Exception:
    """The error that a `Rejected` stands for."""
    client_error = _CLIENT_ERRORS.get(rejected.code)
    if client_error is not None:
        return client_error(rejected.message, field=rejected.field)
    return EngineError(rejected.message, recoverable=rejected.recoverable)
