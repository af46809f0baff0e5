"""The actor that owns an engine of embeddings: it is started by the first call, and stopped when
none has come for a while.

How the process is kept is `EngineOwner`, who is next is `Line`. A call is no task: nothing of it is
written down, since the same texts give the same vectors whenever they are asked for again.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from edge.actors import Reason, Reply
from edge.clock import NS_PER_MS, Timer
from edge.engine.messages import (
    Cancel,
    Embedded,
    EmbeddingReady,
    FromEngine,
    PipeError,
    Rejected,
    Unfit,
)
from edge.errors import (
    ElwiftError,
    EngineDead,
    EngineError,
    InvalidRequest,
    Overloaded,
    PromptTooLong,
)
from edge.inference import lifecycle as life
from edge.inference.embedding.line import Call, Line
from edge.inference.embedding.protocol import Close, EmbedTexts
from edge.inference.owner import EngineOwner, TimeUp
from edge.inference.policy import LifecyclePolicy
from edge.inference.process import StartProcess, Worker
from edge.inference.protocol import EngineStatus, Status
from edge.telemetry import Telemetry

NO_ROOM_RETRY_MS: Final = 10_000
"""Until memory may be free that is not free now."""
CLOSED_RETRY_MS: Final = 2_000
"""Until the node is back."""


class _Idle:
    """It is time to see whether the engine is still wanted; the number is that of the last call."""

    __slots__ = ("calls",)

    def __init__(self, calls: int) -> None:
        self.calls = calls


class EmbeddingActor(EngineOwner):
    """See the module, and `edge.inference.embedding.protocol` for what may be asked of it.

    ``lacks`` says why there is no room for the model at the moment, in a sentence, or nothing.
    After ``keep_alive_ms`` without a call the engine is stopped. One that was given up is not tried
    again for as long as the policy says, and calls fail at once meanwhile.
    """

    def __init__(
        self,
        command: Callable[[bool], tuple[str, ...]],
        *,
        telemetry: Telemetry,
        policy: LifecyclePolicy,
        rng: Random,
        keep_alive_ms: int,
        lacks: Callable[[], str] = lambda: "",
        start_process: StartProcess = Worker,
    ) -> None:
        super().__init__(
            command, telemetry=telemetry, policy=policy, rng=rng, start_process=start_process
        )
        self._keep_alive_ms = keep_alive_ms
        self._lacks = lacks
        self._given_up_ms = policy.given_up_ms
        self._line = Line()
        self._replies: dict[Call, Reply] = {}
        self._ready: EmbeddingReady | None = None
        self._calls = 0
        self._idle: Timer | None = None
        self._fault = ""
        self._fault_until_ns = 0
        self._closed = False

    # ---- as an actor

    def handle(self, message: object) -> None:
        match message:
            case TimeUp():
                self.time_up(message)
            case _Idle(calls=calls):
                self._see_whether_idle(calls)
            case Close():
                self._closed = True
                self._fail_all(_closed())
            case _:
                raise TypeError(f"the actor of embeddings takes no {type(message).__name__}")

    def handle_call(self, request: object, reply: Reply) -> None:
        match request:
            case EmbedTexts():
                self._embed(request, reply)
            case Status():
                reply(self._status())
            case _:
                reply.fail(TypeError(f"it answers no {type(request).__name__}"))

    def stopping(self, reason: Reason) -> None:
        self._closed = True
        self._fail_all(_closed())
        super().stopping(reason)

    # ---- calls

    def _embed(self, wanted: EmbedTexts, reply: Reply) -> None:
        try:
            self._check_open()
            call = self._add(wanted)
        except ElwiftError as error:
            reply.fail(error)
            return
        self._calls += 1
        self._replies[call] = reply
        if self._idle is not None:
            self._idle.cancel()
        self._start()
        self._feed()

    def _check_open(self) -> None:
        if self._closed:
            raise _closed()
        left_ms = (self._fault_until_ns - self.system.clock.now_ns()) // NS_PER_MS
        if self._fault and left_ms > 0:
            raise EngineError(self._fault, recoverable=False, retry_after_ms=left_ms)
        if self.life.state is life.State.STOPPED and (sentence := self._lacks()):
            raise Overloaded(sentence, retry_after_ms=NO_ROOM_RETRY_MS)

    def _add(self, wanted: EmbedTexts) -> Call:
        try:
            return self._line.add(wanted)
        except Overloaded:
            # Of those whose clients have gone nobody has to take care; then there may be room.
            if not self._drop_abandoned():
                raise
            return self._line.add(wanted)

    def _drop_abandoned(self) -> bool:
        left = [call for call, reply in self._replies.items() if not reply.wanted]
        for call in left:
            self._end(call)
        return bool(left)

    def _feed(self) -> None:
        """Gives the engine what it can have."""
        if self.worker is None or self._ready is None:
            return
        while (message := self._line.take(self.system.clock.now_ns())) is not None:
            piece = self._line.piece_of(message.key)
            assert piece is not None, "it has just been taken"
            if not self._replies[piece.call].wanted:
                self._end(piece.call, unsent=message.key)
                continue
            try:
                self.worker.send(message)
            except PipeError as error:
                field = piece.call.wanted.field
                error_told = InvalidRequest(str(error), field=field)
                self._end(piece.call, error_told, unsent=message.key)

    def _end(
        self, call: Call, error: ElwiftError | None = None, *, unsent: int | None = None
    ) -> None:
        """The call is over; who waits hears the error, or gets what has come. Of the piece that was
        not sent the engine knows nothing."""
        for key in self._line.end(call):
            if self.worker is not None and key != unsent:
                self.worker.send(Cancel(key))
        reply = self._replies.pop(call, None)
        if reply is None:
            return
        if error is None:
            reply(call.result)
        else:
            reply.fail(error)
        if not self._replies:
            self._idle = self.send_after(self._keep_alive_ms, _Idle(self._calls))

    def _fail_all(self, error: ElwiftError) -> None:
        for call in self._line.calls():
            self._end(call, error)

    # ---- from the worker

    def received(self, message: FromEngine) -> None:
        match message:
            case Embedded():
                self.heard()
                self.life.fruitful = True
                call = self._line.answered(message, self.system.clock.now_ns())
                if call is not None:
                    self._end(call)
            case Unfit(key=key):
                self._reject(key, lambda call, first: _unfit(message, call, first))
            case Rejected(key=key):
                error = EngineError(message.message, recoverable=message.recoverable)
                self._reject(key, lambda _call, _first: error)
            case EmbeddingReady():
                if self.came_up(message.model, 0):
                    self._ready, self._fault = message, ""
        self._feed()

    def _reject(self, key: int, error_of: Callable[[Call, int], ElwiftError]) -> None:
        self.heard()
        piece = self._line.piece_of(key)
        if piece is not None:
            self._end(piece.call, error_of(piece.call, piece.first))

    # ---- of the engine's life

    def _start(self) -> None:
        if self.life.state is life.State.STOPPED:
            self.apply(life.Start())

    def _see_whether_idle(self, calls: int) -> None:
        up = self.life.state in (life.State.READY, life.State.STALLED)
        if calls == self._calls and not self._replies and up:
            self._ready = None  # who comes from now on is for the next one
            self.stop_engine()

    def running(self) -> int:
        return self._line.in_engine

    def has_culprit(self) -> bool:
        return self._line.in_engine == 1

    def lost(self, reason: str, *, own_fault: bool) -> None:
        self._ready = None
        for call in self._line.lost():
            sentence = f"{reason}; these texts were alone in it, and in the one before"
            self._end(call, EngineDead(sentence, recoverable=False))

    def gave_up(self, reason: str, *, refused: bool) -> None:
        self._fault = f"the model for this cannot be run: {reason}"
        self._fault_until_ns = self.system.clock.now_ns() + self._given_up_ms * NS_PER_MS
        self._fail_all(
            EngineError(self._fault, recoverable=not refused, retry_after_ms=self._given_up_ms)
        )
        # Nobody is helped by an engine that comes back when nobody asks.
        self.apply(life.Stop())

    def has_stopped(self) -> None:
        # Who came while it was stopping.
        if len(self._line) and not self._closed:
            self._start()

    def _status(self) -> EngineStatus:
        return EngineStatus(
            state=self.life.state.value,
            pid=None if self.worker is None else self.worker.pid,
            ready=None,
            safe_mode=self.life.safe,
            running=self._line.in_engine,
            deaths=self.deaths,
            reason=self._fault,
        )


def _closed() -> Overloaded:
    sentence = "the node is stopping; ask again when it is back"
    return Overloaded(sentence, retry_after_ms=CLOSED_RETRY_MS)


def _unfit(unfit: Unfit, call: Call, first: int) -> ElwiftError:
    wanted = call.wanted
    number = first + unfit.index
    field = f"{wanted.field}[{number}]"
    if not unfit.tokens:
        return InvalidRequest(f"{field} is empty to the model; write something", field=field)
    beside = ", with the query and special ones," if wanted.query is not None else ""
    return PromptTooLong(
        f"{field} has {unfit.tokens} tokens{beside} and a text may have {unfit.context_tokens};"
        " cut it into several",
        field=field,
    )
