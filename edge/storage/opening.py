"""Opening the database file safely: one node at a time, and never a crash of the opener.

A file that cannot be opened is set aside under a dated name, with its log, and never deleted.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final, Literal, NamedTuple

import duckdb

from edge.clock import NEVER, NS_PER_S, Seen
from edge.errors import StartupError
from edge.storage.database import Database

Verdict = Literal[
    "good", "unreadable", "in_use", "not_allowed", "no_space", "later_version", "not_looked_at"
]

_WAYS_OUT: Final = {
    "in_use": "stop the program that has it open",
    "not_allowed": "give this user the right to read and write it",
    "no_space": "free some space on that disk",
    "later_version": "it was made by a later version; install that one",
    "not_looked_at": "it could not be checked; try again",
}

# A child that ended by one of these did so by its own doing. Any other end, such as by SIGKILL for
# want of memory, says nothing about the file.
_CRASHES: Final = frozenset(
    {signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a probe says of a file, and why."""

    verdict: Verdict
    reason: str = ""


class Opened(NamedTuple):
    """The open database; ``kept_as`` is where an unreadable one was put, for this ``reason``;
    ``last_seen`` is when a node was last seen with it."""

    database: Database
    kept_as: Path | None
    reason: str
    last_seen: Seen = NEVER


def check_name(path: Path) -> None:
    """StartupError when DuckDB cannot use a file of this name: it takes what follows a ``?`` for
    options when it names its log, a backslash for a slash, and knows names in UTF-8 alone."""
    try:
        name = os.fsencode(path).decode()
    except UnicodeDecodeError:
        fault = "is not UTF-8"
    else:
        bad = next((each for each in "?\\\0" if each in name), None)
        if bad is None:
            return
        fault = f"has {bad!r} in it"
    raise StartupError(
        f"the name of the data directory {str(path.parent)!r} {fault}, which the database cannot"
        " use; choose another with --data-dir"
    )


def lock(path: Path) -> IO[str]:
    """Takes the lock of this database for as long as the returned file is open; the kernel gives
    it back however this process ends. StartupError when another node has it, or the folder cannot
    be written."""
    try:
        file = path.with_name(f"{path.name}.lock").open("a+", encoding="ascii")
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


def open_database(path: Path, wall_ns: int, *, memory_mib_max: int, probe_ms: int) -> Opened:
    """Opens or makes the file; blocks. The lock must be held. StartupError when something that
    the admin can change is in the way."""
    found = Found("good")
    if path.exists():
        found = probe(path, memory_mib_max=memory_mib_max, probe_ms=probe_ms)
    elif _logs(path):
        found = Found("unreadable", "there is a log without its database")
    if way_out := _WAYS_OUT.get(found.verdict):
        raise StartupError(
            f"cannot open the database {path}: {found.reason};"
            f" {way_out}, or choose another --data-dir"
        )
    kept_as = None if found.verdict == "good" else set_aside(path, wall_ns)
    try:
        database = Database(path, memory_mib_max=memory_mib_max)
        last_seen = database.last_seen()
    except duckdb.Error as error:
        raise StartupError(
            f"cannot open the database {path}: {error}; choose another --data-dir"
        ) from error
    return Opened(database, kept_as, found.reason, last_seen)


def probe(path: Path, *, memory_mib_max: int, probe_ms: int) -> Found:
    """Looks at the file from a child process. Blocks for as long as ``probe_ms``.

    Only DuckDB's own word, a crash or a hang make a file unreadable.
    """
    house = str(Path(__file__).parents[2])
    paths = [house, *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        child = subprocess.run(
            [sys.executable, "-m", "edge.storage.probe", str(path), str(memory_mib_max)],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=probe_ms / 1_000,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
    except subprocess.TimeoutExpired:
        return Found("unreadable", f"opening it took longer than {probe_ms} ms")
    if -child.returncode in _CRASHES:
        return Found("unreadable", f"opening it crashed with signal {-child.returncode}")
    if child.returncode == 0:
        return Found(**json.loads(child.stdout))
    said = (child.stderr.strip().splitlines() or ["no reason given"])[-1]
    return Found("not_looked_at", f"the check ended with {child.returncode}: {said}")


def set_aside(path: Path, wall_ns: int) -> Path:
    """Renames the file and its logs; returns the new name of the file. An earlier one that was set
    aside within the same second is not overwritten."""
    stamp = datetime.fromtimestamp(wall_ns / NS_PER_S, UTC).strftime("%Y%m%d-%H%M%S")
    kept = path.with_name(f"{path.name}.unreadable-{stamp}")
    number = 1
    while any(kept.parent.glob(f"{kept.name}*")):
        number += 1
        kept = path.with_name(f"{path.name}.unreadable-{stamp}-{number}")
    for old in (path, *_logs(path)):
        if old.exists():
            old.rename(kept.with_name(kept.name + old.name.removeprefix(path.name)))
    return kept


def _logs(path: Path) -> list[Path]:
    """The log, and those that DuckDB keeps beside it while a checkpoint runs."""
    return sorted(
        each for each in path.parent.iterdir() if each.name.startswith(f"{path.name}.wal")
    )
