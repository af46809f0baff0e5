"""Makes one of the user's own models of a file that was fetched, if it is what it should be."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

from edge.errors import ModelError
from edge.inference.model_file import ModelFile, checked
from edge.inference.models import models_dir

Progress = Callable[[int, int | None], None]
"""Is told how many bytes there are, and of how many, if that is known."""


def unfinished_dir(data_dir: Path) -> Path:
    """Where files are fetched into: on the disk of the user's own models, and among none of them.
    ModelError when it cannot be made."""
    folder = models_dir(data_dir) / "unfinished"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder


def arrive(
    file: Path, target: Path, *, size_bytes: int | None = None, sha256: str | None = None
) -> ModelFile:
    """Moves the whole file to `target`, one of the user's own models. One of another size or
    SHA-256, or that is no model, is deleted, since to go on with it would never help; then, and
    when it cannot be moved, `ModelError`."""
    try:
        sound = checked(ModelFile(target.stem, file, 0, 0))
        if size_bytes is not None and sound.size_bytes != size_bytes:
            raise ModelError(
                f"what came has {sound.size_bytes} bytes, and should have {size_bytes}"
            )
        if sha256 is not None and _sha256(file) != sha256.lower():
            raise ModelError("what came is not what was promised: its SHA-256 differs")
    except ModelError as error:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
        raise ModelError(f"{error}. It was deleted; pull it again") from error
    try:
        file.replace(target)
    except OSError as error:
        raise ModelError(f"cannot move {file} to {target}: {error.strerror}") from error
    return checked(ModelFile(target.stem, target, 0, 0))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
