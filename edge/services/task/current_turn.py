"""A task's turn, from its beginning to its release: where it runs, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge.actors import Ref, System
from edge.clock import Timer
from edge.inference import Abort, EngineLost, Run
from edge.services.task.messages import FindAnswer, NoAnswer, generate
from edge.services.task.turns import Turn
from edge.tasks.task import Task

FALLBACK_NAME: Final = "fallback"


@dataclass(frozen=True, slots=True)
class Timeout:
    """The turn with this key has taken as long as it may."""

    key: int


class CurrentTurn:
    """The turn that a task has now. `owner` is the Ref of its actor, which gets all answers;
    ``key`` names the turn in them."""

    __slots__ = (
        "_asked",
        "_engine",
        "_engine_name",
        "_owner",
        "_system",
        "_timer",
        "alone",
        "fallback",
        "key",
        "standby",
    )

    def __init__(self, turn: Turn, owner: Ref, system: System) -> None:
        self.key = turn.key
        self.fallback = turn.fallback
        self.alone = turn.alone
        self._owner = owner
        self._system = system
        self.standby: Ref | None = None  # the fallback's engine, once it is ready
        self._engine_name = turn.engine
        self._engine: Ref | None = None
        self._asked: Ref | None = None
        self._timer: Timer | None = None

    def run(self, task: Task, timeout_ms: int | None) -> None:
        """Sends the request to the engine whose turn it is; `Timeout` follows in time."""
        self._engine = self.standby or self._system.registry.whereis(self._engine_name)
        run = Run(generate(task, self.key), self._owner, ended_engine=task.ended_engine)
        if self._engine is None or not self._engine.send(run):
            lost = EngineLost(self.key, "the engine is being restarted", caused=False)
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

    def ask_fallback(self, task: Task, *, model: bool) -> None:
        """Asks the fallback for an answer, of its model only if `model` says so."""
        me = self._owner
        self._asked = self._system.registry.whereis(FALLBACK_NAME)
        question = FindAnswer(
            self.key, task.request, task.text, task.fallback is not None, model, me
        )
        if self._asked is not None and self._asked.send(question):
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

    def close(self) -> None:
        """It is over: nothing more is waited for."""
        if self._timer is not None:
            self._timer.cancel()
        self.answered()
