from __future__ import annotations

import errno
import json
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import pytest

from edge.clock import ManualClock
from edge.errors import StartupError
from edge.storage.database import Database
from edge.storage.opening import Found, Opened, lock, open_database, probe, set_aside
from edge.storage.probe import judge
from tests.support.rows import task_row

WALL_NS = ManualClock().wall_ns()
PROBE_MS = 60_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "edge.duckdb"


def fill(path: Path) -> None:
    database = Database(path, memory_mib_max=256)
    database.append([task_row(number) for number in range(100)])
    database.checkpoint()
    database.close()


def opened(path: Path) -> Opened:
    found = open_database(path, WALL_NS, memory_mib_max=256, probe_ms=PROBE_MS)
    found.database.close()
    return found


def probe_it(path: Path) -> Found:
    return probe(path, memory_mib_max=256, probe_ms=PROBE_MS)


def test_a_good_file_is_good(path: Path) -> None:
    fill(path)
    assert probe_it(path) == Found("good")
    assert opened(path).kept_as is None


def test_a_truncated_file_is_kept_with_its_log_and_a_new_one_begun(path: Path) -> None:
    fill(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    log = path.with_name(f"{path.name}.wal")
    log.write_bytes(b"the log")
    found = opened(path)
    assert found.kept_as is not None
    assert found.reason
    assert found.kept_as.read_bytes() == whole[: len(whole) // 2]
    assert found.kept_as.with_name(f"{found.kept_as.name}.wal").read_bytes() == b"the log"
    assert not log.exists()
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("SELECT count(*) FROM journal").fetchall() == [(0,)]


def test_a_log_without_its_file_is_kept(path: Path) -> None:
    path.with_name(f"{path.name}.wal").write_bytes(b"the log")
    found = opened(path)
    assert found.kept_as is not None
    assert found.kept_as.with_name(f"{found.kept_as.name}.wal").read_bytes() == b"the log"


def test_what_is_set_aside_never_takes_the_place_of_another(path: Path) -> None:
    names = []
    for number in range(3):
        path.write_bytes(b"%d" % number)
        names.append(set_aside(path, WALL_NS))
    assert len(set(names)) == 3
    assert [name.read_bytes() for name in names] == [b"0", b"1", b"2"]
    assert ".unreadable-2025" in names[0].name


def test_who_has_the_lock_is_named(path: Path) -> None:
    with lock(path), pytest.raises(StartupError, match=r"in use by another node \(process \d+\)"):
        lock(path)
    lock(path).close()


def test_a_folder_that_cannot_be_written_is_for_the_admin_to_change(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_options: object) -> Any:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(StartupError, match=r"cannot write in .*Read-only.*choose another"):
        lock(path)


class Child:
    """What the process that looks at the file comes to."""

    def __init__(self, returncode: int, stdout: str = "", stderr: str = "") -> None:
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr

    def __call__(self, *_arguments: object, **_options: object) -> Child:
        return self


@pytest.mark.parametrize(
    ("child", "verdict", "reason"),
    [
        (Child(-6), "unreadable", "crashed with signal 6"),
        (Child(-11), "unreadable", "crashed with signal 11"),
        (Child(-9), "not_looked_at", "ended with -9: no reason given"),
        (Child(1, stderr="MemoryError\n"), "not_looked_at", "ended with 1: MemoryError"),
        (Child(0, stdout=json.dumps({"verdict": "in_use", "reason": "x"})), "in_use", "x"),
    ],
)
def test_only_a_crash_of_its_own_making_condemns_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, child: Child, verdict: str, reason: str
) -> None:
    monkeypatch.setattr(subprocess, "run", child)
    found = probe_it(path)
    assert found.verdict == verdict
    assert reason in found.reason


def test_a_file_whose_opening_hangs_is_unreadable(path: Path) -> None:
    fill(path)
    found = probe(path, memory_mib_max=256, probe_ms=1)
    assert found == Found("unreadable", "opening it took longer than 1 ms")


@pytest.mark.parametrize("verdict", ["in_use", "not_allowed", "no_space", "not_looked_at"])
def test_a_file_that_may_be_good_is_left_where_it_is(
    path: Path, monkeypatch: pytest.MonkeyPatch, verdict: Any
) -> None:
    fill(path)
    monkeypatch.setattr("edge.storage.opening.probe", lambda *_a, **_k: Found(verdict, "because"))
    with pytest.raises(StartupError, match=r"because; .*, or choose another --data-dir"):
        opened(path)
    assert path.exists()


@pytest.mark.parametrize(
    ("message", "verdict"),
    [
        ("IO Error: Could not set lock on file: Conflicting lock is held", "in_use"),
        ("IO Error: Cannot open file: Permission denied", "not_allowed"),
        ("IO Error: Cannot open file: Read-only file system", "not_allowed"),
        ("IO Error: could not write: No space left on device", "no_space"),
        ("IO Error: Disk quota exceeded", "no_space"),
        ("Serialization Error: database file with version number 99", "later_version"),
        ("IO Error: Corrupt database file: checksum does not match", "unreadable"),
    ],
)
def test_duckdbs_words_are_understood(message: str, verdict: str) -> None:
    assert judge(message) == verdict
