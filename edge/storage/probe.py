"""Opens a database file in a process of its own, because DuckDB can abort the opener.

``python -m edge.storage.probe PATH MEMORY_MIB`` replays the log, reads what a start of the node
reads, and folds the log into the file if all of that is good; 0 MiB leaves the limit to DuckDB. It
prints `BEGUN` before it touches the file, and what it found as a line of JSON at the end. When it
dies in between, that is an answer, too. The package must not import this module, or running it
would load it twice.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import duckdb

from edge.storage.database import connect
from edge.storage.examiner import BEGUN
from edge.storage.memory import set_limit
from edge.storage.queries import LAST_SEEN, LEARNT
from edge.storage.schema import MIGRATIONS, LaterVersion, applied
from edge.storage.unfinished import pages
from edge.storage.verdict import Found, judge


def look(path: Path, memory_mib_max: int) -> Found:
    """Opens the file in this process, which may not survive it."""
    try:
        with connect(path, memory_mib_max=memory_mib_max) as connection:
            # What is not good is not to be written to.
            connection.execute("PRAGMA disable_checkpoint_on_shutdown")
            _read(connection)
            _fold(connection)
    except LaterVersion as error:
        return Found("later_version", str(error))
    except MemoryError:
        return Found("no_memory", "there is no memory for what is in it")
    except duckdb.Error as error:
        message = " ".join(str(error).split())
        return Found(judge(message), message)
    return Found("good")


def _read(connection: duckdb.DuckDBPyConnection) -> None:
    """The blocks that a start needs. What it reads of the tasks is in the first version, too."""
    version = applied(connection)
    if version == len(MIGRATIONS):
        connection.execute(LAST_SEEN).fetchall()
        connection.execute(LEARNT).fetchall()
    if version > 0:
        for _ in pages(lambda sql, values: connection.execute(sql, values).fetchall()):
            pass


def _fold(connection: duckdb.DuckDBPyConnection) -> None:
    """So that the node need not replay the log once more. What is in the way, such as a full disk,
    says nothing against the file, and the node will meet it."""
    try:
        connection.execute(set_limit(0))
        connection.execute("CHECKPOINT")
    except duckdb.Error:
        return


if __name__ == "__main__":
    sys.stdout.write(f"{BEGUN}\n")
    sys.stdout.flush()
    sys.stdout.write(json.dumps(asdict(look(Path(sys.argv[1]), int(sys.argv[2])))))
