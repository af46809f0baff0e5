"""Good small models by short names. This list is data: it was written down, not asked for, and says
what the repositories had then; sizes are about right. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge.inference.gguf import Shape


@dataclass(frozen=True, slots=True)
class Entry:
    """One model: where it is, and what it needs."""

    name: str
    repository: str
    quantisation: str
    size_mb: int
    licence: str
    description: str
    shape: Shape


def _entry(
    name: str,
    repository: str,
    quantisation: str,
    size_mb: int,
    licence: str,
    description: str,
    *,
    layers: int,
    width: int,
    heads: tuple[int, int],
    head_width: int,
    feed_forward: int,
    vocabulary: int,
) -> Entry:
    """``heads`` are those of queries and those of keys and values."""
    shape = Shape(
        weights_bytes=size_mb * 1_000_000,
        layers=layers,
        width=width,
        feed_forward=feed_forward,
        heads=heads[0],
        kv_heads=(heads[1],) * layers,
        key_length=head_width,
        value_length=head_width,
        vocabulary=vocabulary,
    )
    return Entry(name, repository, quantisation, size_mb, licence, description, shape)


CATALOGUE: Final = (
    _entry(
        "smollm2-360m", "HuggingFaceTB/SmolLM2-360M-Instruct-GGUF", "Q8_0", 386, "apache-2.0",
        "the next larger of the assistant that comes as a package",
        layers=32, width=960, heads=(15, 5), head_width=64, feed_forward=2_560, vocabulary=49_152,
    ),
    _entry(
        "smollm2-1.7b", "HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF", "Q4_K_M", 1_056, "apache-2.0",
        "English, instructions",
        layers=24, width=2_048, heads=(32, 32), head_width=64, feed_forward=8_192,
        vocabulary=49_152,
    ),
    _entry(
        "qwen2.5-0.5b", "Qwen/Qwen2.5-0.5B-Instruct-GGUF", "Q4_K_M", 491, "apache-2.0",
        "many languages, JSON, tools",
        layers=24, width=896, heads=(14, 2), head_width=64, feed_forward=4_864, vocabulary=151_936,
    ),
    _entry(
        "qwen2.5-1.5b", "Qwen/Qwen2.5-1.5B-Instruct-GGUF", "Q4_K_M", 1_117, "apache-2.0",
        "many languages, JSON, tools",
        layers=28, width=1_536, heads=(12, 2), head_width=128, feed_forward=8_960,
        vocabulary=151_936,
    ),
    _entry(
        "qwen2.5-coder-1.5b", "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", "Q4_K_M", 1_117,
        "apache-2.0", "programs",
        layers=28, width=1_536, heads=(12, 2), head_width=128, feed_forward=8_960,
        vocabulary=151_936,
    ),
    _entry(
        "qwen3-0.6b", "Qwen/Qwen3-0.6B-GGUF", "Q8_0", 639, "apache-2.0",
        "many languages, tools, thinks first",
        layers=28, width=1_024, heads=(16, 8), head_width=128, feed_forward=3_072,
        vocabulary=151_936,
    ),
    _entry(
        "qwen3-1.7b", "Qwen/Qwen3-1.7B-GGUF", "Q8_0", 1_834, "apache-2.0",
        "many languages, tools, thinks first",
        layers=28, width=2_048, heads=(16, 8), head_width=128, feed_forward=6_144,
        vocabulary=151_936,
    ),
    _entry(
        "qwen3-4b", "Qwen/Qwen3-4B-GGUF", "Q4_K_M", 2_497, "apache-2.0",
        "many languages, tools, thinks first",
        layers=36, width=2_560, heads=(32, 8), head_width=128, feed_forward=9_728,
        vocabulary=151_936,
    ),
    _entry(
        "gemma-3-1b", "ggml-org/gemma-3-1b-it-GGUF", "Q4_K_M", 806, "gemma",
        "many languages",
        layers=26, width=1_152, heads=(4, 1), head_width=256, feed_forward=6_912,
        vocabulary=262_144,
    ),
    _entry(
        "gemma-3-4b", "ggml-org/gemma-3-4b-it-GGUF", "Q4_K_M", 2_490, "gemma",
        "many languages",
        layers=34, width=2_560, heads=(8, 4), head_width=256, feed_forward=10_240,
        vocabulary=262_144,
    ),
    _entry(
        "llama-3.2-1b", "bartowski/Llama-3.2-1B-Instruct-GGUF", "Q4_K_M", 808, "llama3.2",
        "instructions, tools",
        layers=16, width=2_048, heads=(32, 8), head_width=64, feed_forward=8_192,
        vocabulary=128_256,
    ),
    _entry(
        "llama-3.2-3b", "bartowski/Llama-3.2-3B-Instruct-GGUF", "Q4_K_M", 2_019, "llama3.2",
        "instructions, tools",
        layers=28, width=3_072, heads=(24, 8), head_width=128, feed_forward=8_192,
        vocabulary=128_256,
    ),
)  # fmt: skip
