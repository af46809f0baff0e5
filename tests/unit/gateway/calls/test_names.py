"""The names of models."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.gateway.calls.errors import UnknownModel
from edge.gateway.calls.names import Known, find
from edge.inference import ModelFile

FILE = ModelFile("a/Tiny:1b", Path("tiny.gguf"), 99, 4_096)
TINY = Known("a/Tiny:1b", ("tiny-q4", "gpt-4o"), 1, 2_048, 4_096, 99, FILE)
OTHER = Known("other", (), 1, 0, 0, 0, FILE)


@pytest.mark.parametrize(
    "wanted",
    [None, "", " ", "a/Tiny:1b", "A/TINY:1B", "tiny-q4", "tiny-q4.gguf", "GPT-4o", "gpt-4o:latest"],
)
def test_a_model_goes_by_its_name_and_others(wanted: str | None) -> None:
    assert find(wanted, (TINY, OTHER)) is TINY


def test_nobody_else_answers_for_one_that_is_not_there() -> None:
    for wanted in ("tiny", "a/other", "gpt-5"):
        with pytest.raises(UnknownModel, match="a/Tiny:1b, other"):
            find(wanted, (TINY, OTHER))
    assert find("other:latest", (TINY, OTHER)) is OTHER


def test_it_is_shown_without_nulls() -> None:
    document = TINY.document()
    assert (document["id"], document["object"], document["created"]) == ("a/Tiny:1b", "model", 1)
    assert document["meta"] == {"n_ctx": 2_048, "n_ctx_train": 4_096, "size": 99}
    assert None not in document.values()
