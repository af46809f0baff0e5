"""Texts to vectors, and documents in the order in which they answer a query: what the interfaces
call, whichever they are.

These are no tasks. Nothing is lost that could not be had again, in milliseconds and with the same
result; so nothing is written down, and a call that is cut off is made anew by who made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson

from edge.actors import System
from edge.errors import EngineDead, InvalidRequest
from edge.inference import ModelFile
from edge.inference.embedding.cutting import may_be_cut
from edge.inference.embedding.protocol import Close, EmbedTexts, Vectors
from edge.settings import Embeddings

EMBEDDING_NAME: Final = "embedding engine"
RERANK_NAME: Final = "rerank engine"
"""By which the actors of the engines are registered."""
TEXTS_PER_CALL_MAX: Final = 2_048
"""As OpenAI has it. A text may be as long as the model's context."""


class Models(NamedTuple):
    """Which models there are for this, by the settings; each may be missing."""

    embeds: ModelFile | None = None
    ranks: ModelFile | None = None


class Ranked(NamedTuple):
    """How well each document answers the query, from 0 to 1, in the order of the documents; and how
    many tokens were read."""

    scores: tuple[float, ...]
    tokens: int


class EmbeddingService:
    """What may be asked of the engines of embeddings. ``client`` is whose turn it is about: a name
    for whoever is to be treated as one. `InvalidRequest` says what is wrong with a call; all other
    errors are those of `EmbedTexts`, `CallTimeout` after ``embeddings.call_ms``, or `ActorDown`."""

    def __init__(self, system: System, models: Models, settings: Embeddings) -> None:
        self._system = system
        self.models = models
        self._settings = settings

    async def embed(
        self,
        client: str,
        texts: Sequence[str],
        *,
        truncate: bool = False,
        dimensions: int = 0,
        as_json: bool = False,
        field: str = "input",
    ) -> Vectors:
        """A vector of length one for each text, in their order: Base64 of little-endian 32-bit
        floats, or with `as_json` a JSON array as text (which `orjson.Fragment` puts into an answer
        as it is). What is too long for the model is refused, or cut with `truncate`; `dimensions`
        cuts the vectors, where the model allows that. ``field`` is the texts' name in errors."""
        model = self.models.embeds
        if model is None:
            raise InvalidRequest(
                "no model of this node makes embeddings; have its admin name one with the setting"
                " embeddings.model",
                field="model",
            )
        self._check_dimensions(model, dimensions)
        checked = _checked(texts, field)
        wanted = EmbedTexts(client, checked, None, truncate, dimensions, as_json, field)
        return await self._ask(EMBEDDING_NAME, wanted)

    async def rerank(
        self, client: str, query: str, documents: Sequence[str], *, field: str = "documents"
    ) -> Ranked:
        """How well each document answers the query. Of a document too long its end is left out, as
        the services do whose interface this is."""
        if self.models.ranks is None:
            raise InvalidRequest(
                "no model of this node ranks documents; have its admin name one with the setting"
                " embeddings.rerank_model",
                field="model",
            )
        wanted = EmbedTexts(
            client, _checked(documents, field), query, truncate=True, as_json=True, field=field
        )
        answer = await self._ask(RERANK_NAME, wanted)
        scores = tuple(float(orjson.loads(each)[0]) for each in answer.vectors)
        return Ranked(scores, sum(answer.tokens))

    def close(self) -> None:
        """The node ends; whoever waits is told to come back."""
        for name in (EMBEDDING_NAME, RERANK_NAME):
            engine = self._system.registry.whereis(name)
            if engine is not None:
                engine.send(Close())

    def _check_dimensions(self, model: ModelFile, dimensions: int) -> None:
        width = model.shape.width
        if not dimensions or dimensions == width:
            return
        if width and dimensions > width:
            sentence = f"the vectors of {model.name} have {width} dimensions; ask for fewer"
            raise InvalidRequest(sentence, field="dimensions")
        wish = self._settings.cuttable
        if wish == "no" or (wish == "auto" and not may_be_cut(model)):
            raise InvalidRequest(
                f"the vectors of {model.name} cannot be cut: it is not known to be trained for"
                " that. Leave dimensions out; where it was trained for it, the setting"
                " embeddings.cuttable = yes allows it",
                field="dimensions",
            )

    async def _ask(self, name: str, wanted: EmbedTexts) -> Vectors:
        engine = self._system.registry.whereis(name)
        if engine is None:
            raise EngineDead("the engine for this has been given up, after failing again and again")
        answer = await engine.call(wanted, deadline_ms=self._settings.call_ms)
        assert isinstance(answer, Vectors)
        return answer


def _checked(texts: Sequence[str], field: str) -> tuple[str, ...]:
    if not texts:
        raise InvalidRequest(f"{field} has no texts; send one at least", field=field)
    if len(texts) > TEXTS_PER_CALL_MAX:
        raise InvalidRequest(
            f"{field} has {len(texts)} texts, where {TEXTS_PER_CALL_MAX} are the most of a call;"
            " send them in several",
            field=field,
        )
    return tuple(texts)
