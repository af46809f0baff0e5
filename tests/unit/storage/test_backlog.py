from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.storage.backlog import ROW_BYTES, Backlog, Entry, pause_ms, without_superseded
from edge.storage.rows import AuditRow, Row, TaskRow
from tests.support.rows import audit_row, task_row


def backlog(rows_waiting_max: int = 10, rows_per_commit_max: int = 4) -> Backlog:
    return Backlog(
        rows_waiting_max=rows_waiting_max,
        bytes_waiting_max=1_000_000,
        rows_per_commit_max=rows_per_commit_max,
        bytes_per_commit_max=10 * ROW_BYTES,
    )


def entry(*numbers: int) -> Entry:
    return Entry([audit_row(number) for number in numbers])


def test_groups_keep_the_order_and_never_split_an_entry() -> None:
    line = backlog()
    entries = [entry(1, 2), entry(3), entry(4, 5), entry(6)]
    assert all(line.add(each) for each in entries)
    assert line.take() == entries[:2]
    assert line.take() == entries[2:]
    assert line.take() == []


def test_a_group_has_so_many_bytes() -> None:
    line = backlog(rows_per_commit_max=100)
    long = [Entry([task_row(number, snapshot=bytes(4 * ROW_BYTES))]) for number in range(3)]
    assert all(line.add(each) for each in long)
    assert line.take() == long[:1]
    assert line.take() == long[1:2]


def test_an_entry_larger_than_a_group_goes_alone() -> None:
    line = backlog()
    large = entry(*range(9))
    line.add(large)
    line.add(entry(1))
    assert line.take() == [large]


def test_it_is_bounded_and_what_is_being_written_still_counts() -> None:
    line = backlog(rows_waiting_max=3)
    assert line.add(entry(1, 2))
    assert not line.add(entry(3, 4))
    group = line.take()
    assert not line.add(entry(3, 4))
    line.settled(group)
    assert (line.rows, line.size_bytes) == (0, 0)
    assert line.add(entry(3, 4))


def test_bytes_are_bounded_too() -> None:
    line = Backlog(
        rows_waiting_max=10,
        bytes_waiting_max=2 * ROW_BYTES,
        rows_per_commit_max=10,
        bytes_per_commit_max=ROW_BYTES,
    )
    assert line.add(entry(1))
    assert not line.add(Entry([task_row(2, snapshot=b"x" * ROW_BYTES)]))
    assert line.add(entry(3))


def test_an_empty_backlog_takes_whatever_comes() -> None:
    line = backlog(rows_waiting_max=3)
    assert line.add(entry(*range(7)))
    assert not line.add(entry(8))


def test_what_is_put_back_comes_first() -> None:
    line = backlog()
    first, second, third = entry(1), entry(2), entry(3)
    line.add(first)
    line.add(second)
    group = line.take()
    line.add(third)
    line.put_back(group)
    assert line.take_all() == [first, second, third]
    assert line.rows == 3


def test_done_is_handed_out_once() -> None:
    done = list[object]().append
    waiting = Entry([], done)
    assert waiting.take_done() is done
    assert waiting.take_done() is None


def test_replaced_versions_go_and_first_ones_stay() -> None:
    rows: list[Row] = [task_row(1), audit_row(1), task_row(1, 2), task_row(1, 3), task_row(2, 7)]
    kept = without_superseded([Entry([row]) for row in rows])
    assert [row for each in kept for row in each.rows] == [rows[0], rows[1], rows[3], rows[4]]


def test_who_waits_is_kept_even_when_the_rows_are_replaced() -> None:
    done = list[object]().append
    kept = without_superseded([Entry([task_row(1, 2)], done), Entry([task_row(1, 3)])])
    assert [(len(each.rows), each.done) for each in kept] == [(0, done), (1, None)]


rows_of_tasks = st.builds(task_row, st.integers(1, 4), st.integers(1, 6))
any_rows = st.one_of(rows_of_tasks, st.builds(audit_row, st.integers(1, 4)))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(any_rows, min_size=1, max_size=4), max_size=12))
def test_thinning_loses_no_latest_version_no_request_and_no_audit(batches: list[list[Row]]) -> None:
    before = [row for batch in batches for row in batch]
    after = [
        row for each in without_superseded([Entry(batch) for batch in batches]) for row in each.rows
    ]

    def essence(rows: list[Row]) -> tuple[object, ...]:
        tasks = [row for row in rows if isinstance(row, TaskRow)]
        latest = {
            row.task_id: max(r.version for r in tasks if r.task_id == row.task_id) for row in tasks
        }
        requests = {row.task_id for row in tasks if row.spec is not None}
        return latest, requests, [row for row in rows if isinstance(row, AuditRow)]

    assert essence(after) == essence(before)
    assert len(after) <= len(before)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.one_of(st.integers(1, 5), st.sampled_from(["take", "fail", "settle"])), max_size=40)
)
def test_counts_are_those_of_what_is_there(steps: list[int | str]) -> None:
    line = backlog(rows_waiting_max=12)
    taken: list[Entry] = []
    accepted: list[Entry] = []
    for step in steps:
        if isinstance(step, int):
            new = entry(*range(step))
            if line.add(new):
                accepted.append(new)
        elif step == "take" and not taken:
            taken = line.take()
        elif step == "fail":
            line.put_back(taken)
            taken = []
        elif step == "settle":
            line.settled(taken)
            accepted = [each for each in accepted if each not in taken]
            taken = []
        assert line.rows == sum(len(each.rows) for each in accepted)
        assert line.rows <= 12
    line.put_back(taken)
    assert line.take_all() == accepted


@pytest.mark.parametrize(("failures", "expected"), [(1, 100), (2, 500), (3, 2_000), (99, 2_000)])
def test_pauses_grow_and_the_last_repeats(failures: int, expected: int) -> None:
    assert pause_ms(failures, (100, 500, 2_000)) == expected
