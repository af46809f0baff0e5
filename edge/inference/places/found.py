"""All models that other programs keep here, each once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.inference.places import hugging_face, llama_cpp, lm_studio, ollama
from edge.inference.places.roots import Roots
from edge.inference.places.walk import Walk

MODELS_MAX: Final = 500
"""Models that are listed; some ten milliseconds each to read what they are."""
OLLAMA: Final = "Ollama"
LM_STUDIO: Final = "LM Studio"
HUGGING_FACE: Final = "Hugging Face"
LLAMA_CPP: Final = "llama.cpp"


@dataclass(frozen=True, slots=True)
class Found:
    """One model of another program, ``place``. Its file was there a moment ago, and was not
    opened. ``sha256`` is known where the program says it."""

    name: str
    path: Path
    size_bytes: int
    place: str
    sha256: str | None = None


def find(roots: Roots) -> list[Found]:
    """The models below these folders. One that is in several places is told once, and of two with
    one name the first; no more than `MODELS_MAX`. Blocks, and never fails: what cannot be read is
    left out."""
    names: set[str] = set()
    files: set[tuple[int, int]] = set()
    found: list[Found] = []
    for name, path, place, sha256 in _all(roots):
        try:
            status = path.stat()
            if not path.is_file():
                continue
        except (OSError, ValueError):
            continue
        file = status.st_dev, status.st_ino
        if name in names or file in files:
            continue
        names.add(name)
        files.add(file)
        found.append(Found(name, path, status.st_size, place, sha256))
        if len(found) == MODELS_MAX:
            break
    return found


def _all(roots: Roots) -> Iterator[tuple[str, Path, str, str | None]]:
    # Each program has a walk of its own: one that keeps very much does not hide the others.
    for root in roots.ollama:
        for name, path, sha256 in ollama.models(root, Walk()):
            yield name, path, OLLAMA, sha256
    for place, folders, models in (
        (LM_STUDIO, roots.lm_studio, lm_studio.models),
        (HUGGING_FACE, roots.hugging_face, hugging_face.models),
        (LLAMA_CPP, roots.llama_cpp, llama_cpp.models),
    ):
        for root in folders:
            for name, path in models(root, Walk()):
                yield name, path, place, None
