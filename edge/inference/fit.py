"""How much context fits beside a model in the memory that is free. Pure.

The weights are as large as the file. Of each token of the context every layer keeps a key and a
value for each of its key-value heads. A step needs room besides: a mask over all of the context for
each token of the batch, what the layers compute, and a row of logits for each sequence, of which
recurrent layers keep a state. Measured
against llama.cpp's own words the sum is right to some percent (SmolLM2-135M: 1,440 of 1,440 MiB of
cache, 75 of 78 MiB of buffers at 65,536 tokens).

Reckoned is the machine's own memory, which is the GPU's too on Apple Silicon. A GPU that has memory
of its own is asked for it by the engine (`edge.engine.devices`), which is told what a layer needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge.inference.gguf import Shape

KV_BYTES: Final[dict[str, float]] = {"f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
"""Of one number in the cache, by its type (ggml's blocks of 32 with their scales)."""
KV_BLOCK: Final = 32
"""Numbers of one block, but for f16."""
SPARE_SHARE: Final = 0.1
"""Of the free memory that is left for the node, the system's file cache and errors of the sum."""
GUESSED_ROWS: Final = 8
"""Rows of logits for which there is room in any case (`edge.engine.batching.draft`)."""
CONTEXT_MIN: Final = 512
"""Below that nobody is helped; llama.cpp says itself that it lacks the memory."""
_MASK_BYTES: Final = 2
_FLOAT_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Room:
    """What a model gets: ``context_tokens`` for one task, ``cache_tokens`` for all at a time.
    ``wanted_tokens`` is what all slots together could use; of these there may be fewer ``slots``
    than were wanted, where not even the smallest context would fit."""

    slots: int
    context_tokens: int
    cache_tokens: int
    wanted_tokens: int
    needs_bytes: int
    free_bytes: int
    kv_type: str = "f16"

    @property
    def is_whole(self) -> bool:
        """Every slot can have its whole context at once."""
        return self.cache_tokens >= self.wanted_tokens

    @property
    def sentence(self) -> str:
        """What was chosen, and how to have more; empty when there was nothing to choose."""
        if self.is_whole:
            return ""
        gib = self.free_bytes / 2**30
        return (
            f"{gib:.1f} GiB are free, so {self.slots} tasks at a time have together"
            f" {self.cache_tokens} tokens of context and each at most {self.context_tokens}, where"
            f" {self.wanted_tokens} are wanted; free some memory"
            + (", or set model.kv_type to q8_0" if self.kv_type == "f16" else "")
        )


def kv_bytes_per_token(shape: Shape, kv_type: str) -> float:
    """What the cache keeps of one token."""
    return sum(shape.kv_heads) * (shape.key_length + shape.value_length) * KV_BYTES[kv_type]


def needs_bytes(
    shape: Shape, *, cache_tokens: int, batch_tokens: int, slots: int, kv_type: str
) -> int:
    """Memory of weights, cache and buffers."""
    cache = kv_bytes_per_token(shape, kv_type) * cache_tokens
    buffers = buffer_bytes(shape, cache_tokens, batch_tokens, slots)
    return int(shape.weights_bytes + cache + slots * shape.state_bytes + buffers)


def buffer_bytes(shape: Shape, cache_tokens: int, batch_tokens: int, slots: int) -> int:
    """Memory that a step works in."""
    layer = batch_tokens * (2 * shape.width + 3 * shape.feed_forward) * _FLOAT_BYTES
    mask = batch_tokens * cache_tokens * _MASK_BYTES
    logits = max(slots, GUESSED_ROWS) * shape.vocabulary * _FLOAT_BYTES
    return layer + mask + logits


def layer_bytes(shape: Shape, cache_tokens: int, kv_type: str) -> int:
    """What one layer takes with its cache where all are alike; 0 where their number is not known.
    What is no layer's, the embeddings, counts as one more."""
    if not shape.layers:
        return 0
    cache = kv_bytes_per_token(shape, kv_type) * cache_tokens
    return int(shape.weights_bytes / (shape.layers + 1) + cache / shape.layers)


def fit(
    shape: Shape,
    *,
    free_bytes: int,
    slots: int,
    context_tokens: int,
    batch_tokens: int,
    kv_type: str = "f16",
    other_bytes: int = 0,
    context_fixed: bool = False,
) -> Room:
    """As much of the wanted context as fits: first all tasks together get less than each of them
    could use, then each gets less, unless that is fixed, and then there are fewer slots. Of a file
    that is silent, all that is wanted. ``other_bytes`` are for what else there has to be.
    """

    def needs(tokens: int, slots: int = slots) -> int:
        return other_bytes + needs_bytes(
            shape, cache_tokens=tokens, batch_tokens=batch_tokens, slots=slots, kv_type=kv_type
        )

    wanted = slots * context_tokens
    per_token = (needs(wanted) - needs(0)) / wanted
    if not shape.kv_heads or not per_token:
        return Room(slots, context_tokens, wanted, wanted, needs(wanted), free_bytes, kv_type)
    may_bytes = free_bytes * (1 - SPARE_SHARE)
    least = context_tokens if context_fixed else min(CONTEXT_MIN, context_tokens)
    # A slot costs a row of logits, a MiB in the largest vocabularies, and recurrent layers' states.
    while slots > 1 and needs(least, slots) > may_bytes:
        slots = max(1, slots // 2)
    left_bytes = may_bytes - needs(0, slots)
    cache = min(wanted, max(least, int(left_bytes / per_token) // 256 * 256))
    given = min(context_tokens, cache)
    return Room(slots, given, cache, wanted, needs(cache, slots), free_bytes, kv_type)
