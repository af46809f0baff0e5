"""The tables, as numbered migrations, and the statements that fill them.

No primary keys and no indexes: DuckDB cannot always replay its log when a key was deleted and
inserted again, and all rows here are only ever added. A checkpoint follows each migration, because
changes of tables left in the log are another way for a file not to open again.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Final

import duckdb

from edge.errors import StartupError
from edge.storage.rows import AuditRow, TaskRow

MIGRATIONS: Final = (
    """
    CREATE TABLE tasks (
        task_id VARCHAR NOT NULL, version BIGINT NOT NULL, client VARCHAR NOT NULL,
        state VARCHAR NOT NULL, priority BIGINT NOT NULL, model VARCHAR NOT NULL,
        attempt BIGINT NOT NULL, created_ns BIGINT NOT NULL, scheduled_ns BIGINT,
        started_ns BIGINT, finished_ns BIGINT, queued_ms DOUBLE, duration_ms DOUBLE,
        completion_tokens BIGINT NOT NULL, idempotency_key VARCHAR, fingerprint VARCHAR,
        spec BLOB, snapshot BLOB NOT NULL
    );
    CREATE TABLE audit (
        task_id VARCHAR NOT NULL, at_ns BIGINT NOT NULL, event VARCHAR NOT NULL,
        from_state VARCHAR NOT NULL, to_state VARCHAR NOT NULL, cause VARCHAR
    );
    """,
)

_KINDS: Final = {"str": "VARCHAR", "int": "BIGINT", "float": "DOUBLE", "bytes": "BLOB"}


def _insert(table: str, row_type: type[TaskRow] | type[AuditRow]) -> str:
    """One statement for any number of rows, given as one list a column: a hundred rows cost little
    more than one, where a statement a row costs a hundred times as much."""
    columns = [
        f"unnest(?::{_KINDS[str(field.type).removesuffix(' | None')]}[])"
        for field in fields(row_type)
    ]
    return f"INSERT INTO {table} SELECT {', '.join(columns)}"


def _insert_one(table: str, row_type: type[TaskRow] | type[AuditRow]) -> str:
    """The same for a single row, at a third of the cost: nothing has to be unnested."""
    return f"INSERT INTO {table} VALUES ({', '.join('?' for _ in fields(row_type))})"


INSERT_TASK: Final = _insert_one("tasks", TaskRow)
INSERT_AUDIT_ROW: Final = _insert_one("audit", AuditRow)
INSERT_TASKS: Final = _insert("tasks", TaskRow)
INSERT_AUDIT: Final = _insert("audit", AuditRow)


def migrate(connection: duckdb.DuckDBPyConnection) -> None:
    """Brings the tables up to date. StartupError when a later version of the program made them."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (number BIGINT, applied_at TIMESTAMP)"
    )
    found = connection.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchone()
    done = int(found[0]) if found else 0
    if done > len(MIGRATIONS):
        raise StartupError(
            "the database was made by a later version of Elwift; install that version,"
            " or choose another --data-dir"
        )
    for number, statements in enumerate(MIGRATIONS[done:], done + 1):
        connection.execute("BEGIN")
        connection.execute(statements)
        connection.execute("INSERT INTO migrations VALUES (?, now()::TIMESTAMP)", [number])
        connection.execute("COMMIT")
        connection.execute("CHECKPOINT")
