"""Which models there are: those that ship with the project, the user's own, or any GGUF file.

The shipped ones are named by a manifest, beside the installed package or in a checkout. The user's
own lie in ``models`` in the data directory; a small file there names the default. Functions here
read and write files and block: call them before the node serves, or from another thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge.errors import ModelError
from edge.inference.gguf import UNKNOWN, Header, Shape, read_header

DEFAULT_FILE: Final = "default"
SUFFIX: Final = ".gguf"
_PACKAGE: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One model. ``context_tokens`` is what it was trained with, 0 when the file does not say;
    ``sha256`` is known of shipped models alone, which are the ``embedded`` ones."""

    name: str
    path: Path
    size_bytes: int
    context_tokens: int
    architecture: str = ""
    description: str = ""
    sha256: str | None = None
    embedded: bool = False
    shape: Shape = UNKNOWN


def models_dir(data_dir: Path) -> Path:
    """Where the user's own models lie; it need not exist."""
    return data_dir / "models"


def resolve(name_or_path: str, data_dir: Path, *, manifest: Path | None = None) -> ModelFile:
    """The model of this name or at this path, checked to be a whole GGUF; empty means the default.

    A name is looked for among the user's own models first, then among the shipped ones. Raises
    `ModelError` with one sentence.
    """
    wanted = name_or_path or default_name(data_dir, manifest=manifest)
    known = available(data_dir, manifest=manifest)
    for model in known:
        if model.name == wanted:
            return _checked(model)
    path = Path(wanted).expanduser()
    if path.suffix == SUFFIX or path.name != wanted:
        return _checked(ModelFile(path.stem, path.absolute(), 0, 0))
    names = ", ".join(sorted(model.name for model in known)) or "none"
    raise ModelError(
        f"there is no model called {wanted!r}; there are: {names}."
        " Add one with `elwift models add FILE`, or give the path of a GGUF file"
    )


def available(data_dir: Path, *, manifest: Path | None = None) -> list[ModelFile]:
    """The user's own models, then the shipped ones, by name; files are not opened."""
    own = sorted(_own(data_dir), key=lambda model: model.name)
    taken = {model.name for model in own}
    return own + [model for model in embedded(manifest=manifest) if model.name not in taken]


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
                return _checked(other)
    return None


def verify(model: ModelFile) -> ModelFile:
    """Checks the header, and for a shipped model every byte; returns it with what the file says.

    Raises `ModelError`.
    """
    checked = _checked(model)
    if model.sha256 is not None and _sha256(model.path) != model.sha256:
        raise ModelError(
            f"{model.path} is not the file that was shipped (its SHA-256 differs);"
            " install the package again"
        )
    return checked


def add(source: Path, data_dir: Path, name: str = "") -> ModelFile:
    """Copies a GGUF file to the user's own models, once it is checked, as `name` or its own name.

    The copy appears whole or not at all. Raises `ModelError`.
    """
    model = _checked(ModelFile(name or source.stem, source.expanduser().absolute(), 0, 0))
    if not _is_name(model.name):
        raise ModelError(f"{model.name!r} cannot be a model's name: use letters, digits, - _ .")
    target = models_dir(data_dir) / f"{model.name}{SUFFIX}"
    if target.exists():
        raise ModelError(
            f"there is a model called {model.name!r} already; remove it first, or choose another"
            " name"
        )
    partial = target.with_suffix(".partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model.path, partial)
        partial.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise ModelError(f"cannot copy {model.path} to {target}: {error.strerror}") from error
    return _checked(ModelFile(model.name, target, 0, 0))


def remove(name: str, data_dir: Path, *, manifest: Path | None = None) -> None:
    """Deletes one of the user's own models; the default goes back to the shipped one if it was
    this. Raises `ModelError` for any other."""
    own = next((model for model in _own(data_dir) if model.name == name), None)
    if own is None:
        if any(model.name == name for model in embedded(manifest=manifest)):
            raise ModelError(f"{name} is part of the installation and cannot be removed")
        raise ModelError(f"there is no model called {name!r} in {models_dir(data_dir)}")
    try:
        own.path.unlink()
        if _chosen(data_dir) == name:
            (models_dir(data_dir) / DEFAULT_FILE).unlink()
    except OSError as error:
        raise ModelError(f"cannot remove {own.path}: {error.strerror}") from error


def default_name(data_dir: Path, *, manifest: Path | None = None) -> str:
    """The model that runs when none is named: the chosen one, else the first that was shipped."""
    chosen = _chosen(data_dir)
    if chosen:
        return chosen
    for model in embedded(manifest=manifest):
        return model.name
    raise ModelError(
        "there is no model: this installation ships none, so name one with --model FILE"
    )


def set_default(name: str, data_dir: Path, *, manifest: Path | None = None) -> ModelFile:
    """Has this model run when none is named. It has to be one of `available`, and whole."""
    for model in available(data_dir, manifest=manifest):
        if model.name == name:
            break
    else:
        raise ModelError(
            f"there is no model called {name!r}; add it first with `elwift models add FILE`"
        )
    checked = _checked(model)
    folder = models_dir(data_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{DEFAULT_FILE}.partial"
        partial.write_text(f"{name}\n", encoding="utf-8")
        partial.replace(folder / DEFAULT_FILE)
    except OSError as error:
        raise ModelError(f"cannot write to {folder}: {error.strerror}") from error
    return checked


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


def _own(data_dir: Path) -> Iterator[ModelFile]:
    for path in models_dir(data_dir).glob(f"*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile, or a dangling link
            yield ModelFile(path.stem, path.absolute(), path.stat().st_size, 0)


def _chosen(data_dir: Path) -> str:
    try:
        return (models_dir(data_dir) / DEFAULT_FILE).read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"cannot read which model is the default in {models_dir(data_dir)}: {error}"
        ) from error


def _checked(model: ModelFile) -> ModelFile:
    """The same model with what its file says of it."""
    header, size_bytes = _header(model.path)
    if header.cannot_generate:
        raise ModelError(
            f"{model.path} cannot be used as a model: {header.cannot_generate}; get one that"
            " generates text"
        )
    return ModelFile(
        model.name,
        model.path,
        size_bytes,
        header.context_tokens,
        header.architecture,
        model.description or header.name,
        model.sha256,
        model.embedded,
        header.shape,
    )


def _header(path: Path) -> tuple[Header, int]:
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


def _is_name(name: str) -> bool:
    return name[:1].isalnum() and all(char.isalnum() or char in "-_." for char in name)
