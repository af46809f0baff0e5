"""Which models the settings name for embeddings, and what is in the tree for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from gguf import PoolingType

from edge.embedding_branch import children, models_of
from edge.errors import ModelError
from edge.services.embedding import EMBEDDING_NAME, RERANK_NAME, Models
from edge.settings import Embeddings, Settings
from edge.telemetry import Telemetry
from tests.support.random_encoders import write_encoder
from tests.support.random_gguf import write_random_gguf


def names(models: Models) -> list[str]:
    specs = children(Settings(), models, Telemetry(), Random(0), lambda: 1 << 30)
    return [spec.name for spec in specs]


def test_without_models_there_is_nothing(tmp_path: Path) -> None:
    assert models_of(Embeddings(), tmp_path) == Models()
    assert names(Models()) == []


def test_each_model_has_an_engine(tmp_path: Path) -> None:
    embeds = write_encoder(tmp_path / "encoder.gguf")
    ranks = write_encoder(tmp_path / "ranker.gguf", PoolingType.RANK)
    wanted = Embeddings(model=str(embeds), rerank_model=str(ranks))
    models = models_of(wanted, tmp_path)
    assert models.embeds is not None
    assert models.ranks is not None
    assert (models.embeds.name, models.embeds.shape.width) == ("encoder", 64)
    assert (models.ranks.name, models.ranks.context_tokens) == ("ranker", 512)
    assert names(models) == [EMBEDDING_NAME, RERANK_NAME]
    assert names(models._replace(embeds=None)) == [RERANK_NAME]


def test_a_model_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    write_encoder(tmp_path / "models" / "mine.gguf")
    models = models_of(Embeddings(model="mine"), tmp_path)
    assert models.embeds is not None
    assert models.embeds.name == "mine"


def test_a_model_that_writes_needs_to_be_told_how(tmp_path: Path) -> None:
    path = write_random_gguf(tmp_path / "random.gguf")
    wanted = Embeddings(model=str(path))
    with pytest.raises(ModelError, match=r"embeddings\.pooling"):
        models_of(wanted, tmp_path)
    assert models_of(replace(wanted, pooling="last"), tmp_path).embeds is not None
    with pytest.raises(ModelError, match="get a reranker"):
        models_of(Embeddings(rerank_model=str(path)), tmp_path)
