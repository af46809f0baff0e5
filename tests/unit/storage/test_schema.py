from __future__ import annotations

import duckdb
import pytest

from edge.storage.schema import MIGRATIONS, TABLE, LaterVersion, applied, migrate, values
from tests.support.rows import audit_row, task_row


def test_a_new_file_is_migrated_and_a_second_time_does_nothing() -> None:
    with duckdb.connect() as connection:
        assert applied(connection) == 0
        migrate(connection)
        migrate(connection)
        assert applied(connection) == len(MIGRATIONS)
        numbers = connection.execute("SELECT number FROM migrations ORDER BY 1").fetchall()
        assert numbers == [(number,) for number in range(1, len(MIGRATIONS) + 1)]


def test_a_file_from_the_future_is_left_alone() -> None:
    with duckdb.connect() as connection:
        migrate(connection)
        connection.execute("INSERT INTO migrations VALUES (999, NULL)")
        with pytest.raises(LaterVersion, match="999"):
            migrate(connection)


def test_there_is_no_index() -> None:
    with duckdb.connect() as connection:
        migrate(connection)
        for facts in ("duckdb_indexes()", "duckdb_constraints()"):
            found = connection.execute(f"SELECT * FROM {facts}").fetchall()
            assert not [row for row in found if "PRIMARY" in str(row) or "UNIQUE" in str(row)]
        assert connection.execute("SELECT count(*) FROM duckdb_indexes()").fetchall() == [(0,)]


@pytest.mark.parametrize("row", [task_row(1, finished_ns=2, queued_ms=0.5), audit_row(1)])
def test_values_fit_the_columns(row: object) -> None:
    with duckdb.connect() as connection:
        migrate(connection)
        columns = connection.execute(f"DESCRIBE {TABLE}").fetchall()
        assert len(values(row)) == len(columns)  # type: ignore[arg-type]  # both kinds of rows
