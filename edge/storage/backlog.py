"""What waits for the disk, and in which portions it goes there. Pure: no thread, no clock, no disk.

There is no window to wait for: while one commit runs, the next group gathers by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from edge.errors import StorageError
from edge.storage.rows import Row, TaskRow

Done = Callable[[StorageError | None], object]

# What a row takes in memory besides its bytes, roughly.
ROW_BYTES = 512


class Entry:
    """Rows that become durable together, and whom to tell. ``done`` is None once told."""

    __slots__ = ("done", "rows", "size_bytes")

    def __init__(self, rows: Sequence[Row], done: Done | None = None) -> None:
        self.rows = rows
        self.done = done
        self.size_bytes = sum(map(_size_bytes, rows))

    def take_done(self) -> Done | None:
        done, self.done = self.done, None
        return done


def _size_bytes(row: Row) -> int:
    if isinstance(row, TaskRow):
        return ROW_BYTES + len(row.snapshot) + (len(row.spec) if row.spec is not None else 0)
    return ROW_BYTES


class Backlog:
    """A bounded line of entries. What was taken still counts until it is `settled`."""

    def __init__(
        self,
        *,
        rows_waiting_max: int,
        bytes_waiting_max: int,
        rows_per_commit_max: int,
        bytes_per_commit_max: int,
    ) -> None:
        self._rows_waiting_max = rows_waiting_max
        self._bytes_waiting_max = bytes_waiting_max
        self._rows_per_commit_max = rows_per_commit_max
        self._bytes_per_commit_max = bytes_per_commit_max
        self._entries: deque[Entry] = deque()
        self.rows = 0
        self.size_bytes = 0

    def __len__(self) -> int:
        """Entries that were not taken."""
        return len(self._entries)

    def add(self, entry: Entry) -> bool:
        """Queues the entry; False, and nothing changed, when it would be too much.

        An empty backlog takes any entry, however large: else it could never be written.
        """
        rows = self.rows + len(entry.rows)
        size_bytes = self.size_bytes + entry.size_bytes
        too_much = rows > self._rows_waiting_max or size_bytes > self._bytes_waiting_max
        if too_much and self.rows:
            return False
        self._entries.append(entry)
        self.rows, self.size_bytes = rows, size_bytes
        return True

    def take(self) -> list[Entry]:
        """The next group, in order: entries are never split, and at least one is taken."""
        group: list[Entry] = []
        rows = size_bytes = 0
        while self._entries:
            rows += len(self._entries[0].rows)
            size_bytes += self._entries[0].size_bytes
            too_much = rows > self._rows_per_commit_max or size_bytes > self._bytes_per_commit_max
            if group and too_much:
                break
            group.append(self._entries.popleft())
        return group

    def take_all(self) -> list[Entry]:
        """Everything, in order."""
        entries = list(self._entries)
        self._entries.clear()
        return entries

    def put_back(self, entries: Iterable[Entry]) -> None:
        """Returns what was taken to the head of the line."""
        self._entries.extendleft(reversed(list(entries)))

    def restore(self, entries: Sequence[Entry]) -> None:
        """Puts entries, which do not count yet, at the head of the line, whatever the limits."""
        for entry in entries:
            self.rows += len(entry.rows)
            self.size_bytes += entry.size_bytes
        self.put_back(entries)

    def settled(self, entries: Iterable[Entry]) -> None:
        """These were taken and will not come back; there is room for others."""
        for entry in entries:
            self.rows -= len(entry.rows)
            self.size_bytes -= entry.size_bytes


def without_superseded(entries: Sequence[Entry]) -> list[Entry]:
    """The entries less the versions of tasks that a later one here replaces.

    A long outage then costs memory by the number of tasks, not by its length. First versions stay,
    because they carry the request.
    """
    last: dict[str, int] = {}
    for row in chain.from_iterable(entry.rows for entry in entries):
        if isinstance(row, TaskRow):
            last[row.task_id] = max(row.version, last.get(row.task_id, 0))
    kept: list[Entry] = []
    for entry in entries:
        rows = [
            row
            for row in entry.rows
            if not isinstance(row, TaskRow)
            or row.spec is not None
            or row.version == last[row.task_id]
        ]
        if rows or entry.done is not None:
            kept.append(Entry(rows, entry.done))
    return kept


def pause_ms(failures: int, pauses_ms: Sequence[int]) -> int:
    """How long to wait after so many failures in a row, from 1; the last pause repeats."""
    return pauses_ms[min(failures, len(pauses_ms)) - 1]
