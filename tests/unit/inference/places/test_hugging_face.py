"""The cache of the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from edge.inference.places.hugging_face import models
from edge.inference.places.walk import Walk


def put(root: Path, repository: str, revision: str, *files: str) -> Path:
    folder = root / repository
    blobs = folder / "blobs"
    snapshot = folder / "snapshots" / revision
    for name in files:
        link = snapshot / name
        link.parent.mkdir(parents=True, exist_ok=True)
        blobs.mkdir(exist_ok=True)
        blob = blobs / f"{revision}-{name.replace('/', '-')}"
        blob.write_bytes(b"GGUF")
        link.symlink_to(blob)
    return snapshot


def test_files_have_the_names_by_which_they_are_pulled(tmp_path: Path) -> None:
    snapshot = put(
        tmp_path, "models--owner--some--model-GGUF", "aa",
        "README.md", "it-Q4_K_M.gguf", "it-Q8_0.gguf", "mmproj-it-f16.gguf",
        "BF16/it-BF16-00001-of-00002.gguf", "BF16/it-BF16-00002-of-00002.gguf",
    )  # fmt: skip
    put(tmp_path, "datasets--owner--data", "aa", "no-model.gguf")
    assert dict(models(tmp_path, Walk())) == {
        "owner/some--model-GGUF:BF16": snapshot / "BF16" / "it-BF16-00001-of-00002.gguf",
        "owner/some--model-GGUF:Q4_K_M": snapshot / "it-Q4_K_M.gguf",
        "owner/some--model-GGUF:Q8_0": snapshot / "it-Q8_0.gguf",
    }


def test_of_several_revisions_the_one_that_main_is(tmp_path: Path) -> None:
    put(tmp_path, "models--o--r", "aa", "it-Q8_0.gguf", "old-Q4_0.gguf")
    main = put(tmp_path, "models--o--r", "bb", "it-Q8_0.gguf")
    refs = tmp_path / "models--o--r" / "refs"
    refs.mkdir()
    (refs / "main").write_text("bb\n")
    found = dict(models(tmp_path, Walk()))
    assert found["o/r:Q8_0"] == main / "it-Q8_0.gguf"
    assert found["o/r:Q4_0"].name == "old-Q4_0.gguf"
    (refs / "main").write_bytes(b"\xff" * 10)
    assert dict(models(tmp_path, Walk())).keys() == found.keys()


def test_a_cache_without_snapshots_has_no_models(tmp_path: Path) -> None:
    (tmp_path / "models--o--r").mkdir()
    (tmp_path / "models--").touch()
    assert list(models(tmp_path, Walk())) == []
