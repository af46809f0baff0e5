"""Families of models by their chat templates: a vocabulary and a template as each of them has.

The templates (``templates/*.jinja``) are written for these tests with the constructs that the
family's own have. The vocabularies are the beginning of SmolLM2's, split up as the family splits
text, with the family's control tokens: as byte pairs, or as SentencePiece's pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import gguf
from gguf import GGUFWriter, TokenType

from tests.support.random_gguf import byte_letters
from tests.support.smollm2 import smollm2

TEMPLATES: Final = Path(__file__).parent / "templates"
BASE_TOKENS: Final = 12_000
"""Of SmolLM2's 49,152: enough for words, and quick to read."""
SENTENCEPIECE: Final = "sentencepiece"


@dataclass(frozen=True)
class Family:
    """``pre`` is llama.cpp's name for how text is split up into words, or `SENTENCEPIECE`.
    ``controls`` are control tokens; ``added`` are found in any text, whoever wrote it. ``bos`` and
    ``eos`` are among the controls. ``space_first`` (SentencePiece): a space stands before each
    text. ``takes_space_behind``: white space behind a control token belongs to it, which llama.cpp
    knows by the model's name."""

    name: str
    pre: str
    bos: str
    eos: str
    controls: tuple[str, ...]
    added: tuple[str, ...] = ()
    space_first: bool = False
    takes_space_behind: bool = False
    model: str = "test"

    @property
    def template(self) -> str:
        """Its source."""
        return (TEMPLATES / f"{self.name}.jinja").read_text()


