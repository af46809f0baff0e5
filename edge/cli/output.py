"""Where the command line's words go: results to standard output, all else to standard error."""

from __future__ import annotations

import sys


def say(line: str = "") -> None:
    """One line of the result."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def note(line: str) -> None:
    """One line about what is going on."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def complain(line: str) -> None:
    """What went wrong, and the way out."""
    note(f"elwift: {line}")
