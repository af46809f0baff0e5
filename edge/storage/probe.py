"""Opens a database file in a process of its own: ``python -m edge.storage.probe PATH``.

DuckDB can abort the whole process while it replays a damaged log; here that costs nothing. The
package itself must not import this module, or running it would load it twice.
"""

from __future__ import annotations

import sys
from typing import Final

import duckdb

UNREADABLE: Final = 3
LOCKED: Final = 4


def main() -> int:
    """0 when the file opens and its tables can be read, `UNREADABLE` with DuckDB's reason on
    standard error when not, `LOCKED` when another process has it open."""
    try:
        connection = duckdb.connect(sys.argv[1])
        connection.execute("SELECT count(*) FROM duckdb_tables()").fetchone()
        connection.close()
    except duckdb.Error as error:
        reason = str(error).replace("\n", " ")
        sys.stderr.write(reason + "\n")
        return LOCKED if "lock on file" in reason else UNREADABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
