"""``elwift models``: which models there are, whether they are whole, and the user's own."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from edge.cli import flags
from edge.cli.output import say, say_json
from edge.inference import models
from edge.inference.model_file import ModelFile, verified


def add_to(levels: flags.Levels) -> None:
    """The command."""
    level = flags.add_level(levels, "models", "Which models there are; add your own.")
    _add(level, "list", _list, "List the models; a star marks the default.")
    verify = _add(level, "verify", _verify, "Check that models are whole.")
    verify.add_argument("model", nargs="?", metavar="MODEL", help="a name (default: all)")
    add = _add(level, "add", _add_model, "Copy a GGUF file to your own models.")
    add.add_argument("model", metavar="FILE", help="a GGUF file")
    remove = _add(level, "remove", _remove, "Delete one of your own models.")
    remove.add_argument("model", metavar="MODEL", help="its name")
    default = _add(level, "default", _default, "Have a model run when none is named.")
    default.add_argument("model", metavar="MODEL", help="its name")


def _add(level: flags.Levels, name: str, run: flags.Run, about: str) -> argparse.ArgumentParser:
    parser = flags.add(level, name, run, about)
    flags.settings_flags(parser, "data-dir")
    return parser


def _list(given: argparse.Namespace, settings: flags.Load) -> int:
    data_dir = settings().data_dir()
    default = models.default_name(data_dir)
    known = models.available(data_dir)
    if given.json:
        say_json([_document(model) | {"default": model.name == default} for model in known])
        return 0
    for model in known:
        mark = "*" if model.name == default else " "
        size_mib = model.size_bytes / 1048576
        say(f"{mark} {model.name:<24} {size_mib:8.1f} MiB  {model.path}")
    return 0


def _verify(given: argparse.Namespace, settings: flags.Load) -> int:
    data_dir = settings().data_dir()
    wanted = [model for model in models.available(data_dir) if given.model in (None, model.name)]
    whole = []
    for model in wanted or [models.resolve(given.model, data_dir)]:
        whole.append(verified(model).name)
        if not given.json:
            say(f"{whole[-1]}: whole")
    if given.json:
        say_json({"whole": whole})
    return 0


def _add_model(given: argparse.Namespace, settings: flags.Load) -> int:
    return _done(given, "added", models.add(Path(given.model), settings().data_dir()).name)


def _remove(given: argparse.Namespace, settings: flags.Load) -> int:
    models.remove(given.model, settings().data_dir())
    return _done(given, "removed", given.model)


def _default(given: argparse.Namespace, settings: flags.Load) -> int:
    name = models.set_default(given.model, settings().data_dir()).name
    if given.json:
        return _done(given, "default", name)
    say(f"{name} is the default from the next start")
    return 0


def _done(given: argparse.Namespace, what: str, name: str) -> int:
    if given.json:
        say_json({what: name})
    else:
        say(f"{what} {name}")
    return 0


def _document(model: ModelFile) -> dict[str, Any]:
    return {
        "name": model.name,
        # A file's name may be any bytes, and JSON is text.
        "path": os.fsencode(model.path).decode("utf-8", "backslashreplace"),
        "size_bytes": model.size_bytes,
        "shipped": model.embedded,
        "package": model.package or None,
    }
