"""The models that apps can ask for."""

from __future__ import annotations

from edge.gateway.calls.names import Known
from edge.gateway.facts import NodeFacts
from edge.inference import ModelFile
from edge.inference.known import KnownModels
from edge.inference.pool import Pool


class Models:
    """Those that there are on this machine; the node's own is meant where none is named."""

    def __init__(self, facts: NodeFacts, pool: Pool, known: KnownModels, begun_s: int) -> None:
        """``begun_s`` is since when they can be asked for, in Unix time."""
        self._facts = facts
        self._pool = pool
        self._known = known
        self._begun_s = begun_s

    @property
    def own(self) -> Known:
        """The node's own. No engine need be there."""
        return self._shown(self._known.own)

    async def all(self) -> tuple[Known, ...]:
        """All, the node's own first. Of the others no file is read for it."""
        return tuple(map(self._shown, await self._known.all()))

    async def find(self, wanted: str | None) -> Known:
        """The model of this name, which may be asked for from then on; see `KnownModels.find`."""
        return self._shown((await self._pool.look_up(wanted)).model)

    def _shown(self, model: ModelFile) -> Known:
        trained_tokens = model.context_tokens
        context_tokens = self._facts.of(model.name).context_tokens or trained_tokens
        return Known(
            model.name, (), self._begun_s, context_tokens, trained_tokens, model.size_bytes, model
        )
