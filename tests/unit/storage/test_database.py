from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from edge.storage.database import Database, RowsRefused
from tests.support.rows import audit_row, task_row, uid

LISTED = "SELECT task_id::VARCHAR FROM journal ORDER BY 1"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "edge.duckdb", memory_mib_max=256)
    yield database
    database.close()


def stored(database: Database) -> list[str]:
    return [str(row[0]) for row in database.lookups.rows(LISTED)]


def test_rows_are_appended_and_read(database: Database) -> None:
    database.append([task_row(1), audit_row(2)])
    assert stored(database) == [uid(1), uid(2)]


@pytest.mark.parametrize(
    "bad",
    [
        task_row(9, client="\ud800"),
        task_row(9, version=2**70),
        task_row(9, task_id="no uuid"),
        task_row(9, snapshot=object()),
        task_row(9, model="\ud800"),
        task_row(9, client=None, created_ns=None),
        audit_row(9, cause=object()),
    ],
    ids=["surrogate", "large", "id", "object", "surrogate in details", "null", "no JSON"],
)
def test_rows_that_do_not_fit_are_refused_and_leave_nothing(
    database: Database, bad: object
) -> None:
    with pytest.raises(RowsRefused):
        database.append([task_row(1), bad])  # type: ignore[list-item]  # some are of wrong types
    assert stored(database) == []
    database.append([task_row(2)])
    assert stored(database) == [uid(2)]


def test_it_comes_back_to_life(database: Database) -> None:
    database.append([task_row(1)])
    database._root.close()
    assert not database.alive()
    with pytest.raises(duckdb.Error):
        database.append([task_row(2)])
    database.revive()
    assert database.alive()
    database.append([task_row(3)])
    assert stored(database) == [uid(1), uid(3)]


def test_a_revival_that_fails_may_be_tried_again(database: Database, tmp_path: Path) -> None:
    database.append([task_row(1)])
    file, away = tmp_path / "edge.duckdb", tmp_path / "away"
    database.checkpoint()
    file.rename(away)
    file.mkdir()
    with pytest.raises(duckdb.Error):
        database.revive()
    with pytest.raises(duckdb.Error):
        stored(database)
    file.rmdir()
    away.rename(file)
    database.revive()
    assert stored(database) == [uid(1)]


def test_a_transaction_is_whole_or_not_at_all(database: Database) -> None:
    database.append([task_row(number) for number in range(4)])
    with pytest.raises(duckdb.Error):
        database.transaction([("DELETE FROM journal", ()), ("DELETE FROM nowhere", ())])
    assert len(stored(database)) == 4
    changed = database.transaction(
        [("DELETE FROM journal WHERE created_ns > ?", (1,)), ("DELETE FROM journal", ())]
    )
    assert changed == [2, 2]
    database.append([task_row(7)])
    assert stored(database) == [uid(7)]
