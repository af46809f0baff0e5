"""``elwift models``: which models there are, whether they are whole, and the user's own."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from edge.cli import flags, pull
from edge.cli.output import say, say_json
from edge.inference import models
from edge.inference.box import free_memory_bytes
from edge.inference.listing import Listed, listed, offered
from edge.inference.model_file import verified
from edge.inference.pulling.catalogue import CATALOGUE
from edge.settings import Settings


def add_to(levels: flags.Levels) -> None:
    """The command."""
    level = flags.add_level(levels, "models", "Which models there are; add your own.")
    lists = _add(level, "list", _list, "List the models here; a star marks the default.")
    lists.add_argument(
        "--available", action="store_true", help="list good models that can be pulled instead"
    )
    pulls = _add(level, "pull", pull.command, "Fetch a model, and check that it is whole.")
    pull.add_arguments(pulls)
    verify = _add(level, "verify", _verify, "Check that models are whole.")
    verify.add_argument(
        "model", nargs="?", metavar="MODEL", help="a name (default: your own and the installed)"
    )
    add = _add(level, "add", _add_model, "Copy a GGUF file to your own models.")
    add.add_argument("model", metavar="FILE", help="a GGUF file")
    add.add_argument("--name", default="", help="what to call it (default: the file's name)")
    remove = _add(level, "remove", _remove, "Delete one of your own models.")
    remove.add_argument("model", metavar="MODEL", help="its name")
    default = _add(level, "default", _default, "Have a model run when none is named.")
    default.add_argument("model", metavar="MODEL", help="its name")


def _add(level: flags.Levels, name: str, run: flags.Run, about: str) -> argparse.ArgumentParser:
    parser = flags.add(level, name, run, about)
    flags.settings_flags(parser, "data-dir")
    return parser


def _list(given: argparse.Namespace, settings: flags.Load) -> int:
    chosen = settings()
    if given.available:
        return _list_available(given, chosen)
    data_dir = chosen.data_dir()
    default = models.default_name(data_dir)
    free_bytes = free_memory_bytes()
    known = [listed(model, chosen.model, free_bytes) for model in models.everything(data_dir)]
    if given.json:
        say_json([_document(each) | {"default": each.model.name == default} for each in known])
        return 0
    for each in known:
        mark = "*" if each.model.name == default else " "
        say(f"{mark} {_line(each)}")
    return 0


def _list_available(given: argparse.Namespace, chosen: Settings) -> int:
    free_bytes = free_memory_bytes()
    known = [(entry, offered(entry, chosen.model, free_bytes)) for entry in CATALOGUE]
    if given.json:
        say_json(
            [
                {
                    "name": entry.name,
                    "repository": f"{entry.repository}:{entry.quantisation}",
                    "size_bytes": entry.shape.weights_bytes,
                    "licence": entry.licence,
                    "needs_bytes": each.needs_bytes,
                    "fits_tokens": each.fits_tokens,
                    "description": entry.description,
                }
                for entry, each in known
            ]
        )
        return 0
    for entry, each in known:
        size_mib, gib = entry.shape.weights_bytes / 1048576, (each.needs_bytes or 0) / 2**30
        say(
            f"{entry.name:<20} {size_mib:8.1f} MiB  {entry.quantisation:<7}"
            f"  needs {gib:4.1f} GiB  {_fits(each):<17}  {entry.licence:<10}  {entry.description}"
        )
    return 0


def _line(each: Listed) -> str:
    model = each.model
    name, size_mib = _text(model.name), model.size_bytes / 1048576
    if each.fault:
        return f"{name:<32} {size_mib:8.1f} MiB  cannot be used: {_text(each.fault)}"
    facts = (
        f"{size_mib:8.1f} MiB",
        f"{model.quantisation or '?':<7}",
        f"{model.context_tokens or '?':>7} tokens",
        f"{_fits(each):<17}",
        f"{_text(model.licence) or 'licence unknown':<15}",
        model.place or model.package or ("shipped" if model.embedded else _text(str(model.path))),
    )
    return f"{name:<32} " + "  ".join(facts)


def _fits(each: Listed) -> str:
    if each.fits_tokens is None or each.needs_bytes is None:
        return "fits: unknown"
    if not each.fits_tokens:
        return f"needs {each.needs_bytes / 2**30:.1f} GiB"
    whole = each.fits_tokens >= each.wanted_tokens
    return "fits" if whole else f"fits {each.fits_tokens} tokens"


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
    return _done(
        given, "added", models.add(Path(given.model), settings().data_dir(), given.name).name
    )


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


def _document(each: Listed) -> dict[str, Any]:
    model = each.model
    return {
        "name": _text(model.name),
        "path": _text(model.path),
        "size_bytes": model.size_bytes,
        "quantisation": model.quantisation or None,
        "context_tokens": model.context_tokens or None,
        "licence": _text(model.licence) or None,
        "needs_bytes": each.needs_bytes,
        "fits_tokens": each.fits_tokens,
        "fault": _text(each.fault) or None,
        "shipped": model.embedded,
        "package": model.package or None,
        "place": model.place or None,
    }


def _text(name: str | Path) -> str:
    # A file's name may be any bytes, and JSON is text.
    return os.fsencode(name).decode("utf-8", "backslashreplace")
