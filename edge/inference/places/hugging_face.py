"""The cache of the Hugging Face hub: ``models--OWNER--REPOSITORY/snapshots/REVISION/FILE``, links
to blobs. Of several revisions the one counts that ``refs/main`` names, if it is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge.inference.places.names import is_model, named
from edge.inference.places.walk import Walk, small_file

_PREFIX: Final = "models--"


def models(root: Path, walk: Walk) -> Iterator[tuple[str, Path]]:
    """Name and path of each model."""
    for folder in walk.folders(root):
        if folder.name.startswith(_PREFIX):
            repository = "/".join(folder.name.removeprefix(_PREFIX).split("--", 1))
            yield from named(repository, _files(folder, walk)).items()


def _files(folder: Path, walk: Walk) -> Iterator[Path]:
    main = small_file(folder / "refs" / "main").decode("ascii", "replace").strip()
    revisions = walk.folders(folder / "snapshots")
    revisions.sort(key=lambda path: path.name != main)
    inside = set[str]()
    for revision in revisions:
        for path in walk.files(revision):
            name = path.relative_to(revision).as_posix()
            if is_model(path) and name not in inside:
                inside.add(name)
                yield path
