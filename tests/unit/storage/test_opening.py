"""What is set aside, what is left where it is, and what an admin hears."""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from edge.clock import ManualClock
from edge.errors import StartupError
from edge.storage import opening
from edge.storage.memory import STEP
from edge.storage.opening import Opened, lock, open_database, set_aside
from edge.storage.verdict import WAYS_OUT, Found, Verdict
from tests.support import damage
from tests.support.damage import TASKS, fill, fill_as_before, fill_with_long_requests, log_of
from tests.support.rows import open_store, unfinished

WALL_NS = ManualClock().wall_ns()
MEMORY_MIB = 128


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "edge.duckdb"


async def opened(path: Path, memory_mib_max: int = MEMORY_MIB) -> Opened:
    found = await open_database(
        path, ManualClock(), memory_mib_max=memory_mib_max, silence_ms=60_000
    )
    found.database.close()
    return found


def tasks_in(path: Path) -> int:
    with duckdb.connect(str(path)) as connection:
        ((count,),) = connection.execute(
            "SELECT count(*) FROM journal WHERE version = 1"
        ).fetchall()
        return int(count)


def files(path: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in path.parent.iterdir()}


async def test_a_good_file_is_opened_with_its_log(path: Path) -> None:
    fill(path)
    assert (await opened(path)).kept is None
    assert tasks_in(path) == 2 * TASKS


async def test_a_file_that_is_not_there_is_made(path: Path) -> None:
    assert (await opened(path)).kept is None
    assert tasks_in(path) == 0


@pytest.mark.parametrize("hurt", [damage.cut, damage.flip_a_bit_in_each_block, damage.empty])
async def test_an_unreadable_file_is_kept_with_its_log_and_a_new_one_begun(
    path: Path, hurt: Callable[[Path], None]
) -> None:
    fill(path)
    hurt(path)
    before = files(path)
    kept = (await opened(path)).kept
    assert kept is not None
    assert (kept.path, bool(kept.reason)) == (path, True)
    assert kept.kept_as.read_bytes() == before[path.name]
    assert log_of(kept.kept_as).read_bytes() == before[log_of(path).name]
    assert tasks_in(path) == 0


async def test_a_log_without_its_file_is_kept(path: Path) -> None:
    log_of(path).write_bytes(b"the log")
    kept = (await opened(path)).kept
    assert kept is not None
    assert kept.path == log_of(path)
    assert kept.kept_as.name.endswith(".wal")
    assert kept.kept_as.read_bytes() == b"the log"


@pytest.mark.parametrize("hurt", [damage.garbage, damage.zero, damage.behead])
async def test_a_log_that_is_none_is_kept_and_the_file_goes_on(
    path: Path, hurt: Callable[[Path], None]
) -> None:
    """DuckDB passes over it in silence, and begins another one in its place."""
    fill(path)
    hurt(log_of(path))
    log = log_of(path).read_bytes()
    kept = (await opened(path)).kept
    assert kept is not None
    assert kept.path == log_of(path)
    assert kept.kept_as.read_bytes() == log
    assert tasks_in(path) == TASKS


@pytest.mark.parametrize("length", [0, 1, 3, 10])
async def test_a_log_that_was_just_being_begun_is_no_matter(path: Path, length: int) -> None:
    fill(path)
    log_of(path).write_bytes(log_of(path).read_bytes()[:length])
    assert (await opened(path)).kept is None
    assert tasks_in(path) == TASKS


async def test_the_log_of_another_file_is_for_the_admin_to_see_to(path: Path) -> None:
    fill(path)
    other = path.with_name("other.duckdb")
    fill(other, 1_000)
    log_of(other).replace(log_of(path))
    before = files(path)
    with pytest.raises(StartupError, match=r"does not match .*move the log away"):
        await opened(path)
    assert files(path) == before


async def test_more_waits_than_there_is_memory_for(path: Path) -> None:
    fill_with_long_requests(path, 260, 300_000)
    assert (await opened(path, 48)).kept is None
    assert tasks_in(path) == 260


