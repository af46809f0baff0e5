"""Caches in files: kept over a restart, within a bound, and never believed without a look."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.engine.archive import Archive, Filed, file_identity
from edge.engine.batching.shelf import Kept
from edge.engine.batching.tokens import Tokens


def cache(first: int, state: bytes = b"state") -> Kept:
    return Kept(Tokens([first, *range(100)]), state)


def always() -> bool:
    return True


def first_tokens(kept: list[Kept]) -> list[int]:
    return [each.tokens.slice(0, 1)[0] for each in kept]


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "cache", "us", 100)


def test_what_was_saved_is_there_in_its_order(archive: Archive, tmp_path: Path) -> None:
    assert archive.load() == []
    assert archive.save([cache(3), cache(1, b"one"), cache(2)], always) == 3
    found = Archive(tmp_path / "cache", "us", 100).load()
    assert first_tokens(found) == [3, 1, 2]
    assert found[1].size_bytes == 3
    assert found[1].read() == b"one"
    assert found[1].tokens.begins_like(cache(1).tokens, 101)


def test_nobody_else_may_read_it(archive: Archive, tmp_path: Path) -> None:
    archive.save([cache(1)], always)
    folder = tmp_path / "cache"
    assert folder.stat().st_mode & 0o077 == 0
    assert [path.stat().st_mode & 0o077 for path in folder.iterdir()] == [0]


def test_those_used_last_are_kept_when_there_is_no_room_or_no_time(archive: Archive) -> None:
    assert archive.save([cache(1, b"x" * 60), cache(2, b"x" * 50), cache(3, b"x" * 50)], always)
    assert first_tokens(archive.load()) == [2, 3]
    times = iter([True, False])
    assert archive.save([cache(4), cache(5)], lambda: next(times)) == 1
    assert first_tokens(archive.load()) == [5]


def test_a_file_that_is_there_is_not_written_again(archive: Archive, tmp_path: Path) -> None:
    archive.save([cache(1), cache(2)], always)
    before = {path: path.stat().st_ino for path in (tmp_path / "cache").iterdir()}
    one, two = archive.load()
    assert isinstance(one.state, Filed)
    archive.save([two, one, cache(3)], always)
    assert first_tokens(archive.load()) == [2, 1, 3]
    assert all(path.stat().st_ino == number for path, number in before.items())


@pytest.mark.parametrize("by", ["others", "us, differently"])
def test_what_others_made_is_removed(archive: Archive, tmp_path: Path, by: str) -> None:
    Archive(tmp_path / "cache", by, 100).save([cache(1)], always)
    assert archive.load() == []
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"", b"{}\n", b"[]\n", b"no json", b'{"tokens": "a"}\n', b"\xff" * 10_000]
)
def test_what_is_no_cache_is_removed(archive: Archive, tmp_path: Path, content: bytes) -> None:
    archive.save([cache(1)], always)
    odd = tmp_path / "cache" / "odd.cache"
    odd.write_bytes(content)
    assert first_tokens(archive.load()) == [1]
    assert not odd.exists()


@pytest.mark.parametrize("cut", [1, 5, 100, 420])
def test_half_a_file_is_removed(archive: Archive, tmp_path: Path, cut: int) -> None:
    archive.save([cache(1)], always)
    (path,) = (tmp_path / "cache").iterdir()
    path.write_bytes(path.read_bytes()[:-cut])
    assert archive.load() == []
    assert not path.exists()


def test_a_state_that_was_changed_is_not_believed(archive: Archive, tmp_path: Path) -> None:
    archive.save([cache(1)], always)
    (path,) = (tmp_path / "cache").iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    (kept,) = archive.load()
    assert kept.read() == b""
    path.unlink()
    assert kept.read() == b""
    # And it is not written down as if it were one.
    assert Archive(tmp_path / "other", "us", 100).save([kept], always) == 0


def test_a_models_file_is_told_from_another_of_its_size(tmp_path: Path) -> None:
    one, other, same = tmp_path / "1", tmp_path / "2", tmp_path / "3"
    one.write_bytes(b"a" * 5_000_000 + b"1")
    other.write_bytes(b"a" * 5_000_000 + b"2")
    same.write_bytes(one.read_bytes())
    assert file_identity(one) == file_identity(same) != file_identity(other)
