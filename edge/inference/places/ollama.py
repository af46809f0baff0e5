"""Ollama's folder: ``manifests/REGISTRY/NAMESPACE/MODEL/TAG`` name the layers of a model by their
digests, and ``blobs/sha256-…`` have them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from edge.inference.places.walk import Walk, small_file

MODEL_LAYER: Final = "application/vnd.ollama.image.model"
_OWN_REGISTRY: Final = "registry.ollama.ai"
_OWN_NAMESPACE: Final = "library"
_DIGEST: Final = re.compile(r"sha256[:-]([0-9a-f]{64})")


def models(root: Path, walk: Walk) -> Iterator[tuple[str, Path, str]]:
    """Name, path and SHA-256 of each model, by Ollama's own names such as ``qwen3:0.6b``."""
    manifests = root / "manifests"
    for manifest in walk.files(manifests):
        parts = manifest.relative_to(manifests).parts
        if len(parts) < 3:
            continue
        digest = _digest(small_file(manifest))
        if digest is None:
            continue
        path = root / "blobs" / f"sha256-{digest}"
        if not path.is_file():
            # As its first versions wrote it.
            path = root / "blobs" / f"sha256:{digest}"
        yield _name(parts), path, digest


def _name(parts: tuple[str, ...]) -> str:
    registry, *path, tag = parts
    if registry == _OWN_REGISTRY:
        path = path[1:] if path[0] == _OWN_NAMESPACE and len(path) > 1 else path
    else:
        path = [registry, *path]
    return "/".join(path) + f":{tag}"


def _digest(manifest: bytes) -> str | None:
    """Of the one layer that is the model; None when that cannot be told."""
    try:
        told: Any = orjson.loads(manifest)
        digests = [each["digest"] for each in told["layers"] if each["mediaType"] == MODEL_LAYER]
        match = _DIGEST.fullmatch(digests[0])
    except (orjson.JSONDecodeError, TypeError, KeyError, IndexError):
        return None
    return match[1] if match and len(digests) == 1 else None
