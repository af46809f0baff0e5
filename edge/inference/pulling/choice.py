"""Which file of a repository is meant. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from edge.errors import ModelError
from edge.inference.model_file import first_of_split
from edge.inference.places.names import is_model, quantisation_of

USUAL: Final = ("Q4_K_M", "Q4_0", "Q5_K_M", "Q8_0")
"""What is taken when nothing is said: the first of these that there is. Below four bits models get
noticeably worse, above they get slower for little."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository; None is what the hub does not say."""

    path: str
    size_bytes: int | None = None
    sha256: str | None = None

    @property
    def quantisation(self) -> str:
        return quantisation_of(PurePosixPath(self.path))


def choose(repository: str, files: Sequence[RemoteFile], quantisation: str) -> RemoteFile:
    """The file of this quantisation, or the usual one when none is named. `ModelError`."""
    models = [file for file in files if is_model(PurePosixPath(file.path))]
    if not models:
        raise ModelError(
            f"{repository} has no GGUF file; many models have a second repository whose name ends"
            " in -GGUF"
        )
    chosen = _named(models, quantisation) if quantisation else _usual(models)
    if chosen is None:
        known = ", ".join(dict.fromkeys(file.quantisation or file.path for file in models))
        says = f"has no file of {quantisation}" if quantisation else "has several files"
        raise ModelError(
            f"{repository} {says}; name one of these as {repository}:QUANTISATION: {known}"
        )
    if first_of_split(PurePosixPath(chosen.path)) is not None:
        raise ModelError(
            f"{chosen.path} of {repository} is in several files, which are not pulled; get them"
            " with the hub's own program, and `elwift models list` has them"
        )
    return chosen


def _named(models: Sequence[RemoteFile], quantisation: str) -> RemoteFile | None:
    wanted = quantisation.upper()
    return next((file for file in models if file.quantisation == wanted), None)


def _usual(models: Sequence[RemoteFile]) -> RemoteFile | None:
    for quantisation in USUAL:
        found = _named(models, quantisation)
        if found is not None:
            return found
    return models[0] if len(models) == 1 else None
