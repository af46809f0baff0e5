"""The models of the manifest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge.errors import ModelError
from edge.inference.shipped import embedded, standby
from tests.unit.inference.test_gguf import small_gguf


def manifest(folder: Path) -> Path:
    (folder / "tiny.gguf").write_bytes(small_gguf())
    path = folder / "manifest.toml"
    path.write_text(
        f'[[model]]\nname = "tiny"\nfile = "tiny.gguf"\nsize_bytes = {len(small_gguf())}\n'
        'sha256 = "00"\ndescription = "small"\n'
    )
    return path


def test_a_damaged_manifest_is_said(tmp_path: Path) -> None:
    path = tmp_path / "manifest.toml"
    path.write_text('[[model]]\nname = "tiny"\n')
    with pytest.raises(ModelError, match="install the package again"):
        embedded(manifest=path)


def test_another_shipped_model_that_is_whole_can_stand_in(tmp_path: Path) -> None:
    path = manifest(tmp_path)
    (tiny,) = embedded(manifest=path)
    own = replace(tiny, path=tmp_path / "own.gguf")
    found = standby(own, manifest=path)
    assert found is not None
    assert found.path == tiny.path
    assert standby(tiny, manifest=path) is None
    tiny.path.write_bytes(b"no model")
    assert standby(own, manifest=path) is None
