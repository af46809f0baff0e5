"""Opening the database file safely: one node at a time, and never a crash of the opener.

A file that DuckDB calls corrupt, or that crashes it, is set aside under a dated name, with its log,
and never deleted. Whatever else goes wrong says nothing against the file: then there is no start,
and a sentence (`edge.storage.verdict`).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final, NamedTuple

import duckdb

from edge.clock import NEVER, NS_PER_S, Clock, Seen
from edge.errors import StartupError
from edge.storage.database import Database
from edge.storage.examiner import examine
from edge.storage.memory import more_mib
from edge.storage.verdict import WAYS_OUT, Found, Verdict

# How DuckDB's logs begin: an entry that says what version of the format follows.
_LOG_BEGINS: Final = b"\x64\x00\x62"


class Kept(NamedTuple):
    """What was set aside, under which name, and why."""

    path: Path
    kept_as: Path
    reason: str


class Opened(NamedTuple):
    """The open database; what could not be read of it, if anything; ``last_seen`` is when a node
    was last seen with it, ``learnt`` what was kept by `Database.keep_learnt`."""

    database: Database
    kept: Kept | None
    last_seen: Seen = NEVER
    learnt: str = ""


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
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
    except BlockingIOError as error:
        file.seek(0)
        pid = file.read().strip()
        file.close()
        who = f" (process {pid})" if pid else ""
        raise StartupError(
            f"the database {path} is in use by another node{who};"
            " stop that one, or choose another --data-dir"
        ) from error
    except OSError as error:
        file.close()
        raise StartupError(
            f"cannot lock {file.name}: {error.strerror}; choose another place with --data-dir"
        ) from error
    return file


async def open_database(
    path: Path, clock: Clock, *, memory_mib_max: int, silence_ms: int
) -> Opened:
    """Opens or makes the file. The lock must be held. StartupError when something is in the way
    that says nothing against the file; that is then left as it is."""
    wall_ns = clock.wall_ns()
    kept = await asyncio.to_thread(_set_stray_logs_aside, path, wall_ns)
    if await asyncio.to_thread(path.exists):
        found, memory_mib_max = await _look(
            path, clock, memory_mib_max=memory_mib_max, silence_ms=silence_ms
        )
        if way_out := WAYS_OUT.get(found.verdict):
            raise StartupError(
                f"cannot open the database {path}: {found.reason};"
                f" {way_out}, or choose another --data-dir"
            )
        if found.verdict == "unreadable":
            files = (path, *_logs(path))
            kept = await asyncio.to_thread(set_aside, path, files, wall_ns, found.reason)
    try:
        return await asyncio.to_thread(_open, path, memory_mib_max, kept)
    except (duckdb.Error, OSError, MemoryError) as error:
        reason = str(error) or "there is no memory for it"
        raise StartupError(
            f"cannot open the database {path}: {reason}; choose another with --data-dir"
        ) from error


def _open(path: Path, memory_mib_max: int, kept: Kept | None) -> Opened:
    database = Database(path, memory_mib_max=memory_mib_max)
    return Opened(database, kept, database.last_seen(), database.learnt())


async def _look(
    path: Path, clock: Clock, *, memory_mib_max: int, silence_ms: int
) -> tuple[Found, int]:
    """What is to be thought of the file, and the limit of memory within which it could be read.

    One that cannot be read for want of memory is read again with more. A crash counts when it
    happens twice, and memory was not short: want of memory ends in one as well, and so does memory
    that fails.
    """
    seen: list[Verdict] = []
    while True:
        found = await examine(path, clock, memory_mib_max=memory_mib_max, silence_ms=silence_ms)
        seen.append(found.verdict)
        if seen == ["crashed", "crashed"]:
            return Found("unreadable", found.reason), memory_mib_max
        if found.verdict not in ("no_memory", "crashed") or not memory_mib_max:
            return found, memory_mib_max
        memory_mib_max = more_mib(memory_mib_max)


def set_aside(path: Path, files: Sequence[Path], wall_ns: int, reason: str) -> Kept:
    """Renames these of the database's files; the first of them names all. One that was set aside
    within the same second is not overwritten. StartupError when they cannot be renamed."""
    stamp = datetime.fromtimestamp(wall_ns / NS_PER_S, UTC).strftime("%Y%m%d-%H%M%S")
    kept = path.with_name(f"{path.name}.unreadable-{stamp}")
    number = 1
    while any(kept.parent.glob(f"{kept.name}*")):
        number += 1
        kept = path.with_name(f"{path.name}.unreadable-{stamp}-{number}")
    names = [kept.with_name(kept.name + old.name.removeprefix(path.name)) for old in files]
    try:
        for old, new in zip(files, names, strict=True):
            old.rename(new)
    except OSError as error:
        raise StartupError(
            f"the database {path} cannot be read ({reason}), and not be set aside either:"
            f" {error.strerror}; move it away, or choose another --data-dir"
        ) from error
    return Kept(files[0], names[0], reason)


def _set_stray_logs_aside(path: Path, wall_ns: int) -> Kept | None:
    """Logs that DuckDB would pass over without a word, and write others in their place."""
    logs = _logs(path)
    if not logs:
        return None
    if not path.exists():
        return set_aside(path, logs, wall_ns, "there is a log without its database")
    try:
        with path.with_name(f"{path.name}.wal").open("rb") as log:
            begins = log.read(len(_LOG_BEGINS))
    except FileNotFoundError:
        return None  # there is but one of a checkpoint, which DuckDB sees to
    except OSError as error:
        raise StartupError(
            f"cannot read {logs[0]}: {error.strerror};"
            " give this user the right to, or choose another --data-dir"
        ) from error
    # One that was being begun when the power went is shorter than that, or empty.
    if _LOG_BEGINS.startswith(begins):
        return None
    reason = "it does not begin as a log does; what was committed to it is not in the database"
    return set_aside(path, logs, wall_ns, reason)


def _logs(path: Path) -> list[Path]:
    """The log, and those that DuckDB keeps beside it while a checkpoint runs."""
    return sorted(
        each for each in path.parent.iterdir() if each.name.startswith(f"{path.name}.wal")
    )
