"""A client that is cheap enough not to be what is measured: many sockets, hardly a thought each.

As a script, ``python -m bench.watcher URL TASKS FILE``: submits that many tasks, watches each on a
socket of its own and prints ``joined``. It is then told a window, ``START END`` in nanoseconds of
the monotonic clock, which all processes share. Afterwards it prints how many frames it got in the
window, and FILE has the age of each token in it: from its stamp to the frame being read, in
nanoseconds, as an array of 64-bit integers.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from array import array
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import aiohttp
import uvloop

TOKENS_MAX = 1_000_000
AT_ONCE = 50


def masked(text: str) -> bytes:
    """A text frame of a client, with a mask of zeros: it changes nothing, and costs nothing."""
    data = text.encode()
    length = bytes((0x80 | len(data),)) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2)
    return b"\x81" + length + b"\0\0\0\0" + data


class Connection(asyncio.Protocol):
    """One socket. A subclass is told of whole frames by `hear`; ``opened`` is the handshake's end.

    Only the server's frames up to 64 KiB are understood, and nothing is checked.
    """

    def __init__(self, host: str) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._host = host
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own does not inherit it
        self.transport.write(
            f"GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: {self._host}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        if self._rest:
            data = self._rest + data
            self._rest = b""
        if not self.opened.done():
            head, separator, data = data.partition(b"\r\n\r\n")
            if not separator:
                self._rest = head
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self.opened.set_result(None)
        size_bytes = len(data)
        start = 0
        while size_bytes - start >= 4:
            length = data[start + 1]
            begin = start + 2
            if length == 126:
                length = data[start + 2] << 8 | data[start + 3]
                begin = start + 4
            if begin + length > size_bytes:
                break
            self.hear(data[begin : begin + length], now_ns)
            start = begin + length
        if start < size_bytes:
            self._rest = data[start:]

    def hear(self, frame: bytes, now_ns: int) -> None:
        """One frame of the server, read at this time."""
        raise NotImplementedError


class Window:
    """The time in which samples count, and the samples."""

    def __init__(self) -> None:
        self.start_ns = self.end_ns = 1 << 62
        self.frames = 0
        self.ages_ns = array("q")


class Watcher(Connection):
    """Watches one task; the words of its text are the times at which they were made."""

    def __init__(self, host: str, window: Window, joined: asyncio.Future[None]) -> None:
        super().__init__(host)
        self._window = window
        self._joined = joined

    def hear(self, frame: bytes, now_ns: int) -> None:
        found = frame.find(b'"delta":"')
        if found < 0:
            return
        if not self._joined.done():
            self._joined.set_result(None)
            return
        window = self._window
        if not window.start_ns <= now_ns < window.end_ns:
            return
        window.frames += 1
        found += 9
        for stamp in frame[found : frame.index(b'"', found)].split():
            window.ages_ns.append(now_ns - int(stamp))


async def connect(url: str, connection: Connection) -> None:
    """Opens the socket; returns after the handshake."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: connection, parts.hostname, parts.port)
    await connection.opened


async def watch(http: aiohttp.ClientSession, url: str, window: Window) -> None:
    """Submits one task and joins its channel."""
    async with http.post(f"{url}/tasks", json={"prompt": "x", "max_tokens": TOKENS_MAX}) as answer:
        assert answer.status == 202, await answer.text()
        topic = (await answer.json())["topic"]
    joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    watcher = Watcher(urlsplit(url).netloc, window, joined)
    await connect(url, watcher)
    watcher.transport.write(masked(f'["1","1","{topic}","phx_join",{{}}]'))
    await joined


async def main(url: str, tasks: int) -> Window:
    """The script, up to the end of the window."""
    window = Window()
    limit = asyncio.Semaphore(AT_ONCE)
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:

        async def one() -> None:
            async with limit:
                await watch(http, url, window)

        for _ in range(tasks):
            group.create_task(one())
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.stdout.write("joined\n")
    sys.stdout.flush()
    line = await asyncio.to_thread(sys.stdin.readline)
    window.start_ns, window.end_ns = map(int, line.split())
    await asyncio.sleep((window.end_ns - time.monotonic_ns()) / 1e9)
    return window


if __name__ == "__main__":
    measured = uvloop.run(main(sys.argv[1], int(sys.argv[2])))
    Path(sys.argv[3]).write_bytes(measured.ages_ns.tobytes())
    sys.stdout.write(f"{measured.frames}\n")
