"""The store: what is written is durable once its commit is told, and read past the loop."""

from __future__ import annotations

import asyncio
import shutil
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import duckdb

from edge.clock import NS_PER_MS, Clock
from edge.errors import StorageError
from edge.storage import opening, queries
from edge.storage.backlog import Backlog, Done
from edge.storage.reads import Reads
from edge.storage.retention import prune
from edge.storage.rows import Pruned, Row
from edge.storage.writer import Report, Writer
from edge.telemetry import Telemetry

TOLD_AT_ONCE_MAX: Final = 256
"""Writers that are told of a commit before the event loop has a turn. Each has something to say
then to whoever follows it, as often as not all to the same one, who has to come to hear it."""

OPENING_SAID_MS: Final = 10_000
"""How often it is said that a file is still being opened."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """The limits of a store. ``retry_ms`` are the pauses between tries while the disk refuses; the
    last one repeats. ``memory_mib_max`` bounds DuckDB's own memory, of which a commit takes up to
    three times its bytes; ``scan_ms_max`` how long it is looked through the history for one
    question, ``silence_ms`` how long the first look at the file may come no further."""

    rows_waiting_max: int = 200_000
    bytes_waiting_max: int = 256 * 1024 * 1024
    rows_per_commit_max: int = 10_000
    bytes_per_commit_max: int = 64 * 1024 * 1024
    retry_ms: tuple[int, ...] = (100, 200, 500, 1_000, 2_000, 5_000, 10_000)
    silence_ms: int = 120_000
    memory_mib_max: int = 1_024
    scan_ms_max: int = 30_000


class _Patience:
    """Says now and then that the file is still being opened."""

    def __init__(self, path: Path, telemetry: Telemetry, clock: Clock) -> None:
        self._path = path
        self._telemetry = telemetry
        self._clock = clock
        self._began_ns = clock.now_ns()
        self._again()

    def _again(self) -> None:
        self._timer = self._clock.call_after(OPENING_SAID_MS * NS_PER_MS, self._say)

    def _say(self) -> None:
        elapsed_ms = (self._clock.now_ns() - self._began_ns) // NS_PER_MS
        self._telemetry.emit("store.opening", path=str(self._path), elapsed_ms=elapsed_ms)
        self._again()

    def end(self) -> None:
        self._timer.cancel()


class Store(Reads):
    """One database file. Made by `open`; to be used on the loop's thread.

    ``durable`` is False while the disk refuses: what is written meanwhile is kept in memory and
    written down once it works again. ``dead`` has a result once the thread that writes has ended by
    a defect: nothing is written any more, and only a new start helps. ``quarantined`` names where
    an unreadable file was put. ``on_committed`` is told of each commit, how many rows it wrote.
    ``learnt`` is the text that `keep_learnt` was given last before this opening; empty when that
    was never.
    """

    def __init__(
        self,
        path: Path,
        lock: IO[str],
        opened: opening.Opened,
        telemetry: Telemetry,
        clock: Clock,
        options: StoreOptions,
    ) -> None:
        self.path = path
        self.learnt = opened.learnt
        self.quarantined = None if opened.kept is None else str(opened.kept.kept_as)
        self.durable = True
        self.on_committed: Callable[[int], object] | None = None
        self.dead: asyncio.Future[StorageError] = asyncio.get_running_loop().create_future()
        self._lock = lock
        self._telemetry = telemetry
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._to_tell: deque[tuple[Done, StorageError | None]] = deque()  # of what was committed
        super().__init__(opened.database, clock, options.scan_ms_max)
        backlog = Backlog(
            rows_waiting_max=options.rows_waiting_max,
            bytes_waiting_max=options.bytes_waiting_max,
            rows_per_commit_max=options.rows_per_commit_max,
            bytes_per_commit_max=options.bytes_per_commit_max,
        )
        self._writer = Writer(self._database, backlog, self._report_on_thread, options.retry_ms)

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        telemetry: Telemetry,
        clock: Clock,
        options: StoreOptions | None = None,
    ) -> Store:
        """Opens or makes the file; the clock goes on from where the file last saw the node.

        StartupError when another process has it, the folder cannot be
        written, there is no space, or a later version of the program made it. A file that cannot
        be read is set aside and a new one begun: then ``quarantined`` names where it is kept."""
        options = options or StoreOptions()
        held = opening.lock(path)
        patience = _Patience(path, telemetry, clock)
        try:
            opened = await opening.open_database(
                path,
                clock,
                memory_mib_max=options.memory_mib_max,
                silence_ms=options.silence_ms,
            )
        except BaseException:
            held.close()
            raise
        finally:
            patience.end()
        if opened.kept is not None:
            kept = opened.kept
            telemetry.emit(
                "store.quarantined",
                path=str(kept.path),
                kept_as=str(kept.kept_as),
                reason=kept.reason,
            )
        clock.resume(opened.last_seen)
        store = cls(path, held, opened, telemetry, clock, options)
        counted = await store._scan("", queries.UNFINISHED_COUNT, limited=False)
        telemetry.emit("store.opened", path=str(path), tasks_unfinished=counted[0][0])
        return store

    # ---- writing

    @property
    def rows_waiting(self) -> int:
        """Rows that are accepted and not committed yet."""
        return self._writer.rows_waiting

    def write(self, rows: Sequence[Row], done: Done | None = None) -> bool:
        """Queues rows, which become durable together; never blocks. `done` is called on the loop's
        thread, once and later: with None when they are committed, with the error when the disk
        refuses (the rows are kept and tried again) or the rows cannot be stored at all (they are
        dropped, and telemetry has it). False, and nothing queued, when too much waits or the store
        is closed."""
        return self._writer.put(rows, done)

    async def commit(self, rows: Sequence[Row]) -> None:
        """Writes and waits until it is durable. StorageError when it is not."""
        future: asyncio.Future[None] = self._loop.create_future()

        def done(error: StorageError | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        if not self.write(rows, done):
            raise StorageError("too many rows wait for the disk, or the store is closed")
        await future

    def probe(self, done: Callable[[StorageError | None, int], object]) -> None:
        """Has the writer commit something of no meaning, as soon as it can; `done` is called on the
        loop's thread with None or why it could not, and with the bytes that are free on the disk.
        Never called while the writer hangs: that is for the caller to notice."""

        def commit() -> tuple[StorageError | None, int]:
            free_bytes = shutil.disk_usage(self.path.parent).free
            try:
                self._database.probe()
            except duckdb.Error as error:
                return StorageError(f"the database refuses to write: {error}"), free_bytes
            return None, free_bytes

        def tell(errand: Future[tuple[StorageError | None, int]]) -> None:
            failure = errand.exception()
            error, free_bytes = errand.result() if failure is None else (failure, 0)
            if error is not None and not isinstance(error, StorageError):
                error = StorageError(f"the disk of the database fails: {error}")
            self._on_loop(lambda: done(error, free_bytes))

        self._writer.call(commit).add_done_callback(tell)

    def _report_on_thread(self, report: Report) -> None:
        # One wake-up of the loop for the whole group.
        self._on_loop(lambda: self._reported(report))

    def _on_loop(self, call: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            # The loop is closed: nobody is left who could hear it, and the rows are written.
            if not self._loop.is_closed():
                raise

    def _reported(self, report: Report) -> None:
        if report.dead and report.error is not None and not self.dead.done():
            self.dead.set_result(report.error)
        if report.fold_error is not None:
            self._say_failed(report.fold_error)
        if report.error is not None:
            self.durable = False
            self._say_failed(report.error)
        elif report.rows:
            if report.recovered_rows is not None:
                self.durable = True
                self._telemetry.emit("store.recovered", rows=report.recovered_rows)
            self._telemetry.emit(
                "store.committed",
                rows=report.rows,
                commits_waiting=len(report.done),
                commit_us=report.commit_us,
            )
            if self.on_committed is not None:
                self.on_committed(report.rows)
        told = [(done, report.error) for done in report.done]
        for refused, error in report.refused:
            self._say_failed(error)
            if refused is not None:
                told.append((refused, error))
        going_on = bool(self._to_tell)
        self._to_tell.extend(told)
        if not going_on:
            self._tell_some()

    def _tell_some(self) -> None:
        """In portions, and of one commit after the other."""
        for _ in range(min(TOLD_AT_ONCE_MAX, len(self._to_tell))):
            self._tell(*self._to_tell.popleft())
        if self._to_tell:
            self._loop.call_soon(self._tell_some)

    def _say_failed(self, error: StorageError) -> None:
        self._telemetry.emit("store.failed", error=error, rows_waiting=self.rows_waiting)

    def _tell(self, done: Done, error: StorageError | None) -> None:
        try:
            done(error)
        except Exception as raised:
            # A defect of the caller's; the others are told all the same.
            self._loop.call_exception_handler(
                {"message": "a callback of the store raised", "exception": raised}
            )

    def note_time(self) -> None:
        """Has the file remember this moment, as the last at which the node was seen; what a kill
        takes away is what has passed since. A disk that refuses is told to telemetry."""
        seen = self._clock.seen()
        self._put(lambda: self._database.note(seen), "the time")

    def keep_learnt(self, text: str) -> None:
        """Has the file remember this text in place of the one before, between two commits. A disk
        that refuses is told to telemetry."""
        self._put(lambda: self._database.keep_learnt(text), "what was learnt")

    def _put(self, put: Callable[[], None], what: str) -> None:
        def tell(errand: Future[None]) -> None:
            error = errand.exception()
            if error is not None:
                failed = StorageError(f"the database does not take {what}: {error}")
                self._on_loop(lambda: self._say_failed(failed))

        self._writer.call(put).add_done_callback(tell)

    # ---- the end

    async def prune(self, *, max_age_ns: int, max_tasks: int) -> Pruned:
        """Takes away ended tasks that finished longer ago, or are more than so many, with their
        audit rows, and versions that later ones have replaced; then gives the space back to the
        file, or the disk. Writes wait meanwhile. StorageError when the disk refuses. How age is
        counted: `edge.storage.retention`."""
        before_run_ns = self._clock.moment().run_ns - max_age_ns

        def clear() -> Pruned:
            # What waits for the next try may be on disk already, because the disk failed after it
            # had written. Its task would be cleared away, and half of it come back.
            if (refused := self._writer.refused) is not None:
                raise StorageError(str(refused))
            return prune(self._database, before_run_ns, max_tasks)

        try:
            return await asyncio.wrap_future(self._writer.call(clear))
        except duckdb.Error as error:
            raise StorageError(f"the database refuses to prune: {error}") from error

    async def close(self) -> None:
        """Writes what waits, folds the log into the file, and lets go of it. Rows that the disk
        still refuses are lost, and telemetry has it. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._close_lanes()
        lost = await asyncio.to_thread(self._writer.stop)
        while self._to_tell:
            self._tell(*self._to_tell.popleft())
        if lost:
            self._say_failed(StorageError(f"{lost} rows could not be written before the end"))
        error = await asyncio.to_thread(self._let_go)
        if error is not None:
            self._say_failed(StorageError(f"the last checkpoint failed: {error}"))
        self._lock.close()

    def _let_go(self) -> duckdb.Error | None:
        try:
            self._database.note(self._clock.seen())
            self._database.checkpoint()
        except duckdb.Error as error:
            # All rows are in the log; the next start replays it.
            return error
        finally:
            self._database.close()
        return None
