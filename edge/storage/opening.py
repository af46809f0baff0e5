"""Opening the database file safely: one node at a time, and never a crash of the opener.

DuckDB can abort the whole process while it replays a damaged log, so an existing file is opened in
a child process first. One that cannot be opened is set aside under a dated name, never deleted.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

import duckdb

from edge.clock import NS_PER_S
from edge.errors import StartupError

PROBE_S: Final = 120


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
    """Opens the file, if there is one, in a child process; why it cannot be opened, or None."""
    if not path.exists():
        return None
    try:
        child = subprocess.run(
            [sys.executable, "-m", "edge.storage.opening", str(path)],
            capture_output=True,
            text=True,
            timeout=PROBE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"opening it took longer than {PROBE_S} s"
    if child.returncode == 0:
        return None
    said = child.stderr.strip().splitlines()
    return said[-1] if said else f"opening it ended with {child.returncode}"


def set_aside(path: Path, wall_ns: int) -> Path:
    """Renames the file and its log; returns the new name of the file."""
    stamp = datetime.fromtimestamp(wall_ns / NS_PER_S, UTC).strftime("%Y%m%d-%H%M%S")
    kept = path.with_name(f"{path.name}.unreadable-{stamp}")
    for suffix in ("", ".wal"):
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(kept.with_name(kept.name + suffix))
    return kept


def connect(path: Path) -> duckdb.DuckDBPyConnection:
    """A connection to the file, which nobody else may have open. `duckdb.Error` otherwise."""
    return duckdb.connect(str(path))


def main() -> int:
    """The child: 0 when the file named on the command line opens and has readable tables."""
    try:
        connection = connect(Path(sys.argv[1]))
        connection.execute("SELECT count(*) FROM duckdb_tables()").fetchone()
        connection.close()
    except duckdb.Error as error:
        sys.stderr.write(str(error).replace("\n", " ") + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
