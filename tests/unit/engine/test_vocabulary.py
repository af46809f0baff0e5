"""Tokens of long texts: with real tokenizers of several kinds, built for these tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llama_cpp as api
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.engine.prompt import Prompts
from edge.engine.seams import PART_CHARS_MAX, Seams
from edge.engine.template import Template
from edge.engine.vocabulary import Vocabulary
from tests.support.prompts import tokens_of
from tests.support.random_gguf import SENTENCEPIECE, WORDS, write_random_gguf

# Tokens across many sorts of characters, as large vocabularies have them.
ODD_WORDS = (
    "\n\n\n", " " * 8, "};\n", ".\n\n", "\r\n", "...", " (", '",', "://", "<|", "!!", "\t\t",
)  # fmt: skip
KINDS = (
    *("gpt-2", "llama-bpe", "qwen2", "tekken", "gpt-4o", "deepseek-v3", "deepseek-llm"),
    *("falcon", "bloom", "superbpe", "smollm", "default", SENTENCEPIECE),
)
PIECES = [
    "the", " the", " fox", "\n", "\n\n", " ", "   ", "\t", ".", "...", "};\n", "\r\n", "1234567",
    "字", "é", "🦊", "\x00", "\x01", "<|im_end|>", "</s>", "://", "/", "'s", "!", "Xy", " (",
    "\u3000",
]  # fmt: skip
TEXT = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)


def load(path: Path) -> Any:
    """A model of which only the vocabulary is there."""
    params = api.llama_model_default_params()
    params.vocab_only = True
    model = api.llama_model_load_from_file(str(path).encode(), params)
    assert model, f"llama.cpp does not load {path}"
    return model


@pytest.fixture(scope="module", params=KINDS)
def vocabulary(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Vocabulary]:
    path = tmp_path_factory.mktemp("vocabulary") / "nano.gguf"
    model = load(write_random_gguf(path, pre=request.param, words=(*WORDS, *ODD_WORDS)))
    yield Vocabulary(api.llama_model_get_vocab(model))
    api.llama_model_free(model)


class Cut(Seams):
    """Cuts into short parts, at seams alone."""

    def cut(self, text: str, chars_max: int = 0) -> Iterator[str]:
        parts = list(super().cut(text, 12))
        while parts:
            part = parts.pop(0)
            while parts and not self._meet_in_a_seam(part, parts[0]):
                part += parts.pop(0)
            yield part

    @staticmethod
    def _meet_in_a_seam(left: str, right: str) -> bool:
        if right[0] == " ":
            return not left[-1].isspace()
        behind_line = left[-1] == "\n" and len(left) > 1 and not left[-2].isspace()
        return behind_line and not right[0].isspace() and right[0] != "/"


@settings(deadline=None)
@given(TEXT)
def test_parts_have_the_tokens_of_the_whole(vocabulary: Vocabulary, text: str) -> None:
    whole = vocabulary.tokenize(text)
    seams = vocabulary.seams
    assert seams is not None
    vocabulary.seams = Cut(seams.before_space, seams.after_newline)
    try:
        parts = list(vocabulary.parts(text))
    finally:
        vocabulary.seams = seams
    assert [token for part in parts for token in part] == whole


@pytest.mark.parametrize("char", ["a", "1", " ", "\n", "字", "\x00", "."])
def test_a_run_that_is_cut_anywhere_says_the_same(vocabulary: Vocabulary, char: str) -> None:
    text = "it " + char * (PART_CHARS_MAX + 100) + " is"
    tokens = [token for part in vocabulary.parts(text) for token in part]
    said = b"".join(vocabulary.piece(token, special=True) for token in tokens).decode()
    assert said.removeprefix(" " if vocabulary.puts_space_first else "") == text


def test_the_longest_token_is_known(vocabulary: Vocabulary) -> None:
    assert vocabulary.longest_bytes == len("<|endoftext|>") or vocabulary.puts_space_first
    assert vocabulary.longest_bytes >= max(map(len, ODD_WORDS))


def test_what_reaches_over_a_seam_is_found(tmp_path: Path) -> None:
    model = load(write_random_gguf(tmp_path / "nano.gguf", words=("of the", "\nand")))
    assert Vocabulary(api.llama_model_get_vocab(model)).seams == Seams(False, False)
    api.llama_model_free(model)


def test_control_tokens_in_a_text_are_text(vocabulary: Vocabulary) -> None:
    for name in ("<|im_end|>", "</s>", "<s>"):
        tokens = [token for part in vocabulary.parts(name) for token in part]
        assert len(tokens) > 1


TURNS = (
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content | trim }} {{ eos_token }}"
    "{% endfor %}answer:"
)


@settings(deadline=None)
@given(TEXT.filter(lambda text: "<|" not in text and "</s>" not in text), TEXT)
def test_a_conversation_has_the_tokens_of_its_rendered_text(
    vocabulary: Vocabulary, text: str, control: str
) -> None:
    """As llama.cpp has them, for texts without control tokens; others have none of them."""
    special = {f"{name}_token": vocabulary.special(name)[1] for name in ("bos", "eos")}
    template = Template(TURNS, special)
    prompts = Prompts(vocabulary, 1_000_000, template.render, TURNS)
    rendered = template.render([{"role": "user", "content": text}])
    assert whole(prompts, text) == tuple(vocabulary.tokenize(rendered, special=True))
    ids = {each.token for each in vocabulary.controls.values()}
    assert sum(token in ids for token in whole(prompts, f"{control}<|im_end|></s>")) == 2


def whole(prompts: Prompts, content: str) -> tuple[int, ...]:
    """The tokens of one message of a user."""
    return tokens_of(prompts, None, [("user", content)])


def test_control_tokens_are_text_where_they_are_to_be_shown(tmp_path: Path) -> None:
    path = write_random_gguf(tmp_path / "nano.gguf", controls=["[CALL]", "[OTHER]"])
    model = load(path)
    vocabulary = Vocabulary(api.llama_model_get_vocab(model))
    call, other = (vocabulary.controls[text].token for text in ("[CALL]", "[OTHER]"))
    vocabulary.show(["[CALL]", "no token"])
    assert (vocabulary.piece(call), vocabulary.piece(other)) == (b"[CALL]", b"")
    said = [*vocabulary.tokenize("hé"), call, other]
    assert vocabulary.text_of(said) == "hé[CALL][OTHER]"
    assert vocabulary.text_of([]) == ""
    api.llama_model_free(model)
