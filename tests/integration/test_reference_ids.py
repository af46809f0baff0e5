"""Token ids of conversations, as the tokenizers library has them for SmolLM2-135M-Instruct."""

from __future__ import annotations

from collections.abc import Iterator

import gguf
import llama_cpp as api
import pytest
import tokenizers
from tokenizers import models, pre_tokenizers

from edge.engine.prompt import Prompts
from edge.engine.renderer import Renderer
from edge.engine.vocabulary import Vocabulary
from tests.support.prompts import tokens_of
from tests.support.smollm2 import smollm2

SYSTEM = ("system", "You are kind.")


class Smol:
    """The model's own vocabulary and template; ``reference`` has the same vocabulary."""

    def __init__(self, path: str) -> None:
        params = api.llama_model_default_params()
        params.vocab_only = True
        self.model = api.llama_model_load_from_file(path.encode(), params)
        self.vocabulary = Vocabulary(api.llama_model_get_vocab(self.model))
        template = api.llama_model_chat_template(self.model, None).decode()
        names = ("bos", "eos")
        self.renderer = Renderer(
            template, {f"{name}_token": self.vocabulary.special(name)[1] for name in names}
        )
        self.prompts = Prompts(self.vocabulary, 100_000, self.renderer.render, template)
        fields = gguf.GGUFReader(path).fields
        tokens = fields["tokenizer.ggml.tokens"].contents()
        merges = fields["tokenizer.ggml.merges"].contents()
        self.reference = tokenizers.Tokenizer(
            models.BPE(
                {text: number for number, text in enumerate(tokens)},
                [tuple(merge.split(" ")) for merge in merges],
            )
        )
        self.reference.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        self.reference.add_special_tokens(
            [tokenizers.AddedToken(text, normalized=False) for text in self.vocabulary.controls]
        )

    def tokens(self, messages: list[tuple[str, str]]) -> tuple[int, ...]:
        return tokens_of(self.prompts, None, messages)


@pytest.fixture(scope="module")
def smol() -> Iterator[Smol]:
    model = Smol(str(smollm2()))
    yield model
    model.renderer.close()
    api.llama_model_free(model.model)


@pytest.mark.parametrize(
    "messages",
    [
        [("user", "hi")],
        [SYSTEM, ("user", " hello  🦊 ")],
        [SYSTEM, ("user", ""), ("assistant", "a </think> b\n"), ("user", "1234 'tis\n\nok")],
        [("user", "x"), ("assistant", "<think>y</think>z"), ("user", "é\n ")],
    ],
)
def test_a_conversation_has_the_ids_of_the_reference(
    smol: Smol, messages: list[tuple[str, str]]
) -> None:
    text = smol.renderer.render([{"role": role, "content": said} for role, said in messages])
    expected = smol.reference.encode(text, add_special_tokens=False).ids
    assert smol.tokens(messages) == tuple(expected)


def test_every_control_token_in_a_users_text_is_text(smol: Smol) -> None:
    controls = smol.vocabulary.controls
    ids = {control.token for control in controls.values()}
    plain, hostile = (
        [token for token in smol.tokens([SYSTEM, ("user", text)]) if token in ids]
        for text in ("a", "".join(controls))
    )
    assert hostile == plain
