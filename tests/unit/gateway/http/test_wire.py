"""The transport's end, over a pair of sockets; what a client sees of it is in test_connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edge.gateway.http.wire import Wire
from tests.support.http_site import settle


class Listener(asyncio.Protocol):
    """Keeps what it hears, and stays when the other side ends."""

    def __init__(self) -> None:
        self.heard = b""
        self.lost = False

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def eof_received(self) -> bool:
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost = True


class Pair:
    def __init__(self, transport: asyncio.Transport, listener: Listener, other: socket.socket):
        self.closed = 0
        self.listener = listener
        self.other = other
        self.wire = Wire(transport, self._on_close)

    def _on_close(self) -> None:
        self.closed += 1


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    ours, other = socket.socketpair()
    listener = Listener()
    transport, _ = await asyncio.get_running_loop().connect_accepted_socket(lambda: listener, ours)
    with other:
        yield Pair(transport, listener, other)
        transport.abort()
        await settle()


async def test_a_close_ends_this_side_and_lets_the_other_go_on() -> None:
    async with pair() as p:
        p.wire.write(b"the end")
        p.wire.close()
        p.wire.close()
        assert p.wire.is_closing()
        assert p.closed == 1
        await settle()
        assert p.other.recv(100) == b"the end"
        assert p.other.recv(100) == b""
        p.other.sendall(b"still here")
        await settle()
        assert p.listener.heard == b"still here"
        p.wire.cut()
        await settle()
        assert p.listener.lost


async def test_it_ends_both_when_the_other_has_ended() -> None:
    async with pair() as p:
        p.other.shutdown(socket.SHUT_WR)
        await settle()
        p.wire.peer_done = True
        p.wire.close()
        assert p.closed == 1
        await settle()
        assert p.listener.lost


async def test_nobody_is_told_of_the_end_of_a_lost_one() -> None:
    async with pair() as p:
        p.wire.lose()
        p.wire.close()
        assert p.closed == 0


async def test_what_the_kernel_has_and_nobody_has_read() -> None:
    async with pair() as p:
        assert p.wire.unread_bytes() == 0
        p.other.sendall(b"GET /")
        assert p.wire.unread_bytes() == 5
        await settle()
        assert p.wire.unread_bytes() == 0
