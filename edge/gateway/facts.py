"""What the handlers want to know of the node, kept up to date by who hears of it."""

from __future__ import annotations

import asyncio

from edge.actors import Actor, Ref, System
from edge.engine.messages import Ready
from edge.errors import StartupError
from edge.inference import EngineGivenUp, EngineUp, Subscribe
from edge.storage import Store


class NodeFacts:
    """The node as its handlers see it. ``context_tokens`` is 0 until the engine is up."""

    def __init__(self, system: System, store: Store, model: str) -> None:
        self._system = system
        self._store = store
        self.model = model
        self.context_tokens = 0
        self.safe_mode = False

    @property
    def quarantined(self) -> str | None:
        """Where an unreadable database was put at the start, or None."""
        return self._store.quarantined

    def engine(self) -> Ref | None:
        """The engine's actor, or None."""
        return self._system.registry.whereis("engine")

    def durable(self) -> bool:
        """Whether what is accepted now survives a crash."""
        return self._store.durable


class EngineListener(Actor):
    """Keeps the node's facts of its engine; ``first_ready`` is the engine's first word, or
    StartupError when it gave up before."""

    def __init__(self, facts: NodeFacts) -> None:
        self._facts = facts
        self.first_ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()

    def started(self) -> None:
        engine = self._facts.engine()
        assert engine is not None, "the tree has been built"
        engine.send(Subscribe(self.ref))

    def handle(self, message: object) -> None:
        if isinstance(message, EngineUp):
            self._facts.context_tokens = message.ready.context_tokens
            self._facts.safe_mode = message.ready.safe_mode
            if not self.first_ready.done():
                self.first_ready.set_result(message.ready)
        elif isinstance(message, EngineGivenUp) and not self.first_ready.done():
            self.first_ready.set_exception(StartupError(message.reason))
