"""One model as a file, and what its header says of it. Reads files and blocks."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from edge.errors import ModelError
from edge.inference.gguf import UNKNOWN, Header, Shape, read_header

SUFFIX: Final = ".gguf"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One model. ``context_tokens`` is what it was trained with, 0 when the file does not say;
    ``sha256`` is known where the installation records it. The ``embedded`` ones are shipped with
    the project, and ``package`` names the installed package that a model came with, if one did."""

    name: str
    path: Path
    size_bytes: int
    context_tokens: int
    architecture: str = ""
    description: str = ""
    sha256: str | None = None
    embedded: bool = False
    shape: Shape = UNKNOWN
    package: str = ""

    @property
    def installed(self) -> bool:
        """Whether it belongs to an installation, and so is not the user's to remove here."""
        return self.embedded or bool(self.package)


def checked(model: ModelFile) -> ModelFile:
    """The same model with what its file says of it. `ModelError` when it is no whole GGUF, or no
    text can come of it."""
    header, size_bytes = header_of(model.path)
    if header.cannot_generate:
        raise ModelError(
            f"{model.path} cannot be used as a model: {header.cannot_generate}; get one that"
            " generates text"
        )
    return replace(
        model,
        size_bytes=size_bytes,
        context_tokens=header.context_tokens,
        architecture=header.architecture,
        description=model.description or header.name,
        shape=header.shape,
    )


def verified(model: ModelFile) -> ModelFile:
    """`checked`, and where its SHA-256 is known every byte is, too. `ModelError`."""
    sound = checked(model)
    if model.sha256 is not None and _sha256(model.path) != model.sha256:
        raise ModelError(
            f"{model.path} is not the file that was shipped (its SHA-256 differs);"
            " install the package again"
        )
    return sound


def header_of(path: Path) -> tuple[Header, int]:
    """The header and the size in bytes of a GGUF file. `ModelError` when it is none."""
    try:
        with path.open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            return read_header(file, size_bytes, str(path)), size_bytes
    except FileNotFoundError as error:
        raise ModelError(f"there is no model file {path}; check the path") from error
    except OSError as error:
        raise ModelError(f"cannot read the model file {path}: {error.strerror}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
