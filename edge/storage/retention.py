"""Retention: what may go, and how its space comes back.

Rows are deleted in one transaction and the file is checkpointed: DuckDB then drops row groups that
are empty, merges those that are nearly so, and uses their blocks again for new rows; a file whose
end has become free is cut. So there is no second file to fill and to swap, and no moment at which
a crash could leave either.
"""

from __future__ import annotations

from edge.storage import queries
from edge.storage.database import Database
from edge.storage.rows import Pruned


def prune(database: Database, finished_before_ns: int, max_tasks: int) -> Pruned:
    """Deletes on the thread that writes. `duckdb.Error` when the disk refuses; then all is there
    as before."""
    counted = f"SELECT count(*) FROM ({queries.PRUNABLE})"
    limits = (finished_before_ns, max_tasks)
    tasks = int(database.read(counted, limits)[0][0])
    _, versions = database.transaction(
        [
            (f"DELETE FROM journal WHERE task_id IN ({queries.PRUNABLE})", limits),
            (queries.DELETE_SUPERSEDED, ()),
        ]
    )
    if tasks or versions:
        database.checkpoint()
    return Pruned(tasks, versions)
