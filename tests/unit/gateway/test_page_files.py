"""The files of the pages: what is sent of them, and that they hold to what the policy allows."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from edge.gateway.page_files import FOLDER, PREFIX, PageFile, is_page, read_files

FILES = tuple(read_files())
WIRE_BYTES_MAX = 60_000
"""Of all pages together, compressed."""


def test_all_files_are_there_and_small() -> None:
    assert len(FILES) == len(list(FOLDER.iterdir()))
    assert {"/", "/pages/phoenix.js"} <= {each.path for each in FILES}
    assert sum(len(each.zipped) for each in FILES) <= WIRE_BYTES_MAX


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.path))
def test_a_file(file: PageFile) -> None:
    assert gzip.decompress(file.zipped) == file.body
    assert is_page(file.path)
    text = file.body.decode()
    # Nothing is loaded from elsewhere, and nothing that the policy would refuse stands in a page.
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)
    if file.path.endswith(".js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|\beval\(|new Function", text)
    if file.content_type.startswith("text/html"):
        assert not re.search(r"<script(?! type=\"module\" src=)|<style| style=| on\w+=", text)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.path))
def test_what_a_file_names_is_there(file: PageFile) -> None:
    text = file.body.decode()
    named = set(re.findall(rf'(?:src|href)="({PREFIX}[^"]+)"', text))
    named |= {PREFIX + name for name in re.findall(r'from "\./([^"]+)"', text)}
    assert named <= {each.path for each in FILES}


def test_another_text_has_another_tag(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("a")
    (tmp_path / "notes.txt").write_text("no page")
    (first,) = read_files(tmp_path)
    (tmp_path / "index.html").write_text("b")
    (second,) = read_files(tmp_path)
    assert first.path == second.path == "/"
    assert first.etag != second.etag


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("/", True),
        ("/dashboard", True),
        ("/pages/a.js", True),
        ("/tasks", False),
        ("/pages", False),
    ],
)
def test_places(path: str, is_one: bool) -> None:
    assert is_page(path) is is_one
