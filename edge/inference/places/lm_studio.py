"""LM Studio's folder: ``PUBLISHER/REPOSITORY/FILE``. Which folder it is may be chosen in the
program, which writes that down in its settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from edge.inference.places.names import is_model, named
from edge.inference.places.walk import Walk, small_file


def models(root: Path, walk: Walk) -> Iterator[tuple[str, Path]]:
    """Name and path of each model below this folder, or below the one that the settings beside it
    name."""
    for publisher in walk.folders(_chosen(root.parent / "settings.json") or root):
        for repository in walk.folders(publisher):
            files = (path for path in walk.files(repository) if is_model(path))
            yield from named(f"{publisher.name}/{repository.name}", files).items()


def _chosen(settings: Path) -> Path | None:
    try:
        told: Any = orjson.loads(small_file(settings))
        folder = told["downloadsFolder"]
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return None
    return Path(folder) if isinstance(folder, str) and folder.startswith("/") else None
