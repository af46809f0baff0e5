"""A network that fails on demand: a TCP proxy that knows where the server's frames end."""

from __future__ import annotations

import asyncio
import itertools
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Proxy:
    """Forwards connections to the node at ``target``; None lets nobody through.

    ``frames_max`` says how many of the server's frames connection number n (from 0) passes before
    it is cut, None for no end; with ``torn`` half of the next frame comes along. ``passed`` counts
    the frames of each connection that reached the server.
    """

    def __init__(self, target: str | None) -> None:
        self.target = target
        self.frames_max: Callable[[int], int | None] = lambda _number: None
        self.torn = False
        self.passed: list[int] = []
        self.port = 0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def freeze(self) -> None:
        """Nothing is forwarded any more on the connections there are, in either direction, and
        neither side is told; new ones work."""
        self._flowing.clear()
        self._flowing = asyncio.Event()
        self._flowing.set()

    def cut(self) -> None:
        """Ends all connections; ``target`` decides on those that follow."""
        for connection in self._connections:
            connection.cancel()

    async def accept(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        """One connection, from its beginning to its end."""
        runner = asyncio.current_task()
        assert runner is not None
        self._connections.add(runner)
        # A cut is our own doing; the rest is what a connection may die of.
        with suppress(asyncio.CancelledError, OSError, asyncio.IncompleteReadError):
            await self._forward(client, answers)
        self._connections.discard(runner)
        answers.close()

    async def _forward(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        if self.target is None:
            return
        address = urlsplit(self.target)
        node, requests = await asyncio.open_connection(address.hostname, address.port)
        number = len(self.passed)
        self.passed.append(0)
        flowing = self._flowing
        up = asyncio.create_task(_pump(client, requests, flowing))
        try:
            answers.write(await node.readuntil(b"\r\n\r\n"))
            await self._pass_frames(number, node, answers, flowing)
        finally:
            up.cancel()
            requests.close()

    async def _pass_frames(
        self,
        number: int,
        node: asyncio.StreamReader,
        answers: asyncio.StreamWriter,
        flowing: asyncio.Event,
    ) -> None:
        limit = self.frames_max(number)
        for _ in itertools.count() if limit is None else range(limit):
            frame = await _read_frame(node)
            await flowing.wait()
            answers.write(frame)
            await answers.drain()
            self.passed[number] += 1
        if self.torn:
            frame = await _read_frame(node)
            answers.write(frame[: len(frame) // 2])


async def _pump(
    client: asyncio.StreamReader, requests: asyncio.StreamWriter, flowing: asyncio.Event
) -> None:
    with suppress(OSError):
        while True:
            data = await client.read(65_536)
            await flowing.wait()
            if not data:
                break
            requests.write(data)
            await requests.drain()
    requests.close()


async def _read_frame(node: asyncio.StreamReader) -> bytes:
    """The next frame of a server, whole (RFC 6455, section 5.2: no mask)."""
    head = await node.readexactly(2)
    length = head[1] & 0x7F
    if length == 126:
        head += await node.readexactly(2)
        (length,) = struct.unpack("!H", head[2:])
    elif length == 127:
        head += await node.readexactly(8)
        (length,) = struct.unpack("!Q", head[2:])
    return head + await node.readexactly(length)


@asynccontextmanager
async def proxied(target: str | None) -> AsyncIterator[Proxy]:
    """A proxy on a free port for the time of the block."""
    proxy = Proxy(target)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        await server.wait_closed()
