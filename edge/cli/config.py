"""``elwift config``: the settings in force, each with its meaning."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import orjson

from edge.cli.output import say
from edge.settings import Settings, keys


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("action", choices=("show", "check"))


def command(given: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    """0 when the settings are valid; what is wrong is an error of its own."""
    chosen = settings()
    if given.action == "check":
        say("the settings are valid")
        return 0
    section = ""
    for key in keys():
        if key.section != section:
            say(("\n" if section else "") + f"[{key.section}]")
            section = key.section
        value = getattr(getattr(chosen, key.section), key.name)
        if key.path == "server.tokens":
            # Names are no secret, secrets are.
            value = dict.fromkeys(value, "…")
        say(f"# {key.doc}  ({key.variable})\n{key.name} = {_toml(value)}")
    return 0


def _toml(value: object) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{name} = {_toml(item)}" for name, item in value.items())
        return "{ " + inner + " }" if inner else "{}"
    # JSON's texts, numbers and lists are TOML's, too.
    return orjson.dumps(value).decode()
