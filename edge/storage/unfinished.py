"""All tasks that have not ended, page by page: what a start reads, and what is read of a file
before the node trusts it.

First the rows are found by their narrow columns, for all tasks at once; then what is wide is read
of some tasks at a time. There may be gigabytes of it, and neither DuckDB nor who asks can hold
them together: a page is about `PAGE_BYTES`, as well as that can be told from the page before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

import duckdb

from edge.storage import queries
from edge.storage.memory import is_out_of_memory
from edge.storage.rows import StoredTask

PAGE_BYTES: Final = 8 * 1024 * 1024
PAGE_TASKS_FIRST: Final = 32
PAGE_TASKS_MAX: Final = 2_048
"""DuckDB reads 2,048 rows at a time, and for each page all of these that have a row of it. With
pages of this size a hundred thousand small tasks take a second."""
GROWTH_MAX: Final = 4
"""How much larger than the one before a page may be: long requests may follow upon short ones."""

Rows: TypeAlias = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]
"""Runs a statement: all rows of its result."""

# Of a task: id, version, state, creation, first row, last row.
_Narrow: TypeAlias = tuple[str, int, str, int, int, int]

_GONE: Final = ("", "", None, b"")


def pages(
    rows: Rows, more_memory: Callable[[], bool] = lambda: False
) -> Iterator[list[StoredTask]]:
    """The tasks as last written, in the order in which they were accepted. `duckdb.Error` when they
    cannot be read, such as for want of memory for a single one; that is asked for first, and the
    answer is False when there is no more."""
    narrow: list[_Narrow] = rows(queries.UNFINISHED, ())
    # The next one is the last, so that what has been read can go.
    narrow.reverse()
    tasks = PAGE_TASKS_FIRST
    while narrow:
        tasks = min(tasks, len(narrow))
        try:
            page = _page(rows, narrow[-tasks:])
        except duckdb.Error as error:
            if not is_out_of_memory(error):
                raise
            if tasks > 1:
                tasks //= 2
            elif not more_memory():
                raise
            continue
        del narrow[-tasks:]
        size_bytes = sum(len(task.spec) + len(task.snapshot) for task in page)
        wanted = tasks * PAGE_BYTES // max(1, size_bytes)
        tasks = max(1, min(wanted, GROWTH_MAX * tasks, PAGE_TASKS_MAX))
        yield page


def _page(rows: Rows, narrow: list[_Narrow]) -> list[StoredTask]:
    numbers = sorted({number for *_, first, last in narrow for number in (first, last)})
    wide = {row[0]: row[1:] for row in rows(queries.WIDE, (numbers,))}
    page = []
    for task_id, version, state, created_ns, first, last in reversed(narrow):
        first_id, _, spec, _ = wide.get(first, _GONE)
        last_id, client, _, snapshot = wide.get(last, _GONE)
        if not first_id == last_id == task_id:
            # A pruning has given rows other numbers meanwhile.
            page += [StoredTask(*row) for row in rows(queries.GET, (task_id,))]
        elif spec is not None:
            page.append(StoredTask(task_id, version, state, created_ns, spec, snapshot, client))
    return page
