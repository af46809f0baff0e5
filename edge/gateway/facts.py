"""What the handlers want to know of the node, kept up to date by who hears of it."""

from __future__ import annotations

import asyncio

from edge.actors import Actor, Down, Ref, System
from edge.engine.messages import Ready
from edge.inference import EngineGivenUp, EngineUp, follow_engine
from edge.services.task.turns import ENGINE_NAME
from edge.storage import Store


class NodeFacts:
    """The node as its handlers see it. ``context_tokens`` is 0 as long as it is not known, and
    ``longest_token_bytes`` too; see `Ready`. ``engine_pid`` is None while there is no engine."""

    def __init__(self, system: System, store: Store, model: str, context_tokens: int = 0) -> None:
        self._system = system
        self._store = store
        self.model = model
        self.context_tokens = context_tokens
        self.longest_token_bytes = 0
        self.safe_mode = False
        self.template_fault = ""
        self.engine_pid: int | None = None

    @property
    def quarantined(self) -> str | None:
        """Where an unreadable database was put at the start, or None."""
        return self._store.quarantined

    def engine(self) -> Ref | None:
        """The engine's actor, or None."""
        return self._system.registry.whereis(ENGINE_NAME)

    def durable(self) -> bool:
        """Whether what is accepted now survives a crash."""
        return self._store.durable


class EngineListener(Actor):
    """Keeps the node's facts of its engine; ``first_word`` is what came first: that it is ready, or
    that it was given up."""

    def __init__(self, facts: NodeFacts) -> None:
        self._facts = facts
        self.first_word: asyncio.Future[Ready | EngineGivenUp] = (
            asyncio.get_running_loop().create_future()
        )

    def started(self) -> None:
        follow_engine(self, ENGINE_NAME)

    def handle(self, message: object) -> None:
        if isinstance(message, EngineUp):
            self._facts.context_tokens = message.ready.context_tokens
            self._facts.longest_token_bytes = message.ready.longest_token_bytes
            self._facts.safe_mode = message.ready.safe_mode
            self._facts.template_fault = message.ready.template_fault
            self._facts.engine_pid = message.pid
            self._say(message.ready)
        else:
            self._facts.engine_pid = None
            if isinstance(message, EngineGivenUp):
                self._say(message)
            elif isinstance(message, Down):
                follow_engine(self, ENGINE_NAME)

    def _say(self, word: Ready | EngineGivenUp) -> None:
        if not self.first_word.done():
            self.first_word.set_result(word)
