"""The models that apps can ask for."""

from __future__ import annotations

from edge.gateway.calls.names import Known, find
from edge.gateway.facts import NodeFacts
from edge.inference import ModelFile
from edge.settings import Settings


class Models:
    """Those that there are now: the one that the node runs, by all its names."""

    def __init__(
        self, settings: Settings, facts: NodeFacts, model: ModelFile, begun_s: int
    ) -> None:
        """``begun_s`` is since when they can be asked for, in Unix time."""
        self._settings = settings
        self._facts = facts
        self._model = model
        self._begun_s = begun_s

    def all(self) -> tuple[Known, ...]:
        """The first is the one that is meant where none is named. No engine need be there."""
        model, facts = self._model, self._facts
        return (
            Known(
                facts.model,
                (model.path.stem, *self._settings.model.aliases),
                self._begun_s,
                facts.context_tokens or model.context_tokens,
                model.context_tokens,
                model.size_bytes,
                model,
            ),
        )

    def find(self, wanted: str | None) -> Known:
        """The model of this name; `UnknownModel` when there is none."""
        return find(wanted, self.all())
