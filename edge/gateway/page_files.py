"""The files of the pages for people: read once, compressed once, each under its path."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

PACKAGED: Final = Path(__file__).with_name("pages")
CHECKOUT: Final = Path(__file__).parents[2] / "pages"
FOLDER: Final = PACKAGED if PACKAGED.is_dir() else CHECKOUT
"""The wheel has the pages beside this file, a checkout beside the package, as with the models."""
PREFIX: Final = "/pages/"
"""Under this stands what the pages load."""

_PLACES: Final = {"index.html": "/", "dashboard.html": "/dashboard"}
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class PageFile(NamedTuple):
    """One file as it is sent: as it is, or compressed. ``etag`` is of both (weak, RFC 9110 section
    8.8.1), and without its quotes."""

    path: str
    content_type: str
    body: bytes
    zipped: bytes
    etag: str


def read_files(folder: Path = FOLDER) -> Iterator[PageFile]:
    """All files of the folder. OSError when they cannot be read."""
    for file in sorted(folder.iterdir()):
        content_type = _TYPES.get(file.suffix)
        if content_type is not None:
            body = file.read_bytes()
            yield PageFile(
                _PLACES.get(file.name, PREFIX + file.name),
                content_type,
                body,
                # Without the time, so that the same file is the same bytes.
                gzip.compress(body, mtime=0),
                hashlib.sha256(body).hexdigest()[:20],
            )


def is_page(path: str) -> bool:
    """Whether this is a place of the pages, be there something or not."""
    return path in _PLACES.values() or path.startswith(PREFIX)
