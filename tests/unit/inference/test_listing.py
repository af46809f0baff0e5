"""What is told of a model before it is chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.inference.listing import CONTEXT_WANTED, listed
from edge.inference.model_file import ModelFile
from edge.settings import Model
from tests.support.random_gguf import write_random_gguf
from tests.support.smollm2 import smollm2
from tests.unit.inference.test_gguf import of_architecture, small_gguf

ASSISTANT = ModelFile("smollm2", smollm2(), 0, 0)
MIB = 2**20


@pytest.mark.parametrize(
    ("free_mib", "tokens"), [(1_000, CONTEXT_WANTED), (0, 0), (110, 0)], ids=["all", "none", "few"]
)
def test_whether_it_fits(free_mib: int, tokens: int) -> None:
    each = listed(ASSISTANT, Model(), free_mib * MIB)
    assert (each.fault, each.fits_tokens, each.wanted_tokens) == ("", tokens, CONTEXT_WANTED)
    assert each.needs_bytes is not None
    assert each.needs_bytes > each.model.size_bytes


def test_less_context_fits_where_less_is_free() -> None:
    each = listed(ASSISTANT, Model(), 180 * MIB)
    assert each.fits_tokens is not None
    assert 512 <= each.fits_tokens < CONTEXT_WANTED
    smaller = listed(ASSISTANT, Model(kv_type="q8_0"), 180 * MIB)
    assert smaller.fits_tokens is not None
    assert smaller.fits_tokens > each.fits_tokens


def test_no_more_is_wanted_than_it_was_trained_with(tmp_path: Path) -> None:
    path = write_random_gguf(tmp_path / "it.gguf", context_tokens=1_024)
    each = listed(ModelFile("it", path, 0, 0), Model(), 1_000 * MIB)
    assert (each.fits_tokens, each.wanted_tokens) == (1_024, 1_024)


def test_what_cannot_be_used_says_why(tmp_path: Path) -> None:
    path = tmp_path / "it.gguf"
    path.write_bytes(of_architecture("bert"))
    assert "encoder" in listed(ModelFile("it", path, 3, 0), Model(), MIB).fault
    path.write_bytes(small_gguf())
    silent = listed(ModelFile("it", path, 0, 0), Model(), MIB)
    assert (silent.fault, silent.fits_tokens, silent.needs_bytes) == ("", None, None)
