"""The cache of llama.cpp's own programs: files side by side, such as
``ggml-org_gemma-3-1b-it-GGUF_gemma-3-1b-it-Q4_K_M.gguf``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge.inference.model_file import SUFFIX
from edge.inference.places.names import is_model
from edge.inference.places.walk import Walk


def models(root: Path, walk: Walk) -> Iterator[tuple[str, Path]]:
    """Name and path of each model."""
    for path in walk.files(root, levels=2):
        # A projector's file begins with the name of its repository here.
        if is_model(path) and "_mmproj" not in path.name:
            yield path.name.removesuffix(SUFFIX), path
