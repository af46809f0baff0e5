"""The open DuckDB file: a connection that appends, and three that read; their revival.

Look-ups by a key, looks through everything and exports have a connection each, so that none of them
waits for another. After some errors DuckDB takes nothing more until every connection to the file is
closed and it is opened again. `revive` does that; locks keep it from taking connections away while
they are in use, and what runs on them is interrupted, so that writing does not wait for reading.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import duckdb

from edge.clock import Seen
from edge.storage.memory import is_out_of_memory, more_mib, set_limit
from edge.storage.queries import LAST_SEEN, LEARNT
from edge.storage.rows import Row
from edge.storage.schema import TABLE, migrate, values

# What an INSERT of good rows can't raise: whose rows these are is at fault, not the disk.
_FAULTS_OF_ROWS: Final = (
    duckdb.DataError,
    duckdb.IntegrityError,
    duckdb.NotSupportedError,
    duckdb.ProgrammingError,
    AttributeError,
    TypeError,
    ValueError,
)


FOLD_BYTES_MIN: Final = 16 * 1024 * 1024
FOLD_BYTES_MAX: Final = 256 * 1024 * 1024


def fold_at_bytes(file_bytes: int) -> int:
    """How long the log of such a file gets before it is folded in. Pure.

    Each time DuckDB writes its last group of rows anew, up to 122,880 of them. As the log may be a
    quarter of the file, each row is written some five times in all while the file grows to whatever
    size, rather than once with every 16 MiB; and a start has no more to replay than takes seconds
    on a good disk, a minute on a bad one."""
    return max(FOLD_BYTES_MIN, min(FOLD_BYTES_MAX, file_bytes // 4))


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class RowsRefused(Exception):
    """These rows can never be stored, however well the disk works."""


def connect(path: Path, *, memory_mib_max: int) -> duckdb.DuckDBPyConnection:
    """A connection to the file. `duckdb.Error` when it cannot be opened. With 0 MiB the limit is
    DuckDB's own, most of the machine's memory.

    Extensions are neither fetched nor loaded by themselves: a file of another format would make
    DuckDB reach for the network. One thread is enough for rows by the thousand, and leaves the
    processor to the model.

    Long texts are not compressed with Zstandard: DuckDB would then have to unpack 2,048 rows, which
    may be gigabytes, to read one of them, and to pack all of them again for each checkpoint. With
    requests of 300 KB reading one took 2.5 s, accepting 2,000 took 138 s rather than 17.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    if memory_mib_max:
        # From the start on, since opening replays the log.
        config["memory_limit"] = f"{memory_mib_max}MiB"
    connection = duckdb.connect(str(path), config=config)
    try:
        # Passed over when it is in the configuration.
        connection.execute("SET disabled_compression_methods = 'zstd'")
        # The log is folded into the file by `Database.fold_log` alone, never within a commit.
        connection.execute("SET checkpoint_threshold = '1 TiB'")
    except BaseException:
        connection.close()
        raise
    return connection


_INTERRUPT_AGAIN_S: Final = 0.05


