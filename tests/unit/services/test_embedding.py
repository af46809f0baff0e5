"""What the interfaces ask of embeddings, and what it takes to be asked of an engine."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.actors import Actor, Reply, System
from edge.clock import SystemClock
from edge.errors import EngineDead, InvalidRequest
from edge.inference import ModelFile
from edge.inference.embedding.protocol import Close, EmbedTexts, Vectors
from edge.inference.gguf import Shape
from edge.services.embedding import (
    EMBEDDING_NAME,
    RERANK_NAME,
    TEXTS_PER_CALL_MAX,
    EmbeddingService,
    Models,
)
from edge.settings import Embeddings

MODEL = ModelFile("plain", Path("plain.gguf"), 1, 512, "bert", shape=Shape(width=384))


class Engine(Actor):
    """Answers at once, and keeps what it heard."""

    def __init__(self, *vectors: str) -> None:
        self.heard: list[object] = []
        self.vectors = vectors

    def handle(self, message: object) -> None:
        self.heard.append(message)

    def handle_call(self, request: object, reply: Reply) -> None:
        self.heard.append(request)
        reply(Vectors(self.vectors, (3,) * len(self.vectors)))


def service(
    engine: Engine | None = None,
    name: str = EMBEDDING_NAME,
    model: ModelFile = MODEL,
    **settings: Any,
) -> EmbeddingService:
    loop = asyncio.get_running_loop()
    system = System(SystemClock(loop), loop.call_soon)
    if engine is not None:
        system.spawn(engine, name=name)
    return EmbeddingService(system, Models(model, model), Embeddings(**settings))


async def test_texts_go_to_the_engine_as_they_are() -> None:
    engine = Engine("v", "w")
    answer = await service(engine).embed("me", ["a", "b"], truncate=True, as_json=True)
    assert answer == Vectors(("v", "w"), (3, 3))
    assert engine.heard == [EmbedTexts("me", ("a", "b"), None, True, 0, True, "input")]


async def test_documents_are_ranked_by_the_other_engine() -> None:
    engine = Engine("[0.25]", "[0.75]")
    ranked = await service(engine, RERANK_NAME).rerank("me", "q", ["a", "b"])
    assert ranked == ((0.25, 0.75), 6)
    (asked,) = engine.heard
    assert isinstance(asked, EmbedTexts)
    assert (asked.query, asked.truncate, asked.field) == ("q", True, "documents")


async def test_without_a_model_the_setting_is_named() -> None:
    loop = asyncio.get_running_loop()
    none = EmbeddingService(System(SystemClock(loop), loop.call_soon), Models(), Embeddings())
    with pytest.raises(InvalidRequest, match=r"embeddings\.model"):
        await none.embed("me", ["a"])
    with pytest.raises(InvalidRequest, match=r"embeddings\.rerank_model"):
        await none.rerank("me", "q", ["a"])


@pytest.mark.parametrize("texts", [[], ["x"] * (TEXTS_PER_CALL_MAX + 1)])
async def test_a_call_has_a_text_at_least_and_so_many_at_most(texts: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await service(Engine()).embed("me", texts)
    assert caught.value.field == "input"
    with pytest.raises(InvalidRequest) as caught:
        await service(Engine(), RERANK_NAME).rerank("me", "q", texts)
    assert caught.value.field == "documents"


@pytest.mark.parametrize(
    ("model", "cuttable", "dimensions", "allowed"),
    [
        (MODEL, "auto", 384, True),
        (MODEL, "auto", 128, False),
        (MODEL, "yes", 128, True),
        (MODEL, "yes", 385, False),
        (replace(MODEL, description="Nomic Embed Text v1.5"), "auto", 128, True),
        (replace(MODEL, description="Nomic Embed Text v1.5"), "no", 128, False),
    ],
)
async def test_vectors_are_cut_where_the_model_allows_it(
    model: ModelFile, cuttable: str, dimensions: int, allowed: bool
) -> None:
    asked = service(Engine("v"), model=model, cuttable=cuttable)
    if allowed:
        await asked.embed("me", ["a"], dimensions=dimensions)
    else:
        with pytest.raises(InvalidRequest) as caught:
            await asked.embed("me", ["a"], dimensions=dimensions)
        assert caught.value.field == "dimensions"


async def test_an_engine_that_was_given_up_is_said() -> None:
    with pytest.raises(EngineDead, match="given up"):
        await service().embed("me", ["a"])


async def test_the_end_is_told_to_the_engines_that_there_are() -> None:
    engine = Engine()
    service(engine).close()
    await asyncio.sleep(0)
    assert engine.heard == [Close()]
