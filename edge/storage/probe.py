"""Opens a database file in a process of its own, because DuckDB can abort the opener.

``python -m edge.storage.probe PATH MEMORY_MIB`` replays the log, reads what a start of the node
reads, closes the file and prints what it found as a line of JSON. When it dies or hangs, that is
an answer, too. The package must not import this module, or running it would load it twice.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final

import duckdb

from edge.storage.database import connect
from edge.storage.opening import Found, Verdict
from edge.storage.schema import MIGRATIONS, LaterVersion, applied
from edge.storage.unfinished import pages

# Words of DuckDB's messages that mean the file itself may be in good order.
_SIGNS: Final[tuple[tuple[str, Verdict], ...]] = (
    ("Could not set lock", "in_use"),
    ("Permission denied", "not_allowed"),
    ("Read-only file system", "not_allowed"),
    ("No space left on device", "no_space"),
    ("Disk quota exceeded", "no_space"),
    ("database file with version number", "later_version"),
)


def judge(message: str) -> Verdict:
    """What an error of DuckDB's says about the file that it was opening."""
    for sign, verdict in _SIGNS:
        if sign in message:
            return verdict
    return "unreadable"


def look(path: Path, memory_mib_max: int) -> Found:
    """Opens the file in this process, which may not survive it."""
    try:
        with connect(path, memory_mib_max=memory_mib_max) as connection:
            if applied(connection) == len(MIGRATIONS):
                # Reads the blocks that recovery needs; an earlier version is read after migrating.
                for _ in pages(lambda sql, values: connection.execute(sql, values).fetchall()):
                    pass
    except LaterVersion as error:
        return Found("later_version", str(error))
    except duckdb.Error as error:
        message = " ".join(str(error).split())
        return Found(judge(message), message)
    return Found("good")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(look(Path(sys.argv[1]), int(sys.argv[2])))))