async def test_a_file_from_before_gets_the_memory_that_it_takes(path: Path) -> None:
    fill_as_before(path, 200, 300_000)
    store = await open_store(path, memory_mib_max=48)
    assert store.quarantined is None
    assert [len(task.spec) for task in await unfinished(store)] == [300_000] * 200
    await store.close()


class Looks:
    """What looking at a file comes to, time after time; the last repeats."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *verdicts: Verdict) -> None:
        self.verdicts = list(verdicts)
        self.memory_mib_max: list[int] = []
        monkeypatch.setattr(opening, "examine", self._examine)

    async def _examine(self, _path: Path, _clock: object, **limits: int) -> Found:
        self.memory_mib_max.append(limits["memory_mib_max"])
        verdict = self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]
        return Found(verdict, "because")


@pytest.mark.parametrize("verdict", set(WAYS_OUT) - {"crashed"})
async def test_a_file_that_may_be_good_is_left_where_it_is(
    path: Path, monkeypatch: pytest.MonkeyPatch, verdict: Verdict
) -> None:
    fill(path)
    before = files(path)
    Looks(monkeypatch, verdict)
    with pytest.raises(StartupError, match=r"because; .*, or choose another --data-dir"):
        await opened(path)
    assert files(path) == before


async def test_what_cannot_be_read_for_want_of_memory_is_read_with_more(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(path)
    looks = Looks(monkeypatch, "no_memory", "good")
    assert (await opened(path)).kept is None
    assert looks.memory_mib_max == [MEMORY_MIB, STEP * MEMORY_MIB]


async def test_more_than_the_machine_has_there_is_not(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(path)
    looks = Looks(monkeypatch, "no_memory")
    with pytest.raises(StartupError, match="more memory than this machine gives"):
        await opened(path)
    assert looks.memory_mib_max[-1] == 0, "as much as DuckDB takes by itself"


async def test_a_crash_counts_the_second_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path)
    Looks(monkeypatch, "crashed", "good")
    assert (await opened(path)).kept is None
    Looks(monkeypatch, "crashed")
    assert (await opened(path)).kept is not None


async def test_a_crash_for_want_of_memory_does_not_count(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(path)
    Looks(monkeypatch, "no_memory", "crashed")
    with pytest.raises(StartupError, match="crashed once and not again"):
        await opened(path)


def test_what_is_set_aside_never_takes_the_place_of_another(path: Path) -> None:
    names = []
    for number in range(3):
        path.write_bytes(b"%d" % number)
        names.append(set_aside(path, [path], WALL_NS, "").kept_as)
    assert len(set(names)) == 3
    assert [name.read_bytes() for name in names] == [b"0", b"1", b"2"]
    assert ".unreadable-2025" in names[0].name


def refusal(number: int) -> Callable[..., Any]:
    def refuse(*_arguments: object, **_options: object) -> Any:
        raise OSError(number, errno.errorcode[number])

    return refuse


def test_what_cannot_be_set_aside_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"")
    monkeypatch.setattr(Path, "rename", refusal(errno.EROFS))
    with pytest.raises(StartupError, match=r"cannot be read \(it is bad\).*EROFS.*move it away"):
        set_aside(path, [path], WALL_NS, "it is bad")


def test_who_has_the_lock_is_named(path: Path) -> None:
    with lock(path), pytest.raises(StartupError, match=r"in use by another node \(process \d+\)"):
        lock(path)
    lock(path).close()


def test_a_folder_that_cannot_be_written_is_for_the_admin_to_change(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "open", refusal(errno.EROFS))
    with pytest.raises(StartupError, match=r"cannot write in .*EROFS.*choose another"):
        lock(path)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_that_knows_no_locks_is_not_another_node(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(fcntl, "flock", refusal(number))
    with pytest.raises(StartupError, match=r"cannot lock .*choose another"):
        lock(path)
