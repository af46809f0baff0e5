"""Opening the database file safely: one node at a time, and never a crash of the opener.

DuckDB can abort the whole process while it replays a damaged log, so an existing file is opened in
a child process first. One that cannot be opened is set aside under a dated name, never deleted.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

import duckdb

from edge.clock import NS_PER_S
from edge.errors import StartupError

PROBE_S: Final = 120
_UNREADABLE: Final = 3
_LOCKED: Final = 4
"""Exit codes of `edge.storage.probe`, which is not imported so that it can be run."""
_CRASHES: Final = frozenset(
    {signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}
)


def lock(path: Path) -> IO[str]:
    """Takes the lock of this database for as long as the returned file is open; the kernel gives
    it back however this process ends. StartupError when another node has it."""
    try:
        file = path.with_suffix(".lock").open("a+", encoding="ascii")
    except OSError as error:
        raise StartupError(
            f"cannot write in {path.parent}: {error.strerror}; choose another with --data-dir"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        pid = file.read().strip()
        file.close()
        who = f" (process {pid})" if pid else ""
        raise StartupError(
            f"the database {path} is in use by another node{who};"
            " stop that one, or choose another --data-dir"
        ) from error
    file.seek(0)
    file.truncate()
    file.write(str(os.getpid()))
    file.flush()
    return file


def probe(path: Path) -> str | None:
    """Opens the file, if there is one, in a child process; why it is unreadable, or None.

    Only DuckDB's own word, a crash or a hang make a file unreadable. StartupError when the file
    could not be looked at: another program has it open, or the child did not run.
    """
    if not path.exists():
        return None
    try:
        child = subprocess.run(
            [sys.executable, "-m", "edge.storage.probe", str(path)],
            capture_output=True,
            text=True,
            timeout=PROBE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"opening it took longer than {PROBE_S} s"
    said = (child.stderr.strip().splitlines() or ["no reason given"])[-1]
    if child.returncode == 0:
        return None
    if child.returncode == _UNREADABLE:
        return said
    if -child.returncode in _CRASHES:
        return f"opening it crashed with signal {-child.returncode}"
    if child.returncode == _LOCKED:
        raise StartupError(
            f"the database {path} is open in another program: {said}; close it there,"
            " or choose another --data-dir"
        )
    raise StartupError(f"the database {path} could not be checked: {said}")


def set_aside(path: Path, wall_ns: int) -> Path:
    """Renames the file and its log; returns the new name of the file."""
    stamp = datetime.fromtimestamp(wall_ns / NS_PER_S, UTC).strftime("%Y%m%d-%H%M%S")
    kept = path.with_name(f"{path.name}.unreadable-{stamp}")
    number = 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}.unreadable-{stamp}-{number}")
    for suffix in ("", ".wal"):
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(kept.with_name(kept.name + suffix))
    return kept


def connect(path: Path) -> duckdb.DuckDBPyConnection:
    """A connection to the file, which nobody else may have open. `duckdb.Error` otherwise."""
    return duckdb.connect(str(path))
