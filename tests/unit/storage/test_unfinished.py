"""The pages of what has not ended: whole, in order, and no larger than there is memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from edge.storage import queries
from edge.storage.database import Database
from edge.storage.unfinished import PAGE_BYTES, PAGE_TASKS_FIRST, PAGE_TASKS_MAX, Rows, pages
from tests.support.rows import task_row, uid


def waiting(sizes: Sequence[int], memory_bytes: int = 1 << 62) -> Rows:
    """A database with waiting tasks whose requests have these sizes, which has so much memory for
    those of one answer."""

    def rows(sql: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        if sql == queries.UNFINISHED:
            return [(uid(n), 1, "available", 0, n, n) for n in range(len(sizes))]
        assert sql == queries.WIDE
        (numbers,) = values
        assert isinstance(numbers, list)
        if sum(sizes[number] for number in numbers) > memory_bytes:
            raise duckdb.OutOfMemoryException("failed to pin block")
        return [(number, uid(number), "ada", bytes(sizes[number]), b"") for number in numbers]

    return rows


def read(rows: Rows, tasks: int) -> list[list[int]]:
    """The sizes of the requests on each page; all tasks are there once and in their order."""
    found = list(pages(rows))
    assert [task.task_id for page in found for task in page] == [uid(n) for n in range(tasks)]
    return [[len(task.spec) for task in page] for page in found]


def test_pages_of_short_requests_grow_to_their_bound() -> None:
    found = [len(page) for page in read(waiting([100] * 5_000), 5_000)]
    assert found[0] == PAGE_TASKS_FIRST
    assert max(found) == PAGE_TASKS_MAX


def test_pages_of_long_requests_are_as_large_as_is_wanted() -> None:
    found = read(waiting([1_000_000] * 100), 100)
    assert [len(page) for page in found[1:-1]] == [PAGE_BYTES // 1_000_000] * (len(found) - 2)


def test_what_there_is_no_memory_for_is_read_by_fewer() -> None:
    found = read(waiting([100] * 2_000 + [1_000_000] * 100, memory_bytes=20_000_000), 2_100)
    assert max(sum(page) for page in found) <= 20_000_000


def test_a_single_one_that_is_too_long_is_said() -> None:
    with pytest.raises(duckdb.OutOfMemoryException):
        list(pages(waiting([100, 1_000], memory_bytes=500)))


def test_memory_for_it_is_asked_for_first() -> None:
    memory_bytes = [500]

    def rows(sql: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        return waiting([100, 3_000], memory_bytes[0])(sql, values)

    def more() -> bool:
        memory_bytes[0] *= 4
        return True

    assert [len(page) for page in pages(rows, more)] == [1, 1]
    assert memory_bytes == [8_000]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "edge.duckdb", memory_mib_max=128)


def test_the_newest_version_and_the_request_are_put_together(database: Database) -> None:
    database.append([task_row(1), task_row(2), task_row(3), task_row(4, 2, "available", spec=None)])
    database.append([task_row(2, 2, "completed"), task_row(1, 3, "executing"), task_row(1, 2)])
    ((first, third),) = pages(database.scans.rows)
    assert (first.task_id, first.version, first.state) == (uid(1), 3, "executing")
    assert (first.spec, first.snapshot) == (b'{"number":1}', b'{"version":3}')
    assert third.task_id == uid(3)


def test_rows_that_get_other_numbers_meanwhile_are_found(database: Database) -> None:
    for first in (0, 100, 200):
        # Into three of DuckDB's groups of rows; those that are nearly empty become one.
        database.ask(
            "INSERT INTO journal (task_id, version, state, created_ns, details)"
            " SELECT uuid(), 1, 'cancelled', 0, '{}' FROM range(90_000)"
        )
        database.append([task_row(number) for number in range(first, first + 100)])
    asked = []

    def rows(sql: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        asked.append(sql)
        return database.scans.rows(sql, values)

    found = []
    for page in pages(rows):
        found += [task.task_id for task in page]
        # A pruning, between two pages.
        database.transaction([("DELETE FROM journal WHERE state = 'cancelled'", ())])
        database.checkpoint()
        database.checkpoint()
    assert found == [uid(number) for number in range(300)]
    assert queries.GET in asked
