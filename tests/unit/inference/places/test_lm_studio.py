"""LM Studio's folder, and another that its settings name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.inference.places.lm_studio import models
from edge.inference.places.walk import Walk


def put(root: Path) -> Path:
    folder = root / "owner" / "repository"
    folder.mkdir(parents=True)
    for name in ("it-Q4_K_M.gguf", "mmproj-it.gguf", "it.json"):
        (folder / name).touch()
    (root / "stray.gguf").touch()
    return folder / "it-Q4_K_M.gguf"


def test_models_by_publisher_and_repository(tmp_path: Path) -> None:
    file = put(tmp_path / "models")
    assert list(models(tmp_path / "models", Walk())) == [("owner/repository:Q4_K_M", file)]


def test_the_folder_that_was_chosen_in_the_program(tmp_path: Path) -> None:
    file = put(tmp_path / "elsewhere")
    settings = {"downloadsFolder": str(tmp_path / "elsewhere")}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    assert [path for _, path in models(tmp_path / "models", Walk())] == [file]


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", '{"downloadsFolder": 7}', '{"downloadsFolder": "near"}']
)
def test_odd_settings_are_no_matter(tmp_path: Path, text: str) -> None:
    file = put(tmp_path / "models")
    (tmp_path / "settings.json").write_text(text)
    assert [path for _, path in models(tmp_path / "models", Walk())] == [file]
