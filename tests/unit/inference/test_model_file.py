"""One model's file: what is checked of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edge.errors import ModelError
from edge.inference.model_file import ModelFile, checked, verified
from tests.unit.inference.test_gguf import of_architecture, small_gguf


def model_of(path: Path, data: bytes, sha256: str | None = None) -> ModelFile:
    path.write_bytes(data)
    return ModelFile("tiny", path, 0, 0, sha256=sha256)


def test_it_is_known_what_the_file_says(tmp_path: Path) -> None:
    model = checked(model_of(tmp_path / "tiny.gguf", small_gguf()))
    assert (model.size_bytes, model.context_tokens) == (len(small_gguf()), 512)
    assert model.architecture == "llama"


def test_a_changed_byte_is_found_where_the_sum_is_known(tmp_path: Path) -> None:
    sha256 = hashlib.sha256(small_gguf()).hexdigest()
    path = tmp_path / "tiny.gguf"
    verified(model_of(path, small_gguf(), sha256))
    with pytest.raises(ModelError, match="SHA-256"):
        verified(model_of(path, small_gguf()[:-1] + b"\xff", sha256))
    verified(model_of(path, small_gguf()[:-1] + b"\xff"))


def test_what_cannot_write_or_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="get one that generates text"):
        checked(model_of(tmp_path / "sentences.gguf", of_architecture("bert")))
    with pytest.raises(ModelError, match="there is no model file"):
        checked(ModelFile("none", tmp_path / "none.gguf", 0, 0))
    with pytest.raises(ModelError, match="cannot read"):
        checked(ModelFile("folder", tmp_path, 0, 0))
