"""Flags that several commands share, and the levels of commands that they stand in."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from edge.settings import Settings, load

Load = Callable[[], Settings]
"""Reads the settings; `SettingsError` when one is wrong."""

Run = Callable[[argparse.Namespace, Load], int]
"""Runs a command; its exit code."""

Levels = Any
"""What `argparse.ArgumentParser.add_subparsers` gives, whose class has no public name."""

WRONG_SETTINGS: Final = 78
"""The exit code when trying again is of no use (EX_CONFIG of sysexits.h)."""

_SETTINGS: Final[dict[str, tuple[str, type, str]]] = {
    # flag: (setting, type, what it means)
    "host": ("server.host", str, "address to listen on"),
    "port": ("server.port", int, "port to listen on; 0 picks a free one"),
    "data-dir": ("data.dir", str, "where the database and your own models are"),
    "model": ("model.name", str, "a model's name, or the path of a GGUF file"),
    "slots": ("model.slots", int, "tasks generated side by side"),
    "context": ("model.context_tokens", int, "tokens of prompt and output of one task"),
    "threads": ("model.threads", int, "processor threads"),
}

SETTINGS: Final = tuple(_SETTINGS)


def add(levels: Levels, name: str, run: Run, about: str) -> argparse.ArgumentParser:
    """A command with the flags that all have."""
    parser: argparse.ArgumentParser = levels.add_parser(name, help=about, description=about)
    parser.set_defaults(run=run)
    parser.add_argument("--config", metavar="FILE", help="a TOML file with settings")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def add_level(levels: Levels, name: str, about: str) -> Levels:
    """A command that has commands of its own; `add` takes what this returns."""
    parser: argparse.ArgumentParser = levels.add_parser(name, help=about, description=about)
    return parser.add_subparsers(title="commands", required=True, metavar="COMMAND")


def settings_flags(parser: argparse.ArgumentParser, *flags: str) -> None:
    """The flags of these settings."""
    for flag in flags:
        _, kind, about = _SETTINGS[flag]
        parser.add_argument(f"--{flag}", type=kind, help=about)


def node_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that say which node is meant."""
    parser.add_argument("--url", help="the node (default: $ELWIFT_URL, else the local one)")
    parser.add_argument("--token", help="the token, if the node wants one (default: $ELWIFT_TOKEN)")


def load_settings(given: argparse.Namespace) -> Settings:
    """The settings with the flags that were given. `SettingsError` when one is wrong."""
    flags = {setting: value_of(given, flag) for flag, (setting, _, _) in _SETTINGS.items()}
    file = getattr(given, "config", None)
    return load(Path(file) if file else None, flags=flags)


def value_of(given: argparse.Namespace, flag: str) -> Any:
    """The value of a flag; None when it was not given, or the command has no such flag."""
    return getattr(given, flag.replace("-", "_"), None)