_CHATML: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_CALLS: Final = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
_THINK: Final = ("<think>", "</think>")
_LLAMA3: Final = (
    *("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<|eot_id|>", "<|eom_id|>", "<|python_tag|>", "<|finetune_right_pad_id|>"),
)
_DEEPSEEK: Final = (
    *("<\uff5cbegin▁of▁sentence\uff5c>", "<\uff5cend▁of▁sentence\uff5c>"),
    *("<\uff5cUser\uff5c>", "<\uff5cAssistant\uff5c>"),
    *("<\uff5ctool▁calls▁begin\uff5c>", "<\uff5ctool▁calls▁end\uff5c>"),
    *("<\uff5ctool▁call▁begin\uff5c>", "<\uff5ctool▁call▁end\uff5c>", "<\uff5ctool▁sep\uff5c>"),
    *("<\uff5ctool▁outputs▁begin\uff5c>", "<\uff5ctool▁outputs▁end\uff5c>"),
    *("<\uff5ctool▁output▁begin\uff5c>", "<\uff5ctool▁output▁end\uff5c>"),
)
_MISTRAL: Final = (
    *("<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]"),
    *("[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"),
)
_MISTRAL_NEW: Final = (
    *("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[ARGS]", "[CALL_ID]", "[TOOL_CONTENT]"),
    *("[THINK]", "[/THINK]"),
)
_PHI: Final = ("<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
_HARMONY: Final = (
    *("<|startoftext|>", "<|endoftext|>", "<|return|>", "<|constrain|>", "<|channel|>"),
    *("<|start|>", "<|end|>", "<|message|>", "<|call|>", "<|endofprompt|>"),
)

FAMILIES: Final = {
    family.name: family
    for family in (
        Family("llama2", SENTENCEPIECE, "<s>", "</s>", ("<s>", "</s>"), space_first=True),
        Family("llama3", "llama-bpe", "<|begin_of_text|>", "<|eot_id|>", _LLAMA3),
        Family("qwen2_5", "qwen2", "<|endoftext|>", "<|im_end|>", _CHATML, _CALLS),
        Family("qwen3", "qwen2", "<|endoftext|>", "<|im_end|>", _CHATML, _CALLS + _THINK),
        Family(
            "gemma3",
            SENTENCEPIECE,
            "<bos>",
            "<end_of_turn>",
            ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>"),
            ("\n", "\n\n", "\n\n\n", "\t"),
        ),
        Family("mistral_v3", SENTENCEPIECE, "<s>", "</s>", _MISTRAL),
        Family("mistral_v11", "tekken", "<s>", "</s>", _MISTRAL + _MISTRAL_NEW),
        Family(
            "phi3",
            SENTENCEPIECE,
            "<s>",
            "<|endoftext|>",
            ("<s>", "</s>", *_PHI),  # llama.cpp asks for that end of Llama's, too
            space_first=True,
            takes_space_behind=True,
            model="phi-3",
        ),
        Family("phi4", "dbrx", "<|endoftext|>", "<|im_end|>", (*_CHATML, "<|im_sep|>")),
        Family(
            "phi4_mini",
            "gpt-4o",
            "<|endoftext|>",
            "<|end|>",
            (
                *_PHI,
                *("<|tool|>", "<|/tool|>", "<|tool_call|>", "<|/tool_call|>"),
                "<|tool_response|>",
            ),
        ),
        Family(
            "deepseek",
            "deepseek-v3",
            "<\uff5cbegin▁of▁sentence\uff5c>",
            "<\uff5cend▁of▁sentence\uff5c>",
            _DEEPSEEK + _THINK,
        ),
        Family("gpt_oss", "gpt-4o", "<|startoftext|>", "<|return|>", _HARMONY),
        Family("smollm3", "llama-bpe", "<|begin_of_text|>", "<|im_end|>", _LLAMA3 + _CHATML[1:],
               _CALLS + _THINK),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Base:
    """Tokens without any control token, as byte pairs and as pieces; the merges of the pairs."""

    pairs: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]
    pieces: tuple[str, ...]
    """The likeliest to be joined first. Behind the 256 bytes, which are not among them."""


@cache
def base() -> Base:
    """The beginning of SmolLM2's vocabulary."""
    fields = gguf.GGUFReader(smollm2()).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    kinds = fields["tokenizer.ggml.token_type"].contents()
    normal = [text for text, kind in zip(tokens, kinds, strict=True) if kind == TokenType.NORMAL]
    pairs = tuple(normal[:BASE_TOKENS])
    known = frozenset(pairs)
    merges = tuple(
        (left, right)
        for left, right in (each.split(" ") for each in fields["tokenizer.ggml.merges"].contents())
        if {left, right, left + right} <= known
    )
    value = {letter: byte for byte, letter in enumerate(byte_letters())}
    texts = (bytes(value[letter] for letter in pair).decode(errors="replace") for pair in pairs)
    pieces = (text.replace(" ", "\u2581") for text in texts if "\ufffd" not in text)
    sound = (piece for piece in pieces if not any(map(str.isspace, piece)))
    return Base(pairs, merges, tuple(dict.fromkeys(sound)))


def vocabulary_of(family: Family) -> list[tuple[str, TokenType]]:
    """All tokens by their ids."""
    if family.pre == SENTENCEPIECE:
        tokens = [("<unk>", TokenType.UNKNOWN)]
        tokens += [(f"<0x{byte:02X}>", TokenType.BYTE) for byte in range(256)]
        tokens += [(piece, TokenType.NORMAL) for piece in base().pieces]
    else:
        tokens = [(pair, TokenType.NORMAL) for pair in base().pairs]
    taken = {text for text, _ in tokens}
    tokens += [(text, TokenType.USER_DEFINED) for text in family.added if text not in taken]
    return tokens + [(text, TokenType.CONTROL) for text in family.controls]


def write_vocabulary(path: Path, family: Family) -> Path:
    """Writes a GGUF with the family's vocabulary and template, and no weights; returns its path."""
    writer = GGUFWriter(path, "llama")
    writer.add_name(family.model)
    writer.add_context_length(4096)
    writer.add_embedding_length(64)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    tokens = vocabulary_of(family)
    ids = {text: number for number, (text, _) in enumerate(tokens)}
    writer.add_vocab_size(len(tokens))
    if family.pre == SENTENCEPIECE:
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        normal = TokenType.NORMAL
        writer.add_token_scores([-float(n) if kind == normal else 0.0
                                 for n, (_, kind) in enumerate(tokens)])  # fmt: skip
        writer.add_unk_token_id(0)
        writer.add_add_space_prefix(family.space_first)
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(family.pre)
        writer.add_token_merges([f"{left} {right}" for left, right in base().merges])
    writer.add_token_list([text for text, _ in tokens])
    writer.add_token_types([kind for _, kind in tokens])
    writer.add_bos_token_id(ids[family.bos])
    writer.add_eos_token_id(ids[family.eos])
    writer.add_add_bos_token(False)
    writer.add_chat_template(family.template)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
