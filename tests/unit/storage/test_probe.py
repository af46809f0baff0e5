"""What is found in real files that were damaged in many ways, and in good ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from edge.storage.probe import look
from tests.support import damage
from tests.support.damage import fill, fill_as_before, fill_with_long_requests, log_of

MEMORY_MIB = 128


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("left") / "edge.duckdb"
    fill(path)
    return path


@pytest.fixture
def path(tmp_path: Path, left: Path) -> Path:
    for each in left.parent.iterdir():
        shutil.copy(each, tmp_path)
    return tmp_path / left.name


@pytest.mark.parametrize(
    "hurt",
    [
        damage.cut,
        damage.behead,
        damage.lose_headers,
        damage.flip_a_bit_in_each_block,
        damage.zero_a_page_of_each_block,
        damage.empty,
        damage.zero,
        damage.garbage,
    ],
)
def test_a_damaged_file_is_unreadable(path: Path, hurt: Callable[[Path], None]) -> None:
    hurt(path)
    found = look(path, MEMORY_MIB)
    assert found.verdict == "unreadable", found


def test_a_damaged_log_is_unreadable(path: Path) -> None:
    damage.flip_a_bit(log_of(path))
    assert look(path, MEMORY_MIB).verdict == "unreadable"


@pytest.mark.parametrize("hurt", [damage.cut, damage.garbage_behind, damage.empty])
def test_the_end_of_a_log_may_be_missing(path: Path, hurt: Callable[[Path], None]) -> None:
    """The power went while it was written: nobody has been told that the rest was there."""
    hurt(log_of(path))
    assert look(path, MEMORY_MIB).verdict == "good"


def test_the_log_of_another_file_says_nothing_against_this_one(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.duckdb"
    fill(other, 1_000)
    shutil.copy(log_of(other), log_of(path))
    assert look(path, MEMORY_MIB).verdict == "foreign_log"
    log_of(path).unlink()
    assert look(path, MEMORY_MIB).verdict == "good"


def test_neither_does_its_log_of_long_ago(path: Path) -> None:
    old = log_of(path).read_bytes()
    for _ in range(2):
        with duckdb.connect(str(path)) as connection:
            connection.execute("UPDATE probe SET probed_at = now()::TIMESTAMP")
            connection.execute("CHECKPOINT")
    log_of(path).write_bytes(old)
    assert look(path, MEMORY_MIB).verdict == "foreign_log"


def test_a_file_of_a_later_version_is_good_for_that(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO migrations VALUES (99, now()::TIMESTAMP)")
    assert look(path, MEMORY_MIB).verdict == "later_version"


def test_more_waits_than_there_is_memory_for(tmp_path: Path) -> None:
    path = tmp_path / "edge.duckdb"
    fill_with_long_requests(path, 260, 300_000)
    assert path.stat().st_size > 64_000_000
    assert look(path, 48).verdict == "good"


def test_a_file_from_before_takes_the_memory_that_it_takes(tmp_path: Path) -> None:
    """Compressed, 2,048 requests are one piece, which is unpacked to read any of them."""
    path = tmp_path / "edge.duckdb"
    fill_as_before(path, 200, 300_000)
    assert look(path, 48).verdict == "no_memory"
    assert look(path, 512).verdict == "good"