class Reading:
    """A connection that reads, one statement at a time, on any thread."""

    def __init__(self, more_memory: Callable[[], str] | None = None) -> None:
        """``more_memory`` gives the statement to be run when there was none left for an answer,
        before it is asked for once more."""
        self._more_memory = more_memory
        self._lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None

    def open(self, root: duckdb.DuckDBPyConnection) -> None:
        """A new connection beside this one. The lock of `halt` is held, or nobody reads yet."""
        self._connection = root.cursor()

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a statement. `duckdb.Error` when it fails, or is interrupted."""
        with self._lock:
            if self._connection is None:
                raise duckdb.ConnectionException("the file is not open")
            try:
                return self._connection.execute(sql, list(parameters)).fetchall()
            except duckdb.Error as error:
                if self._more_memory is None or not is_out_of_memory(error):
                    raise
            self._connection.execute(self._more_memory())
            return self._connection.execute(sql, list(parameters)).fetchall()

    def interrupt(self) -> None:
        """Ends the statement that runs, if one does."""
        connection = self._connection
        if connection is None:
            return
        try:
            connection.interrupt()
        except duckdb.ConnectionException:
            return  # closed in this moment: nothing runs on it

    def halt(self) -> threading.Lock:
        """Interrupts until nothing runs, and keeps it so: the lock, taken."""
        while not self._lock.acquire(timeout=_INTERRUPT_AGAIN_S):
            self.interrupt()
        return self._lock

    def close(self) -> None:
        """The lock of `halt` is held."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Database:
    """One open file. `append`, `ask`, `probe`, `revive` and `transaction` belong to the thread that
    writes; ``lookups``, ``scans`` and ``exports`` may be used from any other."""

    def __init__(self, path: Path, *, memory_mib_max: int) -> None:
        self._path = path
        self._memory_mib_max = memory_mib_max
        self._fold_bytes_min = 0
        self._memory_lock = threading.Lock()
        # One task by its key is worth it; who looks through everything may ask for less.
        self.lookups = Reading(self._more_memory)
        self.scans = Reading()
        self.exports = Reading()
        self._open()

    def _open(self) -> None:
        self._root = connect(self._path, memory_mib_max=self._memory_mib_max)
        try:
            migrate(self._root)
            for reading in self._readings:
                reading.open(self._root)
            self._appender = self._root.appender(TABLE)
        except BaseException:
            self._root.close()
            raise

    @property
    def _readings(self) -> tuple[Reading, ...]:
        return self.lookups, self.scans, self.exports

    def append(self, rows: Sequence[Row]) -> None:
        """Stores the rows in one transaction: all are durable on return, none after an error.

        `RowsRefused` when a row does not fit the table, `duckdb.Error` when the disk is at fault.
        """
        try:
            self._appender.append_rows([values(row) for row in rows])
            self._appender.flush()
        except _FAULTS_OF_ROWS as error:
            self._forget_rows()
            if self.alive():
                raise RowsRefused(str(error)) from error
            raise duckdb.OperationalError(str(error)) from error
        except duckdb.Error as error:
            self._forget_rows()
            if is_out_of_memory(error):
                # For the next try; an opening has it anyway.
                sql = self._more_memory()
                if self.alive():
                    self._root.execute(sql)
            raise
        except BaseException:
            self._forget_rows()
            raise

    def _forget_rows(self) -> None:
        try:
            self._appender.clear()
        except duckdb.Error:
            # Only `revive` helps now, and it makes a new appender.
            return

    def alive(self) -> bool:
        """Whether DuckDB still serves this file."""
        try:
            self._root.execute("SELECT 1").fetchall()
        except duckdb.Error:
            return False
        return True

    def revive(self) -> None:
        """Closes and opens the file again. `duckdb.Error` when that fails; call it again then."""
        with ExitStack() as halted:
            self._halt(halted)
            self._close()
            self._open()

    def ask(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query, on the connection that writes."""
        return self._root.execute(sql, list(parameters)).fetchall()

    def transaction(self, statements: Sequence[tuple[str, Sequence[object]]]) -> list[int]:
        """Runs statements that change rows, all or none; how many rows each one changed."""
        changed: list[int] = []
        self._root.execute("BEGIN")
        try:
            for sql, parameters in statements:
                rows = self._root.execute(sql, list(parameters)).fetchall()
                changed.append(int(rows[0][0]))
            self._root.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        return changed

    def _roll_back(self) -> None:
        try:
            self._root.execute("ROLLBACK")
        except duckdb.TransactionException:
            return  # a commit that fails has ended the transaction by itself

    def probe(self) -> None:
        """Commits something of no meaning. `duckdb.Error` when the disk refuses; what could be read
        before can be read afterwards."""
        self._put("UPDATE probe SET probed_at = now()::TIMESTAMP")

    def note(self, seen: Seen) -> None:
        """Remembers when the node was last seen running. `duckdb.Error` as for `probe`."""
        columns = ", ".join(f"{name} = ?" for name in Seen._fields)
        self._put(f"UPDATE last_seen SET {columns}", seen)

    def keep_learnt(self, text: str) -> None:
        """Remembers this text in place of the one before. `duckdb.Error` as for `probe`."""
        self._put("UPDATE learnt SET value = ?", [text])

    def learnt(self) -> str:
        """What `keep_learnt` was given last; empty when that was never."""
        ((text,),) = self.ask(LEARNT)
        return str(text)

    def _put(self, sql: str, parameters: Sequence[object] = ()) -> None:
        try:
            self.transaction([(sql, parameters)])
        except duckdb.Error:
            if not self.alive():
                self.revive()
            raise

    def last_seen(self) -> Seen:
        """When a node was last seen with this file: by the latest of its rows, or by `note`."""
        ((*noted, latest_run_ns),) = self.ask(LAST_SEEN)
        return Seen(*noted).later(latest_run_ns or 0)

    def fold_log(self) -> bool:
        """Folds the log into the file once it has grown long enough; whether it did. `duckdb.Error`
        when that fails: all rows are in the log and stay there, it is tried again once the log is
        twice as long, and the file may have to be opened anew (`alive`)."""
        log_bytes = _size_bytes(self._path.with_name(f"{self._path.name}.wal"))
        if log_bytes < max(self._fold_bytes_min, fold_at_bytes(_size_bytes(self._path))):
            return False
        self._fold_bytes_min = 2 * log_bytes
        self.checkpoint()
        self._fold_bytes_min = 0
        return True

    def checkpoint(self) -> None:
        """Folds the log into the file and gives freed space back.

        It may take more memory than all else, and nothing is gained by keeping it from that."""
        self._root.execute(set_limit(0))
        try:
            self._root.execute("CHECKPOINT")
        finally:
            # A database that has failed takes no settings, and is opened with them again.
            if self.alive():
                self._root.execute(set_limit(self._memory_mib_max))

    def more_memory(self) -> bool:
        """Lets DuckDB have more from now on, for what is read on ``scans``; False when it has all
        that there is. For whoever must read on, however much it takes."""
        before = self._memory_mib_max
        self.scans.rows(self._more_memory())
        return before != self._memory_mib_max

    def _more_memory(self) -> str:
        """From now on there is more; the statement by which DuckDB hears it."""
        with self._memory_lock:
            self._memory_mib_max = self._memory_mib_max and more_mib(self._memory_mib_max)
            return set_limit(self._memory_mib_max)

    def close(self) -> None:
        """Lets go of the file; what the log holds is replayed at the next opening."""
        with ExitStack() as halted:
            self._halt(halted)
            self._close()

    def _halt(self, halted: ExitStack) -> None:
        for reading in self._readings:
            halted.callback(reading.halt().release)

    def _close(self) -> None:
        # The appender holds the file open for as long as it lives.
        if hasattr(self, "_appender"):
            del self._appender
        for reading in self._readings:
            reading.close()
        self._root.close()
