"""Writes llama-architecture GGUF files with random weights: right cost, meaningless text.

For tests and measurements that must not need a file from outside. The tokenizer is built here: a
byte-level BPE (as GPT-2's) of the 256 bytes, merges learnt from nothing but a fixed sentence, and
the three control tokens of ChatML; ``vocab`` fills up with unreachable tokens, so that sampling
costs what it does with a vocabulary of that size. ``pre`` is the pattern by which llama.cpp finds
words; `SENTENCEPIECE` stands for a tokenizer of that kind instead, as Llama 2's.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import gguf
import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, TokenType

CHAT_TEMPLATE: Final = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONTROL_TOKENS: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MERGED_TEXT: Final = "the quick brown fox jumps over a lazy dog and tells its story to you "
WORDS: Final = tuple(f" {word}" for word in MERGED_TEXT.split(" "))
SENTENCEPIECE: Final = "sentencepiece"


@dataclass(frozen=True)
class Shape:
    """The size of a llama: ``heads`` and ``kv_heads`` divide ``width``."""

    layers: int
    width: int
    feed_forward: int
    heads: int
    kv_heads: int
    vocab: int
    kind: GGMLQuantizationType


PRESETS: Final = {
    "nano": Shape(2, 64, 128, 4, 2, 512, GGMLQuantizationType.F32),
    "tiny": Shape(6, 288, 768, 6, 6, 8192, GGMLQuantizationType.Q8_0),
    "0.5b": Shape(24, 896, 4864, 14, 2, 32768, GGMLQuantizationType.Q4_0),
}


def byte_letters() -> list[str]:
    """GPT-2's printable letter for every byte, by byte value."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters: dict[int, str] = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        if byte not in letters:
            letters[byte] = chr(256 + len(letters) - len(printable))
    return [letters[byte] for byte in range(256)]


def _merges(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each word, built up letter by letter."""
    letters = byte_letters()
    seen: set[tuple[str, str]] = set()
    for word in words:
        text = "".join(letters[byte] for byte in word.encode())
        for end in range(2, len(text) + 1):
            pair = (text[: end - 1], text[end - 1])
            if pair not in seen:
                seen.add(pair)
                yield pair


def _add_sentencepiece(writer: GGUFWriter, vocab: int, words: Sequence[str]) -> None:
    """Bytes, and each word built up letter by letter, the longer ones first to be taken."""
    pieces = {
        word[:end].replace(" ", "\u2581"): -end for word in words for end in range(1, len(word) + 1)
    }
    pieces |= dict.fromkeys("".join(pieces), -1000)
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    scores = [0.0] * 259 + [float(score) for score in pieces.values()]
    types = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, *[TokenType.BYTE] * 256]
    types += [TokenType.NORMAL] * len(pieces)
    unused = vocab - len(tokens)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens + [f"<unused{i}>" for i in range(unused)])
    writer.add_token_scores(scores + [0.0] * unused)
    writer.add_token_types(types + [TokenType.UNUSED] * unused)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)


def _add_tokenizer(
    writer: GGUFWriter, vocab: int, pre: str, words: Sequence[str], controls: Sequence[str] = ()
) -> None:
    merges = list(_merges(words))
    tokens = [*byte_letters(), *("".join(pair) for pair in merges)]
    types = [TokenType.NORMAL] * len(tokens)
    tokens += [
        f"<unused{i}>" for i in range(vocab - len(tokens) - len(controls) - len(CONTROL_TOKENS))
    ]
    types += [TokenType.UNUSED] * (len(tokens) - len(types))
    tokens += controls
    end_of_text = len(tokens)
    tokens += CONTROL_TOKENS
    types += [TokenType.CONTROL] * (len(tokens) - len(types))
    if len(tokens) != vocab:
        raise ValueError(f"a vocabulary of {vocab} is too small for {len(tokens)} tokens")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([f"{left} {right}" for left, right in merges])
    writer.add_eos_token_id(end_of_text + 2)
    writer.add_bos_token_id(end_of_text)
    writer.add_add_bos_token(False)


def write_random_gguf(
    path: Path,
    preset: str = "nano",
    *,
    context_tokens: int = 512,
    seed: int = 0,
    chat_template: str | None = CHAT_TEMPLATE,
    pre: str = "gpt-2",
    words: Sequence[str] = WORDS,
    controls: Sequence[str] = (),
    tensors_of_file: int = 0,
    pooling: gguf.PoolingType | None = None,
) -> Path:
    """Writes the file and returns its path; with `tensors_of_file` several, and returns that of the
    first, which then has the metadata alone. The same arguments give the same bytes. Among the
    tokens are the `words` and their beginnings, as far as the vocabulary has room, and the
    `controls` as control tokens. With a `pooling` it is a model of embeddings."""
    shape = PRESETS[preset]
    writer = GGUFWriter(
        path, "llama", split_max_tensors=tensors_of_file, small_first_shard=bool(tensors_of_file)
    )
    head = shape.width // shape.heads
    writer.add_name(f"random-{preset}")
    writer.add_context_length(context_tokens)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(head)
    writer.add_vocab_size(shape.vocab)
    if pre == SENTENCEPIECE:
        _add_sentencepiece(writer, shape.vocab, words)
    else:
        _add_tokenizer(writer, shape.vocab, pre, words, controls)
    if pooling is not None:
        writer.add_pooling_type(pooling)
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    _add_weights(writer, shape, np.random.default_rng(seed))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    if not tensors_of_file:
        return path
    (first,) = path.parent.glob(f"{path.stem}-00001-of-*.gguf")
    return first


def _add_weights(writer: GGUFWriter, shape: Shape, rng: np.random.Generator) -> None:
    def weight(name: str, *dimensions: int) -> None:
        # Wide enough that attention matters: with the usual 0.02 a model this small repeats itself.
        values = rng.standard_normal(dimensions, dtype=np.float32) * np.float32(0.2)
        data = gguf.quants.quantize(values, shape.kind)
        writer.add_tensor(name, data, raw_dtype=shape.kind)

    def norm(name: str) -> None:
        writer.add_tensor(name, np.ones(shape.width, np.float32))

    kv_width = shape.kv_heads * (shape.width // shape.heads)
    weight("token_embd.weight", shape.vocab, shape.width)
    norm("output_norm.weight")
    weight("output.weight", shape.vocab, shape.width)
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        norm(block + "attn_norm.weight")
        norm(block + "ffn_norm.weight")
        weight(block + "attn_q.weight", shape.width, shape.width)
        weight(block + "attn_k.weight", kv_width, shape.width)
        weight(block + "attn_v.weight", kv_width, shape.width)
        weight(block + "attn_output.weight", shape.width, shape.width)
        weight(block + "ffn_gate.weight", shape.feed_forward, shape.width)
        weight(block + "ffn_up.weight", shape.feed_forward, shape.width)
        weight(block + "ffn_down.weight", shape.width, shape.feed_forward)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a GGUF with random weights.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--preset", choices=PRESETS, default="tiny")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write_random_gguf(
        options.path, options.preset, context_tokens=options.context, seed=options.seed
    )


if __name__ == "__main__":
    main()
