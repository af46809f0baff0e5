"""Retention: what may go, and how its space comes back.

Age is counted in the time for which the node ran (``run_ns`` of `edge.clock.Moment`): an ended task
is as old as the node has run since it ended, all its lives added up. So no wall clock can make a
task old, however far it jumps, in a running node or between two lives. The price: a node that is
down ages nothing, so one that runs for two hours a day keeps its tasks for twelve times as many
days. From the wall clock alone, a day's rest and a jump by a day look the same, and what is pruned
never comes back. How many tasks are kept is bounded in any case; of too many, those that ended
first go first, in the order of their rows. Tasks in a file from before this was counted are as old
as the counting.

Rows are deleted in one transaction and the file is checkpointed: DuckDB then drops row groups that
are empty, merges those that are nearly so, and uses their blocks again for new rows; a file whose
end has become free is cut. So there is no second file to fill and to swap, and no moment at which
a crash could leave either.
"""

from __future__ import annotations

from edge.storage import queries
from edge.storage.database import Database
from edge.storage.rows import Pruned


def prune(database: Database, before_run_ns: int, max_tasks: int) -> Pruned:
    """Deletes what ended before the node had run for so long, or is too many. To be called on the
    thread that writes. `duckdb.Error` when the disk refuses; then all is there as before."""
    counted = f"SELECT count(*) FROM ({queries.PRUNABLE})"
    limits = (before_run_ns, max_tasks)
    tasks = int(database.ask(counted, limits)[0][0])
    _, versions = database.transaction(
        [
            (f"DELETE FROM journal WHERE task_id IN ({queries.PRUNABLE})", limits),
            (queries.DELETE_SUPERSEDED, ()),
        ]
    )
    if tasks or versions:
        database.checkpoint()
    return Pruned(tasks, versions)
