"""The cache of llama.cpp."""

from __future__ import annotations

from pathlib import Path

from edge.inference.places.llama_cpp import models
from edge.inference.places.walk import Walk


def test_files_side_by_side(tmp_path: Path) -> None:
    for name in (
        "owner_repository_it-Q4_K_M.gguf", "owner_repository_it-Q4_K_M.gguf.json",
        "owner_repository_mmproj-it-f16.gguf", "half.gguf.downloadInProgress",
    ):  # fmt: skip
        (tmp_path / name).touch()
    file = tmp_path / "owner_repository_it-Q4_K_M.gguf"
    assert list(models(tmp_path, Walk())) == [("owner_repository_it-Q4_K_M", file)]
