"""A task's turn, from the dispatcher's word to its release: where it runs, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge.actors import Ref, System
from edge.clock import NS_PER_MS, Timer
from edge.inference import Abort, EngineLost, Run
from edge.services.dispatcher import Release, Turn
from edge.services.messages import NoAnswer, Seek, generate
from edge.tasks.task import Task

ENGINE_NAME: Final = "engine"
FALLBACK_NAME: Final = "fallback"


@dataclass(frozen=True, slots=True)
class Timeout:
    """The turn with this key has taken as long as it may."""

    key: int


class HeldTurn:
    """What a task's actor holds while it is its task's turn. `owner` is that actor's Ref, which
    gets all answers; ``key`` names the turn in them."""

    __slots__ = (
        "_asked",
        "_engine",
        "_owner",
        "_started_ns",
        "_system",
        "_timer",
        "detour",
        "key",
        "on_trial",
        "standby",
    )

    def __init__(self, turn: Turn, owner: Ref, system: System) -> None:
        self.key = turn.key
        self.detour = turn.detour
        self.on_trial = turn.trial
        self._owner = owner
        self._system = system
        self._started_ns = system.clock.now_ns()
        self.standby: Ref | None = None  # the fallback's engine, once it is ready
        self._engine: Ref | None = None
        self._asked: Ref | None = None
        self._timer: Timer | None = None

    @property
    def elapsed_ms(self) -> float:
        """Since it began."""
        return (self._system.clock.now_ns() - self._started_ns) / NS_PER_MS

    def run(self, task: Task, timeout_ms: int | None) -> None:
        """Sends the request to the engine whose turn it is; `Timeout` follows in time."""
        self._engine = self.standby or self._system.registry.whereis(ENGINE_NAME)
        run = Run(generate(task, self.key), self._owner, convicted=task.convicted)
        if self._engine is None or not self._engine.send(run):
            lost = EngineLost(self.key, "the engine is being restarted", blamed=False)
            self._owner.send(lost)
        if timeout_ms is not None:
            self._timer = self._owner.send_after(timeout_ms, Timeout(self.key))

    def abort(self) -> None:
        """Has the engine stop, if it runs."""
        if self._engine is not None:
            self._engine.send(Abort(self.key))
            self._engine = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def seek(self, task: Task, *, model: bool) -> None:
        """Asks the fallback for an answer, of its model only if `model` says so."""
        me = self._owner
        self._asked = self._system.registry.whereis(FALLBACK_NAME)
        seek = Seek(self.key, task.request, task.text, task.fallback is not None, model, me)
        if self._asked is not None and self._asked.send(seek):
            me.watch(self._asked)
        else:
            me.send(NoAnswer(self.key, "the node answers in no other way"))

    def answered(self) -> None:
        """The fallback has said what it has; its end is no matter any more."""
        if self._asked is not None:
            self._owner.unwatch(self._asked)
            self._asked = None

    def asked(self, ref: Ref) -> bool:
        """Whether this is the fallback that was asked."""
        return ref is self._asked

    def release(self, task: Task) -> Release:
        """It is over: what to tell the dispatcher."""
        if self._timer is not None:
            self._timer.cancel()
        self.answered()
        completion_tokens, decode_ms = task.usage.completion_tokens, task.timings.decode_ms or 0.0
        return Release(self.key, self.elapsed_ms, completion_tokens, decode_ms)
