"""Which models there are: the user's own, those of installed packages, those that ship with the
project, those that other programs keep, or any GGUF file.

The user's own lie in ``models`` in the data directory; a small file there names the default. Where
none is chosen, it is the model of an installed package, since somebody wanted that package, and
else the shipped one. Functions here read and write files and block: call them before the node
serves, or from another thread.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.errors import ModelError
from edge.inference.model_file import SUFFIX, ModelFile, checked, first_of_split
from edge.inference.packaged import PACKAGES, Package, packaged
from edge.inference.places import Roots, find, roots_of_this_user
from edge.inference.shipped import embedded

DEFAULT_FILE: Final = "default"


@dataclass(frozen=True, slots=True)
class Sources:
    """What there is besides the user's own folder; without a ``manifest`` the installation's, and
    without ``roots`` the folders of this user's other programs."""

    manifest: Path | None = None
    packages: tuple[Package, ...] = PACKAGES
    roots: Roots | None = None


HERE: Final = Sources()


def models_dir(data_dir: Path) -> Path:
    """Where the user's own models lie; it need not exist."""
    return data_dir / "models"


def resolve(
    name_or_path: str,
    data_dir: Path,
    *,
    sources: Sources = HERE,
    check: Callable[[ModelFile], ModelFile] = checked,
) -> ModelFile:
    """The model of this name or at this path, checked to be a whole GGUF; empty means the default.
    `check` says what it has to be good for.

    A name is looked for in the order of `available`. Raises `ModelError` with one sentence.
    """
    wanted = name_or_path or default_name(data_dir, sources=sources)
    known = available(data_dir, sources=sources)
    model = _called(wanted, known)
    if model is not None:
        return check(model)
    path = Path(wanted).expanduser()
    is_file = path.suffix == SUFFIX
    if not is_file:
        # Those are looked for last: other programs may keep very many.
        model = _called(wanted, elsewhere(sources=sources))
        if model is not None:
            return check(model)
    if is_file or path.name != wanted:
        return check(ModelFile(path.stem, path.absolute(), 0, 0))
    names = ", ".join(sorted(model.name for model in known)) or "none"
    raise ModelError(
        f"there is no model called {wanted!r}; there are: {names}, and those of other programs that"
        " `elwift models list` shows. Add one with `elwift models add FILE`, or give the path of a"
        " GGUF file"
    )


def available(data_dir: Path, *, sources: Sources = HERE) -> list[ModelFile]:
    """The user's own models by name, then those of packages, then the shipped ones; of two with
    one name the first. Files are not opened."""
    own = sorted(_own(data_dir), key=lambda model: model.name)
    by_name: dict[str, ModelFile] = {}
    for model in (*own, *_installed(sources)):
        by_name.setdefault(model.name, model)
    return list(by_name.values())


def elsewhere(*, sources: Sources = HERE) -> list[ModelFile]:
    """The models that other programs keep (`edge.inference.places`); files are not opened."""
    roots = roots_of_this_user() if sources.roots is None else sources.roots
    return [
        ModelFile(each.name, each.path, each.size_bytes, 0, sha256=each.sha256, place=each.place)
        for each in find(roots)
    ]


def everything(data_dir: Path, *, sources: Sources = HERE) -> list[ModelFile]:
    """`available`, and `elsewhere` what has another name."""
    own = available(data_dir, sources=sources)
    taken = {model.name for model in own}
    return own + [model for model in elsewhere(sources=sources) if model.name not in taken]


def add(source: Path, data_dir: Path, name: str = "") -> ModelFile:
    """Copies a GGUF file to the user's own models, once it is checked, as `name` or its own name.

    The copy appears whole or not at all. Raises `ModelError`.
    """
    model = checked(ModelFile(name or source.stem, source.expanduser().absolute(), 0, 0))
    if first_of_split(model.path) is not None:
        raise ModelError(
            f"{model.path} is one of several files of a model, which are not copied; use it by its"
            " path, or join them with llama.cpp's gguf-split first"
        )
    target = place_for(model.name, data_dir)
    partial = target.with_suffix(".partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model.path, partial)
        partial.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise ModelError(f"cannot copy {model.path} to {target}: {error.strerror}") from error
    return checked(ModelFile(model.name, target, 0, 0))


def place_for(name: str, data_dir: Path) -> Path:
    """Where a model of the user's own is put that gets this name. `ModelError` when the name is
    taken, or cannot be one."""
    if not _is_name(name):
        raise ModelError(
            f"{name!r} cannot be a model's name: use letters, digits, - _ . (--name gives another)"
        )
    target = models_dir(data_dir) / f"{name}{SUFFIX}"
    if target.exists():
        raise ModelError(
            f"there is a model called {name!r} already; remove it first, or choose another name"
        )
    return target


def remove(name: str, data_dir: Path, *, sources: Sources = HERE) -> None:
    """Deletes one of the user's own models; if it was the default, none is chosen any more. Raises
    `ModelError` for any other."""
    own = next((model for model in _own(data_dir) if model.name == name), None)
    if own is None:
        other = _called(name, everything(data_dir, sources=sources))
        if other is not None:
            raise ModelError(_why_it_stays(other))
        raise ModelError(f"there is no model called {name!r} in {models_dir(data_dir)}")
    try:
        own.path.unlink()
        if _chosen(data_dir) == name:
            (models_dir(data_dir) / DEFAULT_FILE).unlink()
    except OSError as error:
        raise ModelError(f"cannot remove {own.path}: {error.strerror}") from error


def default_name(data_dir: Path, *, sources: Sources = HERE) -> str:
    """The model that runs when none is named: the chosen one, else that of a package, else the
    first that was shipped."""
    chosen = _chosen(data_dir)
    if chosen:
        return chosen
    for model in _installed(sources):
        return model.name
    raise ModelError(
        "there is no model: this installation ships none, so name one with --model FILE"
    )


def set_default(name: str, data_dir: Path, *, sources: Sources = HERE) -> ModelFile:
    """Has this model run when none is named. It has to be one of `everything`, and whole."""
    model = _called(name, everything(data_dir, sources=sources))
    if model is None:
        raise ModelError(
            f"there is no model called {name!r}; add it first with `elwift models add FILE`"
        )
    sound = checked(model)
    folder = models_dir(data_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{DEFAULT_FILE}.partial"
        partial.write_text(f"{model.name}\n", encoding="utf-8")
        partial.replace(folder / DEFAULT_FILE)
    except OSError as error:
        raise ModelError(f"cannot write to {folder}: {error.strerror}") from error
    return sound


def _installed(sources: Sources) -> list[ModelFile]:
    return packaged(sources.packages) + embedded(manifest=sources.manifest)


def _called(name: str, models: Iterable[ModelFile]) -> ModelFile | None:
    by_name = {model.name: model for model in models}
    # Ollama leaves that out, too.
    return by_name.get(name) or by_name.get(f"{name}:latest")


def _why_it_stays(model: ModelFile) -> str:
    if model.place:
        return f"{model.name} belongs to {model.place}; remove it there"
    if model.package:
        return f"{model.name} is part of a package; `pip uninstall {model.package}` removes it"
    return f"{model.name} is part of the installation and cannot be removed"


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


def _is_name(name: str) -> bool:
    return name[:1].isalnum() and all(char.isalnum() or char in "-_." for char in name)
