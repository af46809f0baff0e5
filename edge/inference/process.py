"""One engine process, from its start to its end, and the node's side of the pipe to it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, cast

from edge.engine.messages import (
    FROM_ENGINE_BYTES_MAX,
    EmbeddingReady,
    FrameReader,
    FromEngine,
    LoadFailed,
    Loading,
    PipeError,
    Ready,
    ToEngine,
    encode,
)

STDERR_TAIL_BYTES: Final = 8_192
"""What is kept of the worker's last words."""

STDERR_PAUSE_S: Final = 0.01
"""Between two reads of them, of 256 KiB at most. A worker that is well writes nothing."""

LAST_WORDS_S: Final = 1.0
"""From the worker's end to that of its words: unless a child of it goes on, they are there."""

EXIT_GRACE_S: Final = 5.0
"""A worker that closed its pipe has to exit within this, and the other way round."""


class Process(Protocol):
    """What the engine's actor needs of its process. ``pid`` is None until it runs."""

    pid: int | None

    def send(self, message: ToEngine) -> None:
        """Writes the message; nothing happens when the pipe is closed, for then the exit is near.
        Raises `PipeError` for a message that cannot be encoded."""
        ...

    def kill(self) -> None:
        """Ends the process now (SIGKILL); ``on_exit`` follows. May be called at any time."""
        ...


class StartProcess(Protocol):
    """Starts a process; nothing is called back before this has returned."""

    def __call__(
        self,
        command: Sequence[str],
        /,
        *,
        on_started: Callable[[int], object],
        on_message: Callable[[FromEngine], object],
        on_exit: Callable[[int | None, str], object],
    ) -> Process: ...


class Worker:
    """A worker process (`Process`).

    `on_message` is called for every message in its order, on the loop's thread, and `on_exit` once,
    after the last message, with the exit code (negative for a signal, None when the process could
    not be started) and a sentence. The runner behind it belongs to this object, and its failure is
    an exit too. Made and used on the loop's thread.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        on_started: Callable[[int], object],
        on_message: Callable[[FromEngine], object],
        on_exit: Callable[[int | None, str], object],
    ) -> None:
        self.pid: int | None = None
        self._command = tuple(command)
        self._on_started = on_started
        self._on_message = on_message
        self._on_exit = on_exit
        self._process: asyncio.subprocess.Process | None = None
        self._pipe: _Pipe | None = None
        self._words: _Words | None = None
        self._kill_wanted = False
        self._fault = ""
        self._greeted = False
        self._runner = asyncio.get_running_loop().create_task(self._run())
        self._runner.add_done_callback(self._ended)

    def send(self, message: ToEngine) -> None:
        """See `Process`."""
        frame = encode(message)
        if self._pipe is not None:
            self._pipe.write(frame)

    def kill(self) -> None:
        """See `Process`."""
        self._kill_wanted = True
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it was faster
                self._process.kill()

    async def _run(self) -> int:
        ours, theirs = socket.socketpair()
        # Not a pipe that asyncio makes: that one is closed by the other side alone, and a child
        # that the worker has left behind would keep it open for ever.
        our_words, their_words = socket.socketpair()
        with theirs, their_words:
            try:
                process = await asyncio.create_subprocess_exec(
                    *(part.replace("{fd}", str(theirs.fileno())) for part in self._command),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=their_words.fileno(),
                    pass_fds=(theirs.fileno(),),
                    # Ctrl-C in a terminal is for the node, which lets its tasks end first.
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                our_words.close()
                raise
        self._process = process
        try:
            # Connections to sockets that are connected already: no round trip, never wait.
            connect = asyncio.get_running_loop().create_unix_connection
            words = self._words = _Words()
            await connect(lambda: words, sock=our_words)
            pipe = _Pipe(self._receive, self._garbage)
            await connect(lambda: pipe, sock=ours)
            self._pipe = pipe
            self.pid = process.pid
            if self._kill_wanted:
                self.kill()
            self._on_started(process.pid)
            await self._await_end(process, pipe)
            await asyncio.wait({words.closed}, timeout=LAST_WORDS_S)
        finally:
            if process.returncode is None:
                self.kill()
                await process.wait()
            for connection, end in ((self._pipe, ours), (self._words, our_words)):
                if connection is None:
                    end.close()
                else:
                    connection.close()
        return await process.wait()

    async def _await_end(self, process: asyncio.subprocess.Process, pipe: _Pipe) -> None:
        """Both ends: the process gone and the pipe read to its end, so that no message is lost."""
        exited = asyncio.ensure_future(process.wait())
        both: list[asyncio.Future[Any]] = [exited, pipe.closed]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(both, timeout=EXIT_GRACE_S)
        if not exited.done():
            self.kill()
        await exited

    def _receive(self, message: FromEngine) -> None:
        if self._fault:
            return
        # Whether the model is loaded is said once, and before all else but how far that is.
        if isinstance(message, Ready | EmbeddingReady | Loading | LoadFailed) == self._greeted:
            self._garbage(PipeError(f"a {type(message).__name__} out of turn"))
            return
        self._greeted = not isinstance(message, Loading)
        self._on_message(message)

    def _garbage(self, error: PipeError) -> None:
        self._fault = f"the engine sent garbage: {error}"
        self.kill()

    def _ended(self, runner: asyncio.Task[int]) -> None:
        if runner.cancelled():
            self._on_exit(None, "the engine's runner was cancelled")
            return
        error = runner.exception()
        if error is not None:
            self._on_exit(None, f"the engine process cannot be run: {error}")
            return
        code = runner.result()
        self._on_exit(code, self._fault or self._describe(code))

    def _describe(self, code: int) -> str:
        if code < 0:
            text = f"the engine was ended by {_signal_name(-code)}"
        else:
            text = f"the engine exited with status {code}"
        last = "" if self._words is None else self._words.last_line()
        return f"{text}; its last words: {last}" if last and code else text


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class _Connection(asyncio.Protocol):
    """Our end of a socket to the worker; ``closed`` is done when it has been read to its end."""

    def __init__(self) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class _Words(_Connection):
    """What the worker writes on its standard error; the end of it is kept."""

    def __init__(self) -> None:
        super().__init__()
        self._tail = bytearray()

    def data_received(self, data: bytes) -> None:
        self._tail += data
        del self._tail[:-STDERR_TAIL_BYTES]
        if self._transport is not None and not self._transport.is_closing():
            # Who writes without end is slowed down by that, and not the node.
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(STDERR_PAUSE_S, self._go_on)

    def _go_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def last_line(self) -> str:
        lines = self._tail.decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip()[-200:] if lines else ""


class _Pipe(_Connection):
    """Bytes from the worker to messages."""

    def __init__(
        self, on_message: Callable[[FromEngine], object], on_garbage: Callable[[PipeError], object]
    ) -> None:
        super().__init__()
        self._reader = FrameReader(FROM_ENGINE_BYTES_MAX)
        self._on_message = on_message
        self._on_garbage = on_garbage
        self._broken = False

    def data_received(self, data: bytes) -> None:
        if self._broken:
            return
        try:
            messages = self._reader.feed(data)
        except PipeError as error:
            self._broken = True
            self._on_garbage(error)
            return
        for message in messages:
            self._on_message(message)  # type: ignore[arg-type]  # the worker's half alone

    def write(self, frame: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame)
