"""GGUF files of models that turn texts into vectors, with random weights.

A vector of theirs means nothing, but it is that of its text, so ours can be compared with
llama.cpp's own. The vocabulary is WordPiece, in which each word of `WORDS` is one token and any
other is put together from letters.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from gguf import GGUFWriter, PoolingType, TokenType

from tests.support.random_gguf import MERGED_TEXT

WORDS: Final = MERGED_TEXT.split()
CONTEXT_TOKENS: Final = 512
SPECIAL_TOKENS: Final = 2
"""Round each text: one before it and one behind."""
SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_SPACE: Final = "\u2581"


class Size(NamedTuple):
    """Of a BERT."""

    layers: int
    width: int
    feed_forward: int
    heads: int
    vocab: int


NANO: Final = Size(1, 64, 128, 4, 512)
MINI: Final = Size(6, 384, 1_536, 12, 30_522)
"""As all-MiniLM-L6-v2, a sentence encoder that is in wide use."""


def begin(path: Path, size: Size, name: str) -> GGUFWriter:
    """A file of a BERT of this size, without vocabulary and weights."""
    writer = GGUFWriter(path, "bert")
    writer.add_name(name)
    writer.add_context_length(CONTEXT_TOKENS)
    writer.add_embedding_length(size.width)
    writer.add_feed_forward_length(size.feed_forward)
    writer.add_block_count(size.layers)
    writer.add_head_count(size.heads)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_vocab_size(size.vocab)
    return writer


def add_wordpiece(writer: GGUFWriter, tokens: list[str]) -> None:
    """A vocabulary as BERT's, in which what goes on a word is written ``##…``; as llama.cpp has it,
    what begins one has a space before it."""
    written, types = [], []
    for token in tokens:
        special = token.startswith("[") and token.endswith("]")
        within = token.startswith("##")
        written.append(token if special else token[2:] if within else _SPACE + token)
        kind = TokenType.UNKNOWN if token == "[UNK]" else TokenType.CONTROL
        types.append(kind if special else TokenType.NORMAL)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(written)
    writer.add_token_types(types)
    writer.add_token_type_count(2)
    writer.add_bos_token_id(tokens.index("[CLS]"))
    writer.add_sep_token_id(tokens.index("[SEP]"))
    writer.add_unk_token_id(tokens.index("[UNK]"))
    writer.add_pad_token_id(tokens.index("[PAD]"))
    writer.add_mask_token_id(tokens.index("[MASK]"))


def finish(writer: GGUFWriter) -> None:
    """Writes all that has been added."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_encoder(
    path: Path,
    pooling: PoolingType | None = PoolingType.MEAN,
    *,
    size: Size = NANO,
    seed: int = 0,
    name: str = "random-encoder",
) -> Path:
    """Writes a BERT and returns its path. With `PoolingType.RANK` it ranks."""
    writer = begin(path, size, name)
    letters = string.ascii_lowercase + string.digits + string.punctuation
    tokens = [*SPECIAL, *WORDS, *letters, *(f"##{letter}" for letter in letters)]
    tokens = list(dict.fromkeys(tokens))
    tokens += [f"[unused{number}]" for number in range(size.vocab - len(tokens))]
    add_wordpiece(writer, tokens)
    if pooling is not None:
        writer.add_pooling_type(pooling)
    rng = np.random.default_rng(seed)
    spread = np.float32(1.6 / np.sqrt(size.width))

    def weight(tensor: str, *dimensions: int) -> None:
        values = rng.standard_normal(dimensions, dtype=np.float32) * spread
        writer.add_tensor(f"{tensor}.weight", values)

    def bias(tensor: str, width: int) -> None:
        writer.add_tensor(f"{tensor}.bias", rng.standard_normal(width, dtype=np.float32) * spread)

    def linear(tensor: str, rows: int, columns: int) -> None:
        weight(tensor, rows, columns)
        bias(tensor, rows)

    def norm(tensor: str) -> None:
        writer.add_tensor(f"{tensor}.weight", np.ones(size.width, np.float32))
        bias(tensor, size.width)

    width = size.width
    weight("token_embd", size.vocab, width)
    weight("token_types", 2, width)
    weight("position_embd", CONTEXT_TOKENS, width)
    norm("token_embd_norm")
    for layer in range(size.layers):
        block = f"blk.{layer}."
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            linear(block + part, width, width)
        norm(block + "attn_output_norm")
        linear(block + "ffn_up", size.feed_forward, width)
        linear(block + "ffn_down", width, size.feed_forward)
        norm(block + "layer_output_norm")
    if pooling is PoolingType.RANK:
        linear("cls", width, width)
        linear("cls.output", 1, width)
    finish(writer)
    return path
