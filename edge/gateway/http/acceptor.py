"""Takes connections in, as many as there are places.

An event loop's own server is of no use here: uvloop's closes its listener for good when the process
has no descriptor left, and neither asks before it accepts.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from edge.clock import NS_PER_MS, Clock
from edge.errors import Overloaded
from edge.gateway import problems
from edge.gateway.http.connection import HttpConnection
from edge.gateway.http.places import Places, address_of

logger = logging.getLogger("elwift.gateway")

ACCEPTED_IN_A_ROW: Final = 64
"""Connections taken in before those that are open have their turn."""
REFUSED_MAX: Final = 16
"""Refused connections kept open, so that their clients can read why."""
REFUSED_MS: Final = 1_000
AGAIN_MS: Final = 500
"""When the system takes nobody in, as without a free descriptor, the next try."""
COMPLAINT_MS: Final = 60_000
"""What repeats itself is said once in this time."""


class Acceptor:
    """See the module. ``connection`` makes the protocol of one more client at this address."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        connection: Callable[[str], HttpConnection],
        places: Places[HttpConnection],
        clock: Clock,
    ) -> None:
        self._listeners = listeners
        self._connection = connection
        self._places = places
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._refused: deque[socket.socket] = deque()
        self._complained_ns: dict[str, int] = {}
        self._open = True
        self._answer = _refusal()

    def start(self) -> None:
        """Takes connections in from now on."""
        for listener in self._listeners:
            self._loop.add_reader(listener, self._accept, listener)

    async def close(self) -> None:
        """Takes nobody in any more, and closes the listeners. Who was taken in is connected."""
        self._open = False
        for listener in self._listeners:
            if listener.fileno() >= 0:  # who failed to start has closed it already
                self._loop.remove_reader(listener)
                listener.close()
        while self._refused:
            self._refused.popleft().close()
        if self._opening:
            await asyncio.wait(self._opening)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTED_IN_A_ROW):
            try:
                client, peer = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(listener, error)
                return
            if not peer:
                client.close()  # it is gone already, which macOS says in this way
                continue
            client.setblocking(False)
            address = address_of(peer[0])
            admitted, evicted = self._places.admit(address, HttpConnection.may_go)
            if not admitted:
                self._refuse(client)
                continue
            opening = self._loop.create_task(self._begin(client, address))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)
            if evicted is not None:
                # Its descriptor is free after this turn of the loop, and not before.
                evicted.evict()
                return

    async def _begin(self, client: socket.socket, address: str) -> None:
        connection = self._connection(address)
        try:
            await self._loop.connect_accepted_socket(lambda: connection, client)
        except OSError:
            client.close()  # the client is gone already
        if not connection.begun:
            self._places.leave(connection, address)

    def _refuse(self, client: socket.socket) -> None:
        """Says why without reading anything. Closing at once would take the answer back: see
        `Wire`."""
        self._complain(
            "places",
            f"all {self._places.limit} places for connections are taken, or all that one address"
            " may have; more are refused with 503 (server.connections_max,"
            " server.connections_per_client_max)",
        )
        try:
            client.send(self._answer)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            client.close()  # the client is gone already
            return
        self._refused.append(client)
        if len(self._refused) > REFUSED_MAX:
            self._refused.popleft().close()
        self._clock.call_after(REFUSED_MS * NS_PER_MS, client.close)

    def _pause(self, listener: socket.socket, error: OSError) -> None:
        """The line in the kernel stays as it is, and the loop must not be called for it at once
        again."""
        reason = error.strerror or str(error)
        self._complain("system", f"no new connection can be taken in ({reason}); trying again")
        self._loop.remove_reader(listener)

        def resume() -> None:
            if self._open:
                self._loop.add_reader(listener, self._accept, listener)

        self._clock.call_after(AGAIN_MS * NS_PER_MS, resume)

    def _complain(self, about: str, sentence: str) -> None:
        now_ns = self._clock.now_ns()
        last_ns = self._complained_ns.get(about)
        if last_ns is None or now_ns - last_ns >= COMPLAINT_MS * NS_PER_MS:
            self._complained_ns[about] = now_ns
            logger.warning("%s", sentence)


def _refusal() -> bytes:
    """The whole answer to a client that finds no place."""
    full = Overloaded(
        "the node has as many connections as it may have; try again in a moment",
        retry_after_ms=REFUSED_MS,
    )
    response = problems.from_error(full)
    response.headers["Content-Length"] = str(response.content_length)
    response.headers["Connection"] = "close"
    head = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
    assert isinstance(response.body, bytes), "a problem document is written by then"
    return f"HTTP/1.1 503 Service Unavailable\r\n{head}\r\n".encode() + response.body
