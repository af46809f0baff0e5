"""What the machine itself takes for the way of a frame: a loop that does nothing but pass it on.

A process that makes tokens, one whose event loop writes each as a frame to its socket at once, and
one that reads them: the three processes of `bench.test_frames` without a node in the middle. What
the kernel takes to write to a socket and to wake its reader is the floor of any node's figures, and
differs between machines by more than nodes do.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import socket
import time
from array import array
from multiprocessing.connection import Connection
from typing import Any

import uvloop

WINDOW_S = 4.0
STEP_BYTES = 64
FRAME_BYTES = 190
"""As long as a frame with one token."""
_STAMP = slice(4, 24)


def _make(pipe: socket.socket, tasks: int, per_second: int, staggered: bool) -> None:
    """Writes each task's token, `STEP_BYTES` of them: number, time, and what else there is."""
    portion = 1 if staggered else tasks
    interval_s = portion / tasks / per_second
    due_s = time.monotonic()
    end_s, first = due_s + WINDOW_S, 0
    while due_s < end_s:
        due_s += interval_s
        time.sleep(max(0.0, due_s - time.monotonic()))
        stamp = b"%020d" % time.monotonic_ns()
        numbers = range(first, first + portion)
        pipe.sendall(b"".join(n.to_bytes(4) + stamp + bytes(STEP_BYTES - 24) for n in numbers))
        first = (first + portion) % tasks
    pipe.close()


def _read(port: int, tasks: int, result: Connection) -> None:
    """Reads all frames, and sends how old each was."""
    ages_ns = array("q")

    class Reader(asyncio.Protocol):
        def __init__(self) -> None:
            self.gone = asyncio.get_running_loop().create_future()

        def data_received(self, data: bytes) -> None:
            now_ns = time.monotonic_ns()
            for start in range(0, len(data), FRAME_BYTES):
                ages_ns.append(now_ns - int(data[start : start + 20]))

        def connection_lost(self, exc: Exception | None) -> None:
            self.gone.set_result(None)

    async def read() -> None:
        loop = asyncio.get_running_loop()
        pairs = [await loop.create_connection(Reader, "127.0.0.1", port) for _ in range(tasks)]
        await asyncio.gather(*(reader.gone for _, reader in pairs))

    uvloop.run(read())
    result.send_bytes(ages_ns.tobytes())


class _Passing(asyncio.Protocol):
    """Writes each token to its client, at once."""

    def __init__(self, clients: list[asyncio.Transport]) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._clients = clients
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        end = len(data) // STEP_BYTES * STEP_BYTES
        self._rest = data[end:]
        for start in range(0, end, STEP_BYTES):
            token = data[start : start + STEP_BYTES]
            client = self._clients[int.from_bytes(token[:4])]
            client.write(token[_STAMP] + bytes(FRAME_BYTES - 20))

    def connection_lost(self, exc: Exception | None) -> None:
        self.done.set_result(None)


async def _pass(tasks: int, per_second: int, staggered: bool) -> tuple[bytes, float]:
    loop = asyncio.get_running_loop()
    clients: list[asyncio.Transport] = []
    all_there = asyncio.Event()

    class Client(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            transport.set_write_buffer_limits(high=0)  # each frame leaves at once, as the node's do
            clients.append(transport)
            if len(clients) == tasks:
                all_there.set()

    server = await loop.create_server(Client, "127.0.0.1", 0)
    processes = multiprocessing.get_context("spawn")
    result, results = processes.Pipe(duplex=False)
    port = server.sockets[0].getsockname()[1]
    reader = processes.Process(target=_read, args=(port, tasks, results))
    reader.start()
    await all_there.wait()
    ours, theirs = socket.socketpair()
    maker = processes.Process(target=_make, args=(theirs, tasks, per_second, staggered))
    maker.start()
    theirs.close()
    before = resource.getrusage(resource.RUSAGE_SELF)
    _, passing = await loop.create_connection(lambda: _Passing(clients), sock=ours)
    await passing.done
    after = resource.getrusage(resource.RUSAGE_SELF)
    for client in clients:
        client.close()
    ages = await loop.run_in_executor(None, result.recv_bytes)
    reader.join()
    maker.join()
    server.close()
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return ages, cpu_s


def measure(tasks: int, per_second: int, *, staggered: bool) -> tuple[array[int], float]:
    """How old each frame was when it was read, in nanoseconds, and the processor time of the
    passing process for one, in microseconds."""
    ages, cpu_s = uvloop.run(_pass(tasks, per_second, staggered))
    ages_ns = array("q")
    ages_ns.frombytes(ages)
    return ages_ns, cpu_s * 1e6 / max(1, len(ages_ns))
