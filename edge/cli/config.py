"""``elwift config``: the settings in force, each with its meaning."""

from __future__ import annotations

import argparse
from typing import Any

import orjson

from edge.cli import flags
from edge.cli.output import say, say_json
from edge.settings import Key, Settings, keys


def add_to(levels: flags.Levels) -> None:
    """The command."""
    level = flags.add_level(levels, "config", "Show or check the settings.")
    for name, run, about in (
        ("show", _show, "Show every setting, its meaning and its value."),
        ("check", _check, "Find mistakes in the settings."),
    ):
        flags.settings_flags(flags.add(level, name, run, about), *flags.SETTINGS)


def _check(given: argparse.Namespace, settings: flags.Load) -> int:
    """0 when the settings are valid; what is wrong is an error of its own."""
    settings()
    if given.json:
        say_json({"valid": True})
    else:
        say("the settings are valid")
    return 0


def _show(given: argparse.Namespace, settings: flags.Load) -> int:
    chosen = settings()
    if given.json:
        tree: dict[str, dict[str, Any]] = {}
        for key in keys():
            tree.setdefault(key.section, {})[key.name] = _value(chosen, key)
        say_json(tree)
        return 0
    section = ""
    for key in keys():
        if key.section != section:
            say(("\n" if section else "") + f"[{key.section}]")
            section = key.section
        say(f"# {key.doc}  ({key.variable})\n{key.name} = {_toml(_value(chosen, key))}")
    return 0


def _value(settings: Settings, key: Key) -> Any:
    value = getattr(getattr(settings, key.section), key.name)
    # Names are no secret, secrets are.
    return dict.fromkeys(value, "…") if key.secret else value


def _toml(value: object) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{name} = {_toml(item)}" for name, item in value.items())
        return "{ " + inner + " }" if inner else "{}"
    # JSON's texts, numbers and lists are TOML's, too.
    return orjson.dumps(value).decode()
