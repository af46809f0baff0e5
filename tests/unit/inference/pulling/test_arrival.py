"""What is made of a file that was fetched."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edge.errors import ModelError
from edge.inference.models import available, models_dir
from edge.inference.pulling.arrival import arrive, unfinished_dir
from tests.unit.inference.test_gguf import of_architecture, small_gguf

WHOLE = small_gguf()


def fetched(data_dir: Path, data: bytes = WHOLE) -> tuple[Path, Path]:
    file = unfinished_dir(data_dir) / "it.part"
    file.write_bytes(data)
    return file, models_dir(data_dir) / "it.gguf"


def own(data_dir: Path) -> list[str]:
    return [model.name for model in available(data_dir) if not model.installed]


def test_what_is_as_promised_becomes_a_model(tmp_path: Path) -> None:
    file, target = fetched(tmp_path)
    assert own(tmp_path) == []
    sha256 = hashlib.sha256(WHOLE).hexdigest().upper()
    assert arrive(file, target, size_bytes=len(WHOLE), sha256=sha256).path == target
    assert own(tmp_path) == ["it"]
    assert not file.exists()


@pytest.mark.parametrize(
    ("data", "promised", "says"),
    [
        (WHOLE, {"sha256": "00" * 32}, "SHA-256 differs. It was deleted; pull it again"),
        (WHOLE, {"size_bytes": 7}, "should have 7"),
        (WHOLE[:-1], {}, "cut short"),
        (b"<!DOCTYPE html>", {}, "not a GGUF"),
        (of_architecture("bert"), {}, "encoder"),
    ],
)
def test_anything_else_is_deleted(
    tmp_path: Path, data: bytes, promised: dict[str, object], says: str
) -> None:
    file, target = fetched(tmp_path, data)
    with pytest.raises(ModelError, match=says):
        arrive(file, target, **promised)  # type: ignore[arg-type]  # one of the two
    assert not file.exists()
    assert own(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "models").touch()
    with pytest.raises(ModelError, match="cannot make the folder"):
        unfinished_dir(tmp_path)
