"""GGUF files with random weights of other architectures than llama's, as small as llama.cpp takes.

Each stands for a kind of cache: of a sliding window (``gemma3``), recurrent (``mamba``), both an
attention's and a recurrent one (``lfm2``, ``jamba``). ``t5`` and ``bert`` are models that have none
of these. The tokenizer is that of `tests.support.random_gguf`. Names of tensors and of entries are
those of llama.cpp (llama-arch.cpp).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from gguf import GGUFWriter

from tests.support.random_gguf import CHAT_TEMPLATE, WORDS, _add_tokenizer

WIDTH: Final = 64
HEADS: Final = 4
HEAD: Final = WIDTH // HEADS
VOCAB: Final = 512
WINDOW: Final = 32
"""Tokens that a layer with a sliding window sees."""
FEED_FORWARD: Final = 128
INNER: Final = 2 * WIDTH
STATE: Final = 16
RANK: Final = 4
CONV: Final = 4


class _Weights:
    """Puts random tensors into a file."""

    def __init__(self, writer: GGUFWriter, seed: int) -> None:
        self._writer = writer
        self._rng = np.random.default_rng(seed)

    def wide(self, name: str, *dimensions: int) -> None:
        """Wide enough that what came long before still matters."""
        values = self._rng.standard_normal(dimensions, dtype=np.float32) * np.float32(0.2)
        self._writer.add_tensor(name, values)

    def ones(self, name: str, *dimensions: int) -> None:
        self._writer.add_tensor(name, np.ones(dimensions, np.float32))

    def negative(self, name: str, *dimensions: int) -> None:
        """How fast a state is forgotten: slowly."""
        values = -self._rng.uniform(0.01, 0.1, dimensions).astype(np.float32)
        self._writer.add_tensor(name, values)


def _attention(weights: _Weights, block: str, kv_heads: int = HEADS) -> None:
    weights.wide(block + "attn_q.weight", WIDTH, WIDTH)
    weights.wide(block + "attn_k.weight", kv_heads * HEAD, WIDTH)
    weights.wide(block + "attn_v.weight", kv_heads * HEAD, WIDTH)
    weights.wide(block + "attn_output.weight", WIDTH, WIDTH)


def _feed_forward(weights: _Weights, block: str) -> None:
    weights.ones(block + "ffn_norm.weight", WIDTH)
    weights.wide(block + "ffn_gate.weight", FEED_FORWARD, WIDTH)
    weights.wide(block + "ffn_up.weight", FEED_FORWARD, WIDTH)
    weights.wide(block + "ffn_down.weight", WIDTH, FEED_FORWARD)


def _state_space(weights: _Weights, block: str) -> None:
    weights.wide(block + "ssm_in.weight", 2 * INNER, WIDTH)
    weights.wide(block + "ssm_conv1d.weight", INNER, CONV)
    weights.wide(block + "ssm_conv1d.bias", INNER)
    weights.wide(block + "ssm_x.weight", RANK + 2 * STATE, INNER)
    weights.wide(block + "ssm_dt.weight", INNER, RANK)
    weights.wide(block + "ssm_dt.bias", INNER)
    weights.negative(block + "ssm_a", INNER, STATE)
    weights.ones(block + "ssm_d", INNER)
    weights.wide(block + "ssm_out.weight", WIDTH, INNER)


def _gemma3(writer: GGUFWriter, weights: _Weights) -> None:
    layers = 6  # every sixth sees all
    writer.add_block_count(layers)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(2)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_sliding_window(WINDOW)
    weights.ones("output_norm.weight", WIDTH)
    for layer in range(layers):
        block = f"blk.{layer}."
        weights.ones(block + "attn_norm.weight", WIDTH)
        _attention(weights, block, 2)
        weights.ones(block + "attn_q_norm.weight", HEAD)
        weights.ones(block + "attn_k_norm.weight", HEAD)
        weights.ones(block + "post_attention_norm.weight", WIDTH)
        _feed_forward(weights, block)
        weights.ones(block + "post_ffw_norm.weight", WIDTH)


def _mamba(writer: GGUFWriter, weights: _Weights) -> None:
    layers = 2
    writer.add_block_count(layers)
    writer.add_head_count(0)
    writer.add_ssm_conv_kernel(CONV)
    writer.add_ssm_inner_size(INNER)
    writer.add_ssm_state_size(STATE)
    writer.add_ssm_time_step_rank(RANK)
    writer.add_layer_norm_rms_eps(1e-5)
    weights.ones("output_norm.weight", WIDTH)
    for layer in range(layers):
        weights.ones(f"blk.{layer}.attn_norm.weight", WIDTH)
        _state_space(weights, f"blk.{layer}.")


def _lfm2(writer: GGUFWriter, weights: _Weights) -> None:
    kv_heads = [0, 2, 0, 2]
    writer.add_block_count(len(kv_heads))
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_shortconv_l_cache(3)
    weights.ones("token_embd_norm.weight", WIDTH)
    for layer, heads in enumerate(kv_heads):
        block = f"blk.{layer}."
        weights.ones(block + "attn_norm.weight", WIDTH)
        if heads:
            _attention(weights, block, heads)
            weights.ones(block + "attn_q_norm.weight", HEAD)
            weights.ones(block + "attn_k_norm.weight", HEAD)
        else:
            weights.wide(block + "shortconv.conv.weight", WIDTH, 3)
            weights.wide(block + "shortconv.in_proj.weight", 3 * WIDTH, WIDTH)
            weights.wide(block + "shortconv.out_proj.weight", WIDTH, WIDTH)
        _feed_forward(weights, block)


def _t5(writer: GGUFWriter, weights: _Weights) -> None:
    writer.add_block_count(1)
    writer.add_head_count(HEADS)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_layer_norm_eps(1e-6)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_relative_attn_buckets_count(32)
    writer.add_decoder_start_token_id(0)
    for part in ("enc", "dec"):
        block = f"{part}.blk.0."
        weights.ones(f"{part}.output_norm.weight", WIDTH)
        for kind in ("attn", "cross_attn") if part == "dec" else ("attn",):
            weights.ones(f"{block}{kind}_norm.weight", WIDTH)
            for which in "qkvo":
                weights.wide(f"{block}{kind}_{which}.weight", WIDTH, WIDTH)
            weights.wide(f"{block}{kind}_rel_b.weight", 32, HEADS)
        _feed_forward(weights, block)


def _bert(writer: GGUFWriter, weights: _Weights) -> None:
    writer.add_block_count(1)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_token_type_count(2)
    weights.wide("token_types.weight", 2, WIDTH)
    weights.wide("position_embd.weight", 512, WIDTH)
    block = "blk.0."
    for norm in ("token_embd_norm", block + "attn_output_norm", block + "layer_output_norm"):
        weights.ones(norm + ".weight", WIDTH)
        weights.wide(norm + ".bias", WIDTH)
    _attention(weights, block)
    for which in ("attn_q", "attn_k", "attn_v", "attn_output"):
        weights.wide(f"{block}{which}.bias", WIDTH)
    weights.wide(block + "ffn_up.weight", FEED_FORWARD, WIDTH)
    weights.wide(block + "ffn_up.bias", FEED_FORWARD)
    weights.wide(block + "ffn_down.weight", WIDTH, FEED_FORWARD)
    weights.wide(block + "ffn_down.bias", WIDTH)


_ARCHITECTURES: Final[dict[str, Callable[[GGUFWriter, _Weights], None]]] = {
    "gemma3": _gemma3, "mamba": _mamba, "lfm2": _lfm2, "t5": _t5, "bert": _bert,
}  # fmt: skip


def write_architecture(path: Path, architecture: str, *, seed: int = 0) -> Path:
    """Writes the file, for a context of 512 tokens, and returns its path."""
    writer = GGUFWriter(path, architecture)
    writer.add_name(f"random-{architecture}")
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(0 if architecture == "mamba" else FEED_FORWARD)
    writer.add_vocab_size(VOCAB)
    _add_tokenizer(writer, VOCAB, "gpt-2", WORDS)
    writer.add_chat_template(CHAT_TEMPLATE)
    weights = _Weights(writer, seed)
    weights.wide("token_embd.weight", VOCAB, WIDTH)
    _ARCHITECTURES[architecture](writer, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
