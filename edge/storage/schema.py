"""The table, as numbered migrations, and how rows become its columns.

Versions of tasks and audit rows share one table, told apart by ``version``, which audit rows don't
have: a commit of both is then one statement rather than two. And the table is narrow: what no
query looks for is packed into ``details``. Measured with DuckDB 2.0, a commit of one task and one
audit row takes 1.1 ms of processor time this way, 1.5 ms with a column for each field, and 2.4 ms
with a table for each kind. An audit row keeps its time in ``created_ns``, its new state in
``state``.

Rows are put in order by their ``rowid``, which is the order in which they were appended: DuckDB
gives a row another number when it clears away deleted ones, but never another place. The wall
clock's times in ``created_ns`` and ``finished_ns`` are for people.

No primary key and no index: DuckDB cannot always replay its log when a key was deleted and
inserted again, and rows here are only ever added. A task's id is a UUID rather than text because
finding one of 200,000 then takes 2 ms rather than 8. A checkpoint follows each migration, because
changes of tables left in the log are another way for a file not to open again.
"""

from __future__ import annotations

from typing import Final

import duckdb
import orjson

from edge.storage.rows import Row, TaskRow

MIGRATIONS: Final = (
    """
    CREATE TABLE journal (
        task_id UUID NOT NULL,
        version BIGINT,
        client VARCHAR,
        state VARCHAR NOT NULL,
        created_ns BIGINT NOT NULL,
        finished_ns BIGINT,
        queued_ms DOUBLE,
        duration_ms DOUBLE,
        idempotency_key VARCHAR,
        fingerprint VARCHAR,
        details VARCHAR NOT NULL,
        spec BLOB,
        snapshot BLOB
    );
    """,
    # One row, written again and again, so that a look at the health leaves nothing behind.
    "CREATE TABLE probe (probed_at TIMESTAMP); INSERT INTO probe VALUES (now()::TIMESTAMP);",
    # How long the node had run; what ended before this was counted is as old as the counting. And
    # one row, written again and again: when the node was last seen (`edge.clock.Seen`).
    """
    ALTER TABLE journal ADD COLUMN run_ns BIGINT DEFAULT 0;
    CREATE TABLE last_seen (
        run_ns BIGINT, schedule_ns BIGINT, wall_ns BIGINT, elapsed_ns BIGINT, boot_id VARCHAR
    );
    INSERT INTO last_seen VALUES (0, 0, 0, 0, '');
    """,
    # One row, written again and again: what the estimates have learnt, as JSON.
    "CREATE TABLE learnt (value VARCHAR); INSERT INTO learnt VALUES ('');",
)

TABLE: Final = "journal"


class LaterVersion(Exception):
    """The file was made by a later version of the program."""


def values(row: Row) -> tuple[object, ...]:
    """The row's values in the order of the table's columns. TypeError or ValueError when its
    details are no JSON."""
    if isinstance(row, TaskRow):
        details = {
            "priority": row.priority,
            "model": row.model,
            "attempt": row.attempt,
            "scheduled_ns": row.scheduled_ns,
            "started_ns": row.started_ns,
            "completion_tokens": row.completion_tokens,
        }
        return (
            row.task_id,
            row.version,
            row.client,
            row.state,
            row.created_ns,
            row.finished_ns,
            row.queued_ms,
            row.duration_ms,
            row.idempotency_key,
            row.fingerprint,
            orjson.dumps(details).decode(),
            row.spec,
            row.snapshot,
            row.run_ns,
        )
    details = {"event": row.event, "from_state": row.from_state, "cause": row.cause}
    nothing = (None,) * 5
    return (
        *(row.task_id, None, None, row.to_state, row.at_ns),
        *nothing,
        *(orjson.dumps(details).decode(), None, None, row.run_ns),
    )


def applied(connection: duckdb.DuckDBPyConnection) -> int:
    """How many migrations the file has had; `LaterVersion` when there are more than we know."""
    # Results are always fetched to the end: an open one blocks the connection for all else.
    tables = "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'migrations'"
    if connection.execute(tables).fetchall() == [(0,)]:
        return 0
    found = connection.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchall()
    done = int(found[0][0])
    if done > len(MIGRATIONS):
        raise LaterVersion(f"it has had migration {done}, the last known is {len(MIGRATIONS)}")
    return done


def migrate(connection: duckdb.DuckDBPyConnection) -> None:
    """Brings the tables up to date. `LaterVersion` when they are from the future."""
    done = applied(connection)
    if done == len(MIGRATIONS):
        return
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (number BIGINT, applied_at TIMESTAMP)"
    )
    for number, statements in enumerate(MIGRATIONS[done:], done + 1):
        connection.execute("BEGIN")
        connection.execute(statements)
        connection.execute("INSERT INTO migrations VALUES (?, now()::TIMESTAMP)", [number])
        connection.execute("COMMIT")
        connection.execute("CHECKPOINT")
