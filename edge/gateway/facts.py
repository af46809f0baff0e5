"""What the handlers want to know of the node and of its models, kept up to date by who hears of
it."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from edge.actors import Actor, Down, Ref, System
from edge.engine.messages import Ready
from edge.inference import EngineGivenUp, EngineUp, follow_engine
from edge.inference.pool import ENGINE_NAME, Pool
from edge.services.task.forecast import UNLOADED
from edge.services.task.turns import Turns
from edge.storage import Store


class ModelFacts(NamedTuple):
    """One model as the handlers see it. ``context_tokens`` and ``longest_token_bytes`` are 0 as
    long as they are not known. ``engine`` is who can be asked of it; None where it is not in memory
    now, and is loaded when a task of it waits."""

    name: str
    context_tokens: int
    longest_token_bytes: int
    engine: Ref | None


class NodeFacts:
    """The node as its handlers see it. ``context_tokens`` is 0 as long as it is not known, and
    ``longest_token_bytes`` too; see `Ready`. ``engine_pid`` is None while there is no engine."""

    def __init__(
        self,
        system: System,
        store: Store,
        model: str,
        context_tokens: int = 0,
        *,
        turns: Turns | None = None,
        pool: Pool | None = None,
    ) -> None:
        """``turns`` and ``pool`` know of other models; without them there is the node's own."""
        self._system = system
        self._store = store
        self._turns = turns
        self._pool = pool
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

    def of(self, model: str | None) -> ModelFacts:
        """What is known of a model that was found before; the node's own where none is named."""
        turns, pool = self._turns, self._pool
        if turns is None or pool is None or model is None or model == self.model:
            unloaded = turns is not None and turns.engine == UNLOADED
            engine = None if unloaded else self.engine()
            return ModelFacts(self.model, self.context_tokens, self.longest_token_bytes, engine)
        ready = turns.lane(model).ready
        if ready is not None:
            engine = self._system.registry.whereis(pool.engine_name(model))
            return ModelFacts(model, ready.context_tokens, ready.longest_token_bytes, engine)
        loadable = pool.loadable(model)
        return ModelFacts(model, 0 if loadable is None else loadable.context_tokens, 0, None)

    def in_memory(self) -> dict[str, int]:
        """The models whose engines are up, with the memory that each is reckoned to take; 0 where
        that is not known."""
        if self._turns is None or self._pool is None:
            return {} if self.engine_pid is None else {self.model: 0}
        found = {}
        for lane in self._turns.lanes:
            if lane.ready is not None:
                loadable = self._pool.loadable(lane.model)
                found[lane.model] = 0 if loadable is None else loadable.needs_bytes
        return found

    @property
    def several(self) -> bool:
        """Whether it is known that a model without an engine is loaded when it is wanted."""
        return self._pool is not None

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
