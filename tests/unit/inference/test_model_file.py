"""One model's file: what is checked of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edge.errors import ModelError
from edge.inference.model_file import ModelFile, checked, first_of_split, verified
from tests.support.random_gguf import write_random_gguf
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


@pytest.fixture
def split(tmp_path: Path) -> list[Path]:
    """The files of a model that was split, in their order."""
    first = write_random_gguf(tmp_path / "it.gguf", tensors_of_file=8)
    files = sorted(tmp_path.iterdir())
    assert len(files) >= 3
    assert files[0] == first
    return files


def test_a_model_in_several_files_is_as_large_as_all_of_them(
    split: list[Path], tmp_path: Path
) -> None:
    one = checked(ModelFile("it", write_random_gguf(tmp_path / "one.gguf"), 0, 0))
    model = checked(ModelFile("it", split[0], 0, 0))
    assert model.size_bytes == sum(path.stat().st_size for path in split)
    # Each file pads its last tensor.
    assert model.shape.weights_bytes == pytest.approx(one.shape.weights_bytes, rel=0.001)
    assert model.shape.kv_heads == one.shape.kv_heads


def test_a_model_with_a_file_missing_or_misnamed_is_refused(split: list[Path]) -> None:
    with pytest.raises(ModelError, match=r"name the first of them, .*-00001-of-"):
        checked(ModelFile("it", split[1], 0, 0))
    other = split[0].rename(split[0].with_name("it-00001-of-00099.gguf"))
    with pytest.raises(ModelError, match="and its name 99; get it again"):
        checked(ModelFile("it", other, 0, 0))
    other.rename(split[0])
    split[-1].unlink()
    with pytest.raises(ModelError, match="there is no model file"):
        checked(ModelFile("it", split[0], 0, 0))
    other = split[0].rename(split[0].with_name("it.gguf"))
    with pytest.raises(ModelError, match=r"name the first of them$"):
        checked(ModelFile("it", other, 0, 0))


def test_the_first_of_the_files_follows_from_any_of_their_names() -> None:
    folder = Path("/models")
    first = folder / "it-Q4_0-00001-of-00003.gguf"
    assert first_of_split(folder / "it-Q4_0-00002-of-00003.gguf") == first
    assert first_of_split(first) == first
    for name in ("it.gguf", "it-1-of-3.gguf", "it-00001-of-00003.bin"):
        assert first_of_split(folder / name) is None
