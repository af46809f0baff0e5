from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import duckdb
import pytest

from edge.storage.database import Database, RowsRefused, fold_at_bytes
from edge.storage.unfinished import pages
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


@pytest.mark.parametrize(
    ("file_mib", "log_mib"), [(0, 16), (64, 16), (65, 16.25), (1_024, 256), (1_000_000, 256)]
)
def test_how_long_a_log_gets(file_mib: int, log_mib: float) -> None:
    assert fold_at_bytes(file_mib << 20) == int(log_mib * 2**20)


def test_long_requests_fit_a_short_memory(tmp_path: Path) -> None:
    """2,048 rows are folded in at a time: of these 120 MB, with 48 MiB for all else."""
    database = Database(tmp_path / "edge.duckdb", memory_mib_max=48)
    rng = Random(1)
    folds = 0
    for start in range(0, 400, 20):
        numbers = range(start, start + 20)
        spec = {number: rng.randbytes(150_000).hex().encode() for number in numbers}
        database.append([task_row(number, spec=spec[number]) for number in numbers])
        folds += database.fold_log()
    assert folds > 2
    assert database.ask("SELECT current_setting('memory_limit')") == [("48.0 MiB",)]
    database.close()
    database = Database(tmp_path / "edge.duckdb", memory_mib_max=48)
    found = [len(task.spec) for page in pages(database.scans.rows) for task in page]
    assert found == [300_000] * 400
    database.close()


def test_a_request_larger_than_the_memory_is_written_at_the_second_try(tmp_path: Path) -> None:
    database = Database(tmp_path / "edge.duckdb", memory_mib_max=32)
    row = task_row(1, spec=bytes(40_000_000))
    with pytest.raises(duckdb.OutOfMemoryException):
        database.append([row])
    database.append([row])
    ((size,),) = database.ask("SELECT octet_length(spec) FROM journal")
    assert size == 40_000_000
    database.close()
