"""The actor that owns the engine process which writes texts: feeds it, and hands on what it says.

How the process is kept is `EngineOwner`, who gets which message is `Routes`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from random import Random
from typing import Final

from edge.actors import Down, Ref, Reply
from edge.engine.messages import (
    REQUESTS_MAX,
    CacheUse,
    Cancel,
    Counted,
    FrameTooLarge,
    FromEngine,
    Loading,
    PipeError,
    Pong,
    Ready,
    Rejected,
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
from edge.inference.owner import EngineOwner, TimeUp
from edge.inference.policy import LifecyclePolicy
from edge.inference.process import StartProcess, Worker
from edge.inference.protocol import (
    Abort,
    CountTokens,
    EngineDown,
    EngineGivenUp,
    EngineLoading,
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
from edge.telemetry import Telemetry

_LOADING: Final = "the engine is loading its model"
_News = EngineUp | EngineDown | EngineGivenUp
_CLIENT_ERRORS: Final = {error.code: error for error in (InvalidRequest, PromptTooLong)}


class EngineActor(EngineOwner):
    """See the module, and `edge.inference.protocol` for what may be sent to it.

    `on_received` is called before anything is done with a step. `on_step` is told of each: how many
    tokens it generated, how many others it read, and how many sequences go on; `on_threads` with
    each sign of life between two steps of how many threads it works with, `on_cache_use` of what
    came of its caches (`CacheUse`). Starts the engine when it is spawned.
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
        on_received: Callable[[], object] | None = None,
        on_step: Callable[[int, int, int], object] | None = None,
        on_threads: Callable[[int], object] | None = None,
        on_cache_use: Callable[[CacheUse], object] | None = None,
    ) -> None:
        super().__init__(
            command,
            telemetry=telemetry,
            policy=policy,
            rng=rng,
            safe=safe,
            start_process=start_process,
        )
        self._on_received = on_received
        self._on_step = on_step
        self._on_threads = on_threads
        self._on_cache_use = on_cache_use
        self._routes = Routes(self._cancel)
        self._ready: Ready | None = None
        self._counts = Counts()
        self._subscribers: dict[Ref, str] = {}
        self._news: _News = EngineDown(_LOADING, 0)

    # ---- as an actor

    def started(self) -> None:
        self.apply(life.Start())

    def handle(self, message: object) -> None:
        match message:
            case Run():
                self._run(message)
            case Abort(key):
                if key in self._routes:
                    self._cancel(key)
            case TimeUp():
                self._cancel_abandoned()
                self.time_up(message)
            case Subscribe(ref, engine):
                self.monitor(ref)
                self._subscribers[ref] = engine
                ref.send(_as_of(self._news, engine))
            case Down(ref, _):
                self._subscribers.pop(ref, None)
            case StartEngine():
                self.start_again()
            case StopEngine():
                self.stop_engine()
            case _:
                raise TypeError(f"the engine actor takes no {type(message).__name__}")

    def handle_call(self, request: object, reply: Reply) -> None:
        match request:
            case CountTokens():
                self._count(request, reply)
            case Status():
                reply(self._status())
            case StopEngine():
                self.stop_engine(reply)
            case _:
                reply.fail(TypeError(f"the engine actor answers no {type(request).__name__}"))

    # ---- requests

    def _run(self, message: Run) -> None:
        request, reply_to = message.request, message.reply_to
        key = request.key
        if self.worker is None or self._ready is None:
            reply_to.send(EngineLost(key, "the engine is not running", caused=False))
        elif key in self._routes:
            reply_to.send(Rejected(key, "conflict", f"the key {key} is running", False))
        elif len(self._routes) >= REQUESTS_MAX:
            reply_to.send(Rejected(key, "overloaded", "the engine has too much to do", True))
        else:
            try:
                self.worker.send(request)
            except PipeError as error:
                refused = _refused(error, "prompt" if request.messages is None else "messages")
                sentence, field = str(refused), refused.field
                reply_to.send(Rejected(key, refused.code, sentence, False, field))
            else:
                self._routes.add(key, reply_to, ended_engine=message.ended_engine)

    def _cancel(self, key: int) -> None:
        if self.worker is not None:
            self.worker.send(Cancel(key))

    def _count(self, request: CountTokens, reply: Reply) -> None:
        if self.worker is None or self._ready is None:
            reply.fail(EngineDead("the engine is not running; try again shortly"))
            return
        self._cancel_abandoned()
        try:
            count = self._counts.add(request, reply, self.system.clock.now_ns())
        except (Overloaded, EngineError) as error:
            reply.fail(error)
            return
        try:
            self.worker.send(count)
        except PipeError as error:
            field = "prompt" if request.messages is None else "messages"
            self._counts.answer(count.key, _refused(error, field))

    def _cancel_abandoned(self) -> None:
        for key in self._counts.abandoned():
            self._cancel(key)

    def _status(self) -> EngineStatus:
        news = self._news
        return EngineStatus(
            state=self.life.state.value,
            pid=None if self.worker is None else self.worker.pid,
            ready=self._ready,
            safe_mode=self.life.safe,
            running=len(self._routes),
            deaths=self.deaths,
            reason="" if isinstance(news, EngineUp) else news.reason,
        )

    # ---- from the worker

    def received(self, message: FromEngine) -> None:
        match message:
            case Step():
                self.heard()
                if self._on_received is not None:
                    self._on_received()
                tokens = self._routes.step(message)
                if tokens:
                    self.life.fruitful = True
                if self._on_step is not None:
                    self._on_step(tokens, message.batch_tokens - tokens, message.running)
                reused_tokens = prompt_tokens = 0
                for admitted in message.admitted:
                    reused_tokens += admitted.cached_tokens
                    prompt_tokens += admitted.prompt_tokens
                self.telemetry.emit(
                    "engine.step",
                    running=message.running,
                    waiting=message.waiting,
                    tokens=tokens,
                    batch_tokens=message.batch_tokens,
                    decode_us=message.decode_us,
                    prefilled_tokens=prompt_tokens - reused_tokens,
                    reused_tokens=reused_tokens,
                )
            case Pong(threads=threads):
                if threads and self._on_threads is not None:
                    self._on_threads(threads)
            case CacheUse():
                self.telemetry.emit("engine.cache", **asdict(message))
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
            case Loading(percent):
                self._tell_loading(percent)

    def _is_up(self, ready: Ready) -> None:
        if self.came_up(ready.model, ready.slots):
            assert self.worker is not None
            self._ready = ready
            self._announce(EngineUp(ready, self.worker.pid))

    # ---- of its life

    def at_work(self) -> str:
        chars = self._counts.chars_at_work
        return "" if chars is None else f", while it measured a prompt of {chars} characters"

    def has_culprit(self) -> bool:
        return self._counts.chars_at_work is not None or self._routes.culprit() is not None

    def running(self) -> int:
        return len(self._routes)

    def lost(self, reason: str, *, own_fault: bool) -> None:
        self._ready = None
        # A prompt that was being measured is the likelier cause: with it gone, whoever else it may
        # have been is found out the next time.
        measured = self._counts.chars_at_work is not None
        self._routes.lose_all(reason, own_fault=own_fault and not measured)
        self._counts.lose_all(reason, self.system.clock.now_ns(), own_fault=own_fault)

    def loading(self) -> None:
        if not isinstance(self._news, EngineDown) or self._news.retry_in_ms != 0:
            self._announce(EngineDown(_LOADING, 0))

    def backing_off(self, reason: str, delay_ms: int) -> None:
        self._announce(EngineDown(reason, delay_ms))

    def gave_up(self, reason: str, *, refused: bool) -> None:
        self._announce(EngineGivenUp(reason, refused))

    def has_stopped(self) -> None:
        self._announce(EngineDown("the engine was stopped", None))

    def _tell_loading(self, percent: int) -> None:
        if self.life.state is life.State.LOADING:
            for ref, engine in self._subscribers.items():
                if engine:
                    ref.send(EngineLoading(percent, engine))

    def _announce(self, news: _News) -> None:
        self._news = news
        for ref, engine in self._subscribers.items():
            ref.send(_as_of(news, engine))


def _as_of(news: _News, engine: str) -> _News:
    """News as somebody hears it who calls the engine so."""
    return replace(news, engine=engine) if engine else news


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
