"""Caches of prompts on disk, over an orderly restart: who comes back finds what was read for them.

Written once, at the end of an engine that was told to end; a crash loses what came since. A file
for each cache: a line of JSON about it, its tokens, and llama.cpp's own form of it. What is here
may be thrown away at any time. So a file that is not whole, or that was made with another model or
in another way, is removed and not complained about; and nothing waits for the disk: a sum over the
contents tells a torn file as well, and is looked at when the cache is fetched, not before.

The files hold what people wrote: nobody else may read them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from edge.engine.batching.shelf import Kept
from edge.engine.batching.tokens import Tokens

SUFFIX: Final = ".cache"
HEADER_BYTES_MAX: Final = 4_096
"""Of the line about a cache, which has five short entries."""


@dataclass(frozen=True, slots=True)
class Filed:
    """A cache's state in a file, behind so many bytes."""

    path: Path
    behind_bytes: int
    size_bytes: int
    digest: str

    def read(self) -> bytes:
        """The state; empty when the file is gone or not what it was."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.behind_bytes)
                state = file.read(self.size_bytes)
        except OSError:
            return b""
        return state if _digest(state) == self.digest else b""


class Archive:
    """The caches in a folder, of at most ``size_bytes_max`` in all. ``made_by`` says for what and
    how caches are made: others are of no use. OSError where the folder cannot be used."""

    def __init__(self, folder: Path, made_by: str, size_bytes_max: int) -> None:
        self._folder = folder
        self._made_by = made_by
        self._size_bytes_max = size_bytes_max

    def load(self) -> list[Kept]:
        """What is there, the one not used for longest first. Only tokens are read, not states. All
        else that is in the folder is removed."""
        if not self._folder.is_dir():
            return []
        found = []
        for path in self._folder.iterdir():
            kept = self._open(path)
            if kept is None:
                path.unlink(missing_ok=True)
            else:
                found.append((path.stat().st_mtime_ns, path.name, kept))
        return [kept for _, _, kept in sorted(found, key=lambda each: each[:2])]

    def save(self, caches: Iterable[Kept], in_time: Callable[[], bool]) -> int:
        """Makes the folder hold these, of which the last is the one used last: as many from there
        on as there is room for, and as long as it is in time. How many it holds then."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        left = self._size_bytes_max
        written: list[Path] = []
        for kept in reversed(list(caches)):
            left -= kept.size_bytes
            if left < 0 or not in_time():
                break
            path = self._folder / (self._name(kept.tokens) + SUFFIX)
            if not (isinstance(kept.state, Filed) and kept.state.path == path):
                state = kept.read()
                if not state:
                    continue
                self._write(path, kept.tokens, state)
            written.append(path)
        for path in self._folder.iterdir():
            if path not in written:
                path.unlink()
        for place, path in enumerate(written):
            os.utime(path, ns=(0, len(written) - place))
        return len(written)

    def _name(self, tokens: Tokens) -> str:
        ids = array("i", tokens.slice(0, len(tokens))).tobytes()
        return hashlib.sha256(self._made_by.encode() + b"\0" + ids).hexdigest()[:32]

    def _write(self, path: Path, tokens: Tokens, state: bytes) -> None:
        about = {
            "made_by": self._made_by,
            "byte_order": sys.byteorder,
            "tokens": len(tokens),
            "state_bytes": len(state),
            "digest": _digest(state),
        }
        half = path.with_suffix(".part")
        # An earlier attempt's half is in nobody's use.
        half.unlink(missing_ok=True)
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(about) + b"\n")
            file.write(array("i", tokens.slice(0, len(tokens))).tobytes())
            file.write(state)
        half.replace(path)

    def _open(self, path: Path) -> Kept | None:
        """The cache in this file, if it is one that can be used."""
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError), path.open("rb") as f:
            about = orjson.loads(f.readline(HEADER_BYTES_MAX))
            count, size_bytes, digest = about["tokens"], about["state_bytes"], about["digest"]
            behind_bytes = f.tell() + count * array("i").itemsize
            if (
                (about["made_by"], about["byte_order"]) == (self._made_by, sys.byteorder)
                and path.stat().st_size == behind_bytes + size_bytes
                and path.suffix == SUFFIX
            ):
                ids = array("i")
                ids.frombytes(f.read(count * ids.itemsize))
                return Kept(Tokens(ids), Filed(path, behind_bytes, size_bytes, digest))
        return None


def _digest(state: bytes) -> str:
    # The fastest of the library's that is long enough: 1 GB/s.
    return hashlib.blake2b(state, digest_size=16).hexdigest()


def file_identity(path: Path) -> str:
    """Of a large file, without reading all of it: its size, and what is in it at the beginning, in
    the middle and at the end."""
    size_bytes = path.stat().st_size
    seen = hashlib.sha256(str(size_bytes).encode())
    with path.open("rb") as file:
        for start in (0, size_bytes // 2, max(0, size_bytes - _SAMPLE_BYTES)):
            file.seek(start)
            seen.update(file.read(_SAMPLE_BYTES))
    return seen.hexdigest()


_SAMPLE_BYTES: Final = 1 << 20
