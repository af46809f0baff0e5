"""Folders that anybody may have filled."""

from __future__ import annotations

import os
from pathlib import Path

from edge.inference.places.walk import LEVELS_MAX, SMALL_FILE_BYTES_MAX, Walk, small_file


def names(folder: Path, walk: Walk) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in walk.files(folder)]


def put(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_all_files_by_name_through_links(tmp_path: Path) -> None:
    put(tmp_path / "in" / "b", tmp_path / "in" / "a" / "c", tmp_path / "out" / "d")
    (tmp_path / "in" / "z").symlink_to(tmp_path / "out")
    assert names(tmp_path / "in", Walk()) == ["a/c", "b", "z/d"]
    assert [path.name for path in Walk().folders(tmp_path / "in")] == ["a", "z"]


def test_links_cannot_lead_in_a_circle(tmp_path: Path) -> None:
    put(tmp_path / "a" / "file")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to("b")
    (tmp_path / "gone").symlink_to("nowhere")
    assert names(tmp_path, Walk()) == ["a/file", "b", "gone"]


def test_it_ends_at_so_many_entries_and_levels(tmp_path: Path) -> None:
    put(*(tmp_path / f"{number:03}" for number in range(100)))
    assert len(names(tmp_path, Walk(30))) == 30
    deep = tmp_path / "deep"
    put(deep.joinpath(*"x" * (LEVELS_MAX - 1), "last"), deep.joinpath(*"y" * LEVELS_MAX, "beyond"))
    assert [name.rpartition("/")[2] for name in names(deep, Walk())] == ["last"]


def test_what_cannot_be_read_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    put(tmp_path / "file")
    assert Walk().entries(tmp_path / "file") == []
    assert names(tmp_path / "file", Walk()) == []
    assert names(tmp_path / "none", Walk()) == []
    assert names(Path("/proc/self/\0"), Walk()) == []
    # Like one that may not be read, also for root.
    assert Walk().entries(tmp_path / ("n" * 300)) == []


def test_a_small_file_is_a_file_and_small(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"x")
    (tmp_path / "large").write_bytes(bytes(SMALL_FILE_BYTES_MAX + 1))
    os.mkfifo(tmp_path / "pipe")
    found = [small_file(tmp_path / name) for name in ("small", "large", "pipe", "none", ".", "\0")]
    assert found == [b"x", b"", b"", b"", b"", b""]
