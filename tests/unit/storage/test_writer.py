from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import duckdb
import pytest

from edge.errors import StorageError
from edge.storage.backlog import Backlog
from edge.storage.database import Database
from edge.storage.rows import Row
from edge.storage.writer import Report, Writer
from tests.support.rows import task_row

WAIT_S = 20


class Disk(Database):
    """A real database whose disk can be made slow or bad."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, memory_mib_max=256)
        self.path = path
        self.trouble: Callable[[], object] = int
        self.groups: list[int] = []

    def append(self, rows: Sequence[Row]) -> None:
        self.groups.append(len(rows))
        self.trouble()
        super().append(rows)

    def versions(self) -> list[int]:
        return [int(row[0]) for row in self.lookups.rows("SELECT version FROM journal ORDER BY 1")]


class Bench:
    """A writer and what it reports."""

    def __init__(self, path: Path) -> None:
        self.disk = Disk(path)
        self.reports: queue.Queue[Report] = queue.Queue()
        backlog = Backlog(
            rows_waiting_max=5_000,
            bytes_waiting_max=10_000_000,
            rows_per_commit_max=100,
            bytes_per_commit_max=5_000_000,
        )
        self.writer = Writer(self.disk, backlog, self.reports.put, (1, 2))

    def report(self) -> Report:
        return self.reports.get(timeout=WAIT_S)

    def until(self, wanted: Callable[[Report], object]) -> Report:
        while not wanted(report := self.report()):
            pass
        return report


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "edge.duckdb")
    yield bench
    bench.disk.trouble = int
    bench.writer.stop()
    bench.disk.close()


def told(_error: StorageError | None) -> None:
    """Somebody who waits; the reports are looked at instead."""


def fail() -> None:
    raise duckdb.IOException("No space left on device")


def test_rows_that_nobody_waits_for_share_the_next_commit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.storage.writer._GATHER_S", 3_600.0)
    assert bench.writer.put([task_row(1)], None)
    assert bench.writer.put([task_row(2)], None)
    assert bench.writer.put([task_row(3)], told)
    report = bench.report()
    assert (report.rows, report.done) == (3, [told])
    # An end does not wait for them either.
    assert bench.writer.put([task_row(4)], None)
    assert bench.writer.stop() == 0
    assert bench.report().rows == 1


def test_but_not_for_long(bench: Bench) -> None:
    assert bench.writer.put([task_row(1)], None)
    assert bench.report().rows == 1
    assert bench.writer.put([task_row(2)], None)
    assert bench.report().rows == 1


def test_one_write_is_one_commit(bench: Bench) -> None:
    assert bench.writer.put([task_row(1), task_row(2)], told)
    report = bench.report()
    assert (report.rows, report.done, report.error) == (2, [told], None)
    assert report.rows_waiting == 0
    assert report.recovered_rows is None
    assert bench.disk.versions() == [1, 1]


def test_what_gathers_during_a_commit_is_the_next_group(bench: Bench) -> None:
    entered, gate = threading.Event(), threading.Event()

    def slow() -> None:
        entered.set()
        assert gate.wait(WAIT_S)

    bench.disk.trouble = slow
    bench.writer.put([task_row(1)], None)
    assert entered.wait(WAIT_S)
    for version in range(2, 12):
        bench.writer.put([task_row(1, version)], told)
    assert bench.writer.rows_waiting == 11
    gate.set()
    assert bench.report().rows == 1
    assert len(bench.report().done) == 10
    assert bench.disk.groups == [1, 10]


def test_a_failing_disk_is_told_at_once_and_tried_again(bench: Bench) -> None:
    bench.disk.trouble = fail
    bench.writer.put([task_row(1)], told)
    report = bench.until(lambda each: each.error)
    assert report.done == [told]
    assert "No space left" in str(report.error)
    # Who comes now does not have to wait for the next try, and is told once.
    bench.writer.put([task_row(2, 2)], told)
    assert bench.until(lambda each: each.done).error is not None
    bench.disk.trouble = int
    report = bench.until(lambda each: each.error is None)
    assert (report.done, report.recovered_rows) == ([], 2)
    if report.rows_waiting:
        # The try that succeeded had begun before the second row came.
        report = bench.report()
    assert (report.done, report.rows_waiting) == ([], 0)
    assert bench.disk.versions() == [1, 2]
    bench.writer.put([task_row(3, 3)], told)
    report = bench.report()
    assert (report.done, report.recovered_rows) == ([told], None)


def test_a_long_outage_keeps_only_what_counts(bench: Bench) -> None:
    bench.disk.trouble = fail
    for version in range(1, 4_001):
        assert bench.writer.put([task_row(1, version)], None)
    assert bench.until(lambda each: each.error and each.rows_waiting < 4_000).rows_waiting <= 2_001
    bench.disk.trouble = int
    bench.writer.stop()
    assert bench.disk.versions()[0] == 1
    assert bench.disk.versions()[-1] == 4_000


def test_a_dead_database_is_opened_again(bench: Bench) -> None:
    bench.disk._root.close()
    bench.writer.put([task_row(1)], None)
    assert bench.until(lambda each: each.rows).recovered_rows == 1
    assert bench.disk.versions() == [1]


def test_a_row_that_cannot_be_stored_does_not_hold_up_others(bench: Bench) -> None:
    entered, gate = threading.Event(), threading.Event()

    def slow() -> None:
        entered.set()
        assert gate.wait(WAIT_S)

    bench.disk.trouble = slow
    bench.writer.put([task_row(1)], None)
    assert entered.wait(WAIT_S)
    bench.writer.put([task_row(2, 2)], told)
    bench.writer.put([task_row(3, 3, client="\ud800")], told)
    bench.writer.put([task_row(4, 4)], told)
    gate.set()
    report = bench.until(lambda each: each.refused)
    assert report.rows == 2
    assert report.error is None
    ((refused, error),) = report.refused
    assert refused is told
    assert "cannot be stored" in str(error)
    assert bench.disk.versions() == [1, 2, 4]
    assert bench.writer.rows_waiting == 0


def test_a_disk_that_fails_between_bad_rows_repeats_nothing(bench: Bench) -> None:
    calls: list[int] = []

    def trouble() -> None:
        calls.append(1)
        if len(calls) == 3:  # the group, the first row alone, then this
            fail()

    bench.disk.trouble = trouble
    rows = [task_row(1), task_row(2, 2, client="\ud800"), task_row(3, 3)]
    with bench.writer._condition:
        for row in rows:
            bench.writer.put([row], told)
    bench.until(lambda each: each.refused)
    assert bench.disk.versions() == [1, 3]
    assert bench.writer.rows_waiting == 0


def test_an_errand_runs_between_commits_and_keeps_its_errors(bench: Bench) -> None:
    assert bench.writer.call(lambda: threading.current_thread().name).result(WAIT_S) == (
        "store-writer"
    )
    failed = bench.writer.call(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        failed.result(WAIT_S)
    bench.writer.put([task_row(1)], None)
    assert bench.report().rows == 1


def test_a_stop_writes_what_waits(bench: Bench) -> None:
    for version in range(1, 301):
        bench.writer.put([task_row(1, version)], None)
    assert bench.writer.stop() == 0
    assert len(bench.disk.versions()) == 300
    assert not bench.writer.put([task_row(1)], None)
    with pytest.raises(StorageError, match="closed"):
        bench.writer.call(int).result(WAIT_S)


def test_a_stop_does_not_wait_for_a_disk_that_refuses(bench: Bench) -> None:
    bench.disk.trouble = fail
    bench.writer.put([task_row(1)], None)
    bench.until(lambda each: each.error)
    assert bench.writer.stop() == 1


def test_a_defect_ends_the_thread_loudly(bench: Bench) -> None:
    def defect() -> None:
        raise KeyError("a defect")

    bench.disk.trouble = defect
    bench.writer.put([task_row(1)], told)
    report = bench.report()
    assert report.dead
    assert report.done == [told]
    assert "defect" in str(report.error)
    assert not bench.writer.put([task_row(2)], None)


def test_the_log_is_folded_in_behind_a_commit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.storage.database.fold_at_bytes", lambda _file_bytes: 1)
    log = bench.disk.path.with_name(f"{bench.disk.path.name}.wal")
    assert bench.writer.put([task_row(1)], told)
    assert bench.report().rows == 1
    bench.writer.stop()
    assert not log.exists()
    assert bench.disk.versions() == [1]


def test_a_log_that_cannot_be_folded_in_harms_no_rows(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was committed stays so, the database is opened anew, and goes on."""
    monkeypatch.setattr("edge.storage.database.fold_at_bytes", lambda _file_bytes: 1)
    whole = bench.disk.checkpoint

    def fail_for_good() -> None:
        bench.disk.ask("SET debug_checkpoint_abort = 'before_header'")
        whole()

    monkeypatch.setattr(bench.disk, "checkpoint", fail_for_good)
    assert bench.writer.put([task_row(1)], told)
    assert (bench.report().rows, bench.report().fold_error is None) == (1, False)
    monkeypatch.setattr(bench.disk, "checkpoint", whole)
    assert bench.writer.put([task_row(1, 2)], told)
    assert bench.report().rows == 1
    assert bench.disk.versions() == [1, 2]


def test_a_database_that_cannot_be_opened_anew_is_tried_again_though_nothing_is_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever would write asks it first, and is refused for as long as it is closed."""
    monkeypatch.setattr("edge.storage.database.fold_at_bytes", lambda _file_bytes: 1)
    whole, revive, tries = bench.disk.checkpoint, bench.disk.revive, iter(range(3))
    open_again = threading.Event()

    def fail_for_good() -> None:
        bench.disk.ask("SET debug_checkpoint_abort = 'before_header'")
        whole()

    def revive_later() -> None:
        if next(tries, None) is not None:
            fail()
        revive()
        open_again.set()

    monkeypatch.setattr(bench.disk, "checkpoint", fail_for_good)
    monkeypatch.setattr(bench.disk, "revive", revive_later)
    assert bench.writer.put([task_row(1)], told)
    assert open_again.wait(WAIT_S)
    errors = [str(bench.until(lambda report: report.error).error) for _ in range(3)]
    assert all("cannot be opened anew" in error for error in errors)
    assert bench.disk.versions() == [1]
