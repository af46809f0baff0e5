"""The command line: ``elwift serve | run | tasks | queue | models | config | completion``.

Every command prints what it is for with ``--help``, and its result as JSON with ``--json``. Errors
are one sentence on standard error and exit code 1; 2 means that the command was not understood, 78
that the settings are wrong (EX_CONFIG of sysexits.h: trying again is of no use), 70 a defect of the
program (EX_SOFTWARE), 130 that it was interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from edge import __version__
from edge.cli.flags import WRONG_SETTINGS, load_settings
from edge.cli.output import complain, end_quietly, note, prepare
from edge.errors import ElwiftError, SettingsError

DEFECT: Final = 70
COMMANDS: Final = ("serve", "run", "tasks", "queue", "models", "config", "completion")
"""Each is the module of its name in `edge.cli`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; its exit code."""
    prepare()
    words = sys.argv[1:] if argv is None else argv
    given = parser(*words[:1]).parse_args(words)
    try:
        code: int = given.run(given, lambda: load_settings(given))
    except ElwiftError as error:
        complain(str(error))
        return WRONG_SETTINGS if isinstance(error, SettingsError) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Who read our output has had enough of it, as in `elwift tasks list | head`.
        end_quietly()
        return 0
    except Exception as error:
        complain(f"this is a defect of elwift: {type(error).__name__}: {error}; please report it")
        if os.environ.get("ELWIFT_TRACEBACK"):
            traceback.print_exc()
        else:
            note("ELWIFT_TRACEBACK=1 in the environment shows where")
        return DEFECT
    return code


def parser(first: str = "") -> argparse.ArgumentParser:
    """All commands with their flags; that one alone of which ``first`` is the name, if it is one:
    to import all of them takes longer than most commands do."""
    whole = argparse.ArgumentParser(
        prog="elwift",
        description="Run AI tasks on your own box: submit, watch live, never lose one.",
    )
    whole.add_argument("--version", action="version", version=f"elwift {__version__}")
    levels = whole.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name in (first,) if first in COMMANDS else COMMANDS:
        command = import_module(f"edge.cli.{name}")
        if name == "completion":
            command.add_to(levels, parser)
        else:
            command.add_to(levels)
    return whole


if __name__ == "__main__":
    sys.exit(main())
