"""Token ids of conversations, as transformers has them, for the chat templates of many families.

`tests/support/make_reference_ids.py` made them. Where somebody writes a control token's text we
differ from transformers on purpose: there it ends a turn, here it is text.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import llama_cpp as api
import pytest

from edge.answers.dialects import recognised
from edge.engine.prompt import Prompts
from edge.engine.template import Template
from edge.engine.vocabulary import Vocabulary, composed_in
from edge.errors import InvalidRequest
from tests.support.conversations import CASES, IDS, UNIX_S, Case, hostile
from tests.support.families import FAMILIES, Family, write_vocabulary
from tests.support.prompts import tokens_of


@cache
def reference() -> dict[str, dict[str, list[int] | None]]:
    ids: dict[str, dict[str, list[int] | None]] = json.loads(IDS.read_text())
    return ids


class Model:
    """A family's vocabulary and template, without weights."""

    def __init__(self, family: Family, path: Path) -> None:
        params = api.llama_model_default_params()
        params.vocab_only = True
        file = write_vocabulary(path / "vocabulary.gguf", family)
        self.family = family
        self.model = api.llama_model_load_from_file(str(file).encode(), params)
        assert self.model, f"llama.cpp does not load {file}"
        vocab = api.llama_model_get_vocab(self.model)
        self.vocabulary = Vocabulary(vocab, composed=composed_in(self.model))
        template = api.llama_model_chat_template(self.model, None).decode()
        names = ("bos", "eos", "pad", "unk")
        special = {f"{name}_token": self.vocabulary.special(name)[1] for name in names}
        render = Template(template, special, self.vocabulary.controls).render
        self.native = recognised(template, self.vocabulary.controls).native
        self.prompts = Prompts(self.vocabulary, 100_000, render, template)

    def tokens(self, case: Case) -> list[int] | None:
        """None where the template refuses the conversation."""
        given: dict[str, Any] = {"tools": case.tools, "variables": case.variables}
        texts = {name: json.dumps(value) for name, value in given.items() if value}
        try:
            return list(tokens_of(self.prompts, None, case.messages, **texts))
        except InvalidRequest:
            return None

    def controls_in(self, tokens: list[int] | None) -> list[int]:
        """The control tokens among these."""
        known = {control.token for control in self.vocabulary.controls.values()}
        return [token for token in tokens or () if token in known]

    def said(self, tokens: list[int] | None) -> str:
        """For people to see what differs."""
        pieces = (self.vocabulary.piece(token, special=True) for token in tokens or ())
        return "|".join(piece.decode("utf-8", "replace") for piece in pieces)


@pytest.fixture(scope="module", params=FAMILIES)
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Model]:
    model = Model(FAMILIES[request.param], tmp_path_factory.mktemp("family"))
    yield model
    api.llama_model_free(model.model)


def _has_tools(case: Case) -> bool:
    return bool(case.tools) or any(each.tool_calls for each in case.messages)


@pytest.mark.parametrize("name", CASES)
def test_a_conversation_has_the_ids_of_transformers(
    model: Model, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: UNIX_S * 10**9)
    tokens = model.tokens(CASES[name].saying(hostile(model.family)))
    if _has_tools(CASES[name]) and not model.native:
        # Its template tells of no tools, or in a way that we do not read: a message of ours does.
        assert "You can call functions" in model.said(tokens).replace("|", "")
        harmless = model.tokens(CASES[name].saying("x"))
        assert model.controls_in(tokens) == model.controls_in(harmless)
        return
    if name == "a call without an id" and model.family.name.startswith("mistral"):
        # The templates ask for an id in their own form, and get one.
        assert tokens is not None
        return
    expected = reference()[model.family.name][name]
    assert model.said(tokens) == model.said(expected)
    assert tokens == expected
