"""Byte-level BPE that llama.cpp's own tokenizer reproduces id for id.

The split before merging is GPT-2's regular expression, which llama.cpp knows as `gpt-2`; all 256
bytes are in the alphabet, so every text encodes and decodes byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from models.train.chat import SPECIAL_TOKENS

VOCABULARY_SIZE = 4096
# The role words open every turn but are rare in stories: seen this often they become one piece.
ROLE_WORD_REPEATS = 20_000


def train_tokenizer(texts: Iterable[str], vocabulary_size: int = VOCABULARY_SIZE) -> Tokenizer:
    """Return a tokenizer trained on the texts; its first ids are the special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_with_role_words(texts), trainer)
    return tokenizer


def load_tokenizer(path: Path) -> Tokenizer:
    """Return the tokenizer saved at `path` (the `tokenizers` library's JSON)."""
    return Tokenizer.from_file(str(path))


def _with_role_words(texts: Iterable[str]) -> Iterator[str]:
    yield from texts
    for _ in range(ROLE_WORD_REPEATS):
        yield "system\nuser\nassistant\n"
