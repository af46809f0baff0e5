"""The models that can be asked for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edge.gateway.calls.errors import UnknownModel
from edge.gateway.calls.models import Models
from edge.gateway.facts import NodeFacts
from edge.inference import ModelFile
from edge.settings import Settings

FILE = ModelFile("tiny", Path("tiny-Q4_0.gguf"), 99, 4_096)


def models(**facts: Any) -> Models:
    known: Any = SimpleNamespace(**({"model": "tiny", "context_tokens": 0} | facts))
    settings = Settings()
    settings.model.aliases = ["gpt-4o"]
    return Models(settings, cast(NodeFacts, known), FILE, 7)


def test_the_one_that_runs_has_its_names() -> None:
    for wanted in (None, "", "tiny", "TINY:latest", "tiny-q4_0", "gpt-4o"):
        assert models().find(wanted).name == "tiny"
    with pytest.raises(UnknownModel, match="not found"):
        models().find("other")


def test_its_context_is_what_the_engine_has_once_that_is_known() -> None:
    (known,) = models().all()
    assert (known.context_tokens, known.created_s, known.size_bytes) == (4_096, 7, 99)
    assert models(context_tokens=2_048).find(None).context_tokens == 2_048
