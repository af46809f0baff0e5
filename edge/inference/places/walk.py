"""Goes through a folder that anybody may have filled, within bounds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ENTRIES_MAX: Final = 20_000
"""Entries of folders looked at in one walk: the rest is left out."""
LEVELS_MAX: Final = 8
"""Folders within folders; the programs' own are four deep."""
SMALL_FILE_BYTES_MAX: Final = 1 << 20
"""Of a manifest or a reference; they have some kilobytes."""


class Walk:
    """One look at the disk. What cannot be read is passed over, as if it were not there; links are
    followed, and each folder is gone through once."""

    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self._left = entries_max
        self._seen: set[tuple[int, int]] = set()

    def entries(self, folder: Path) -> list[Path]:
        """What lies in a folder, by name."""
        try:
            with os.scandir(folder) as inside:
                found = []
                for entry in inside:
                    self._left -= 1
                    if self._left < 0:
                        break
                    found.append(folder / entry.name)
                return sorted(found)
        except (OSError, ValueError):
            return []

    def files(self, folder: Path, levels: int = LEVELS_MAX) -> Iterator[Path]:
        """All files below, those of one folder by name. A folder that was gone through already is
        passed over, so that links cannot lead in a circle."""
        if levels == 0 or not self._first(folder):
            return
        for path in self.entries(folder):
            if self._is_folder(path):
                yield from self.files(path, levels - 1)
            else:
                yield path

    def folders(self, folder: Path) -> list[Path]:
        """The folders in a folder, by name."""
        return [path for path in self.entries(folder) if self._is_folder(path)]

    def _first(self, folder: Path) -> bool:
        try:
            status = folder.stat()
        except (OSError, ValueError):
            return False
        known = len(self._seen)
        self._seen.add((status.st_dev, status.st_ino))
        return len(self._seen) > known

    def _is_folder(self, path: Path) -> bool:
        try:
            return path.is_dir()
        except OSError:
            return False


def small_file(path: Path) -> bytes:
    """The bytes of a file that has to be small; none when it cannot be read, or is not."""
    try:
        # A pipe or a device would be waited for.
        if not path.is_file() or path.stat().st_size > SMALL_FILE_BYTES_MAX:
            return b""
        return path.read_bytes()
    except (OSError, ValueError):
        return b""
