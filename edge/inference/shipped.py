"""The models that ship with the project: those of its manifest, beside the installed package or in
a checkout. Reads files and blocks."""

from __future__ import annotations

import contextlib
import tomllib
from pathlib import Path
from typing import Any, Final

from edge.errors import ModelError
from edge.inference.model_file import ModelFile, checked

_PACKAGE: Final = Path(__file__).resolve().parents[1]


def embedded(*, manifest: Path | None = None) -> list[ModelFile]:
    """The models of the manifest; none when there is no manifest. A damaged one is a damaged
    installation and raises `ModelError`."""
    path = manifest or _manifest()
    try:
        with path.open("rb") as file:
            tables: list[dict[str, Any]] = tomllib.load(file).get("model", [])
        return [_from_manifest(path.parent, table) for table in tables]
    except FileNotFoundError:
        return []
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"the list of shipped models {path} is damaged ({error}); install the package again"
        ) from error


def standby(model: ModelFile, *, manifest: Path | None = None) -> ModelFile | None:
    """The shipped model that can stand in for this one: the first that is whole and another."""
    for other in embedded(manifest=manifest):
        if other.path != model.path:
            with contextlib.suppress(ModelError):
                return checked(other)
    return None


def _manifest() -> Path:
    installed = _PACKAGE / "_models" / "manifest.toml"
    return installed if installed.exists() else _PACKAGE.parent / "models" / "manifest.toml"


def _from_manifest(folder: Path, table: dict[str, Any]) -> ModelFile:
    return ModelFile(
        name=str(table["name"]),
        path=folder / str(table["file"]),
        size_bytes=int(table["size_bytes"]),
        context_tokens=int(table.get("context", 0)),
        architecture=str(table.get("architecture", "")),
        description=str(table.get("description", "")),
        sha256=str(table["sha256"]),
        embedded=True,
    )
