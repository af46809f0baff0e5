"""One model as a file, and what its header says of it. Reads files and blocks."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Final, TypeVar

from edge.errors import ModelError
from edge.inference.gguf import UNKNOWN, Header, Shape, read_header

SUFFIX: Final = ".gguf"
PathT = TypeVar("PathT", bound=PurePath)
_SPLIT: Final = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")
"""How llama.cpp names the files that a large model was split into (llama_split_path)."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One model. ``context_tokens`` is what it was trained with, 0 when the file does not say;
    ``sha256`` is known where the installation records it. The ``embedded`` ones are shipped with
    the project; ``package`` names the installed package that a model came with, and ``place`` the
    program to whose folder it belongs, if any."""

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
    place: str = ""
    quantisation: str = ""
    licence: str = ""

    @property
    def installed(self) -> bool:
        """Whether it belongs to an installation, and so is not the user's to remove here."""
        return self.embedded or bool(self.package)


def checked(model: ModelFile) -> ModelFile:
    """The same model with what its file says of it. `ModelError` when it is no whole GGUF, or no
    text can come of it."""
    header, size_bytes, weights_bytes = _whole(model.path)
    if header.cannot_generate:
        raise ModelError(
            f"{model.path} cannot be used as a model: {header.cannot_generate}; get one that"
            " generates text"
        )
    return _described(model, header, size_bytes, weights_bytes)


def checked_for_embeddings(model: ModelFile, *, pooling: str = "auto") -> ModelFile:
    """As `checked`, for a model that turns texts into vectors. `ModelError` when it cannot, or when
    neither its file nor the setting ``pooling`` says how."""
    header, size_bytes, weights_bytes = _whole(model.path)
    fault = header.cannot_embed
    if header.pooling == "rank":
        fault = "it ranks documents; name it as embeddings.rerank_model"
    elif not fault and not header.pooling and pooling == "auto":
        fault = (
            "its file does not say how a vector is made of a text's tokens, as models that write"
            " texts do not; if it was made for embeddings, set embeddings.pooling"
        )
    if fault:
        raise ModelError(f"{model.path} cannot be used for embeddings: {fault}")
    return _described(model, header, size_bytes, weights_bytes)


def checked_for_ranking(model: ModelFile) -> ModelFile:
    """As `checked`, for a model that ranks documents."""
    header, size_bytes, weights_bytes = _whole(model.path)
    if header.cannot_embed or header.pooling != "rank":
        fault = header.cannot_embed or "it was not made for it"
        raise ModelError(f"{model.path} cannot be used for ranking: {fault}; get a reranker")
    return _described(model, header, size_bytes, weights_bytes)


def _described(model: ModelFile, header: Header, size_bytes: int, weights_bytes: int) -> ModelFile:
    return replace(
        model,
        size_bytes=size_bytes,
        context_tokens=header.context_tokens,
        architecture=header.architecture,
        description=model.description or header.name,
        shape=replace(header.shape, weights_bytes=weights_bytes),
        quantisation=header.quantisation,
        licence=header.licence,
    )


def first_of_split(path: PathT) -> PathT | None:
    """The first of the files that a model was split into, by the name of one; None for a name that
    is of no such file."""
    match = _SPLIT.fullmatch(path.name)
    return path.with_name(f"{match[1]}-00001-of-{match[3]}.gguf") if match else None


def verified(model: ModelFile) -> ModelFile:
    """`checked`, and where its SHA-256 is known every byte is, too. `ModelError`."""
    sound = checked(model)
    if model.sha256 is not None and _sha256(model.path) != model.sha256:
        remedy = f"get it again with {model.place}" if model.place else "install the package again"
        raise ModelError(
            f"{model.path} is not the file that was installed (its SHA-256 differs); {remedy}"
        )
    return sound


def _whole(path: Path) -> tuple[Header, int, int]:
    """The header, and how many bytes all files of the model have, and its weights. `ModelError`
    when one of them is missing or damaged."""
    header, size_bytes = header_of(path)
    weights_bytes = header.shape.weights_bytes
    if header.files > 1:
        first = first_of_split(path)
        if first != path:
            raise ModelError(
                f"{path} is one of {header.files} files of a model; name the first of them"
                + (f", {first}" if first else "")
            )
        match = _SPLIT.fullmatch(path.name)
        assert match is not None, "or it would not be the first"
        if int(match[3]) != header.files:
            raise ModelError(
                f"{path} cannot be used as a model: it says that it has {header.files} files, and"
                f" its name {int(match[3])}; get it again"
            )
        for number in range(2, header.files + 1):
            other = path.with_name(f"{match[1]}-{number:05}-of-{match[3]}.gguf")
            part, part_bytes = header_of(other)
            size_bytes += part_bytes
            weights_bytes += part.shape.weights_bytes
    return header, size_bytes, weights_bytes


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
