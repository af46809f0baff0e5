"""The command line: ``elwift serve | run | tasks | queue | models | config``.

Every command prints what it is for with ``--help``. Errors are one sentence on standard error and
exit code 1; 2 means that the command was not understood; 130 that it was interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge import __version__
from edge.cli import config, models, queue, run, serve, tasks
from edge.cli.output import complain
from edge.errors import ElwiftError
from edge.settings import Settings, load

_FLAGS = {
    # flag: (setting, type, what it means)
    "host": ("server.host", str, "address to listen on"),
    "port": ("server.port", int, "port to listen on; 0 picks a free one"),
    "data-dir": ("data.dir", str, "where the database and your own models are"),
    "model": ("model.name", str, "a model's name, or the path of a GGUF file"),
    "slots": ("model.slots", int, "tasks generated side by side"),
    "context": ("model.context_tokens", int, "tokens of prompt and output of one task"),
    "threads": ("model.threads", int, "processor threads"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; its exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        code: int = arguments.command(arguments, lambda: _settings(arguments))
    except ElwiftError as error:
        complain(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Who read our output has had enough of it, as in `elwift tasks list | head`.
        sys.stderr.close()
        return 0
    return code


def _settings(arguments: argparse.Namespace) -> Settings:
    flags = {
        setting: getattr(arguments, flag.replace("-", "_"), None)
        for flag, (setting, _, _) in _FLAGS.items()
    }
    file = getattr(arguments, "config", None)
    return load(Path(file) if file else None, flags=flags)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="elwift",
        description="Run AI tasks on your own box: submit, watch live, never lose one.",
    )
    parser.add_argument("--version", action="version", version=f"elwift {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, command: Any, about: str, *flags: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=about, description=about)
        sub.set_defaults(command=command)
        sub.add_argument("--config", metavar="FILE", help="a TOML file with settings")
        for flag in flags:
            _, kind, about_flag = _FLAGS[flag]
            sub.add_argument(f"--{flag}", type=kind, help=about_flag)
        return sub

    add("serve", serve.command, "Run a node until it is told to stop.", *_FLAGS)
    run_parser = add(
        "run",
        run.command,
        "Submit a prompt and watch it live; without a node, one is started for the occasion.",
        "data-dir", "model", "slots", "context", "threads",
    )  # fmt: skip
    run.arguments(run_parser)
    tasks.arguments(
        add("tasks", tasks.command, "List, show, watch, cancel, retry, audit and export tasks.")
    )
    queue.arguments(add("queue", queue.command, "How busy a node is, and how long tasks took."))
    models.arguments(
        add("models", models.command, "Which models there are; add your own.", "data-dir")
    )
    config.arguments(add("config", config.command, "Show or check the settings.", *_FLAGS))
    return parser


if __name__ == "__main__":
    sys.exit(main())
