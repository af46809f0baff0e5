"""The command line of an engine of embeddings, and whether there is memory for its model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.inference import ModelFile
from edge.inference.embedding.command import (
    CONTEXT_TOKENS_DEFAULT,
    PASS_TOKENS,
    EmbeddingCommand,
)
from edge.inference.gguf import Shape
from edge.settings import Embeddings

SHAPE = Shape(
    weights_bytes=46 << 20, layers=6, width=384, feed_forward=1_536, heads=12,
    kv_heads=(12,) * 6, key_length=32, value_length=32, vocabulary=30_522,
)  # fmt: skip
MODEL = ModelFile("mini", Path("mini.gguf"), 46 << 20, 512, "bert", shape=SHAPE)


def flags(command: EmbeddingCommand, *, safe: bool = False) -> dict[str, str]:
    argv = [*command(safe), ""]
    return {flag: argv[place + 1] for place, flag in enumerate(argv) if flag.startswith("--")}


def command(model: ModelFile = MODEL, *, ranks: bool = False, **settings: Any) -> EmbeddingCommand:
    return EmbeddingCommand(model, Embeddings(**settings), ranks)


def test_what_the_settings_say_is_kept() -> None:
    said = flags(command(threads=3, pooling="cls", context_tokens=100, gpu_layers=2))
    assert (said["--threads"], said["--pooling"]) == ("3", "cls")
    assert (said["--context-tokens"], said["--gpu-layers"]) == ("100", "2")
    assert said["--model"] == "mini.gguf"
    assert "--safe" not in said
    assert "--safe" in flags(command(), safe=True)


def test_a_model_that_ranks_has_its_own_pooling() -> None:
    assert flags(command(ranks=True, pooling="cls"))["--pooling"] == "rank"


@pytest.mark.parametrize(
    ("trained", "expected"),
    [(512, 512), (8_192, CONTEXT_TOKENS_DEFAULT), (0, CONTEXT_TOKENS_DEFAULT)],
)
def test_a_text_may_be_as_long_as_the_model_was_trained_with_up_to_a_limit(
    trained: int, expected: int
) -> None:
    assert command(replace(MODEL, context_tokens=trained)).context_tokens == expected


def test_memory_is_looked_at_before_the_model_is_loaded() -> None:
    mini = command()
    assert SHAPE.weights_bytes < mini.wants_bytes < 3 * SHAPE.weights_bytes
    assert mini.lacks(1 << 30) == ""
    assert "mini needs 0.1 GiB" in mini.lacks(mini.wants_bytes)
    assert mini.lacks(0)
    # What a pass works in grows with a text's length, from that of a pass on.
    assert command(context_tokens=PASS_TOKENS // 2).wants_bytes == mini.wants_bytes
    assert command(context_tokens=8_192).wants_bytes > mini.wants_bytes
