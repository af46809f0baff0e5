"""Ollama's manifests and blobs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.inference.places.ollama import MODEL_LAYER, models
from edge.inference.places.walk import Walk

DIGEST = "0123456789abcdef" * 4


def manifest(*layers: object) -> str:
    return json.dumps({"schemaVersion": 2, "layers": list(layers)})


def layer(kind: str = MODEL_LAYER, digest: str = f"sha256:{DIGEST}") -> dict[str, object]:
    return {"mediaType": kind, "digest": digest, "size": 4}


WHOLE = manifest(layer("application/vnd.ollama.image.license", "sha256:1"), layer())


def put(root: Path, path: str, text: str = WHOLE, blob: str = f"sha256-{DIGEST}") -> Path:
    file = root / "manifests" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    (root / "blobs").mkdir(exist_ok=True)
    (root / "blobs" / blob).write_bytes(b"GGUF")
    return root / "blobs" / blob


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("registry.ollama.ai/library/qwen3/0.6b", "qwen3:0.6b"),
        ("registry.ollama.ai/ada/story/latest", "ada/story:latest"),
        ("hf.co/owner/repository/Q4_K_M", "hf.co/owner/repository:Q4_K_M"),
        ("registry.ollama.ai/library/odd", "library:odd"),
    ],
)
def test_a_model_has_ollamas_own_name(tmp_path: Path, path: str, name: str) -> None:
    blob = put(tmp_path, path)
    assert list(models(tmp_path, Walk())) == [(name, blob, DIGEST)]


def test_blobs_of_the_first_versions(tmp_path: Path) -> None:
    blob = put(tmp_path, "registry.ollama.ai/library/a/b", blob=f"sha256:{DIGEST}")
    assert [path for _, path, _ in models(tmp_path, Walk())] == [blob]


@pytest.mark.parametrize(
    "text",
    [
        "", "no json", "[]", "null", "{}", '{"layers": 7}', '{"layers": [7]}',
        manifest(), manifest(layer("application/vnd.ollama.image.projector")),
        manifest(layer(), layer()), manifest(layer(digest="sha256:../../etc/passwd")),
        manifest(layer(digest=f"md5:{DIGEST}")), manifest({"mediaType": MODEL_LAYER, "digest": 7}),
        manifest({"mediaType": MODEL_LAYER}), "[" * 100_000,
    ],
    ids=range(15),
)  # fmt: skip
def test_a_manifest_that_says_nothing_is_passed_over(tmp_path: Path, text: str) -> None:
    put(tmp_path, "registry.ollama.ai/library/broken/latest", text)
    put(tmp_path, "stray", WHOLE)
    blob = put(tmp_path, "registry.ollama.ai/library/whole/latest")
    assert list(models(tmp_path, Walk())) == [("whole:latest", blob, DIGEST)]


def test_no_folder_no_models(tmp_path: Path) -> None:
    assert list(models(tmp_path / "none", Walk())) == []
