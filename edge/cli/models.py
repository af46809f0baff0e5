"""``elwift models``: which models there are, whether they are whole, and the user's own."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from edge.cli.output import say
from edge.inference import models
from edge.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("action", choices=("list", "verify", "add", "remove", "default"))
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a name; for add, a GGUF file")
    parser.set_defaults(parser=parser)


def command(given: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    """0 when it is done, and for verify when every model is whole."""
    data_dir = settings().data_dir()
    if given.action in ("add", "remove", "default") and not given.model:
        given.parser.error(f"models {given.action} needs a MODEL")
    if given.action == "list":
        default = models.default_name(data_dir)
        for model in models.available(data_dir):
            mark = "*" if model.name == default else " "
            size_mib = model.size_bytes / 1048576
            say(f"{mark} {model.name:<24} {size_mib:8.1f} MiB  {model.path}")
    elif given.action == "verify":
        wanted = [m for m in models.available(data_dir) if given.model in (None, m.name)]
        for model in wanted or [models.resolve(given.model, data_dir)]:
            say(f"{models.verify(model).name}: whole")
    elif given.action == "add":
        say(f"added {models.add(Path(given.model), data_dir).name}")
    elif given.action == "remove":
        models.remove(given.model, data_dir)
        say(f"removed {given.model}")
    else:
        say(f"{models.set_default(given.model, data_dir).name} is the default from the next start")
    return 0
