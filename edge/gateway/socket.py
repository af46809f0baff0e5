"""The Phoenix socket on aiohttp: where it is mounted, who may connect, how all are drained."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, NamedTuple, TypeAlias

from aiohttp import HttpVersion11, web

from edge.clock import NS_PER_MS, Clock
from edge.gateway.budget import Budget
from edge.gateway.connection import CLOSE_MS_MAX, Connection
from edge.gateway.handshake import SUBPROTOCOL, Handshake, Refusal, examine, flaw
from edge.gateway.outbox import Counters
from edge.phoenix import CLOSE_GOING_AWAY, CLOSE_RESTART, Router
from edge.services.watchers.channel import ChannelFactory, Channels
from edge.settings import Socket as Limits
from edge.telemetry.events import Telemetry

# It warns with what a client offers as sub-protocols, and one of them may be its token.
logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)

DRAIN_BATCH: Final = 200
DRAIN_GAP_MS: Final = 100


class ConnectInfo(NamedTuple):
    """What `SocketApp.connect` decides on."""

    params: dict[str, str]
    token: str | None
    request: web.BaseRequest


class Accepted(NamedTuple):
    """The client may connect. ``client`` is handed to its channels; all sockets with the same
    ``socket_id`` can be closed by `SocketApp.disconnect`."""

    client: Any
    socket_id: str | None = None


Connect: TypeAlias = Callable[[ConnectInfo], Accepted | Refusal]


class SocketApp:
    """One mount of the Phoenix socket and all sockets that are open on it.

    ``connect`` decides on each handshake and must not wait.
    """

    def __init__(
        self,
        routes: Iterable[tuple[str, ChannelFactory]],
        connect: Connect,
        *,
        channels: Channels,
        clock: Clock,
        limits: Limits,
        telemetry: Telemetry,
        budget: Budget | None = None,
    ) -> None:
        self.router: Router[ChannelFactory] = Router(routes)
        self.connect = connect
        self.channels = channels
        self.clock = clock
        self.limits = limits
        self.telemetry = telemetry
        self.counters = Counters()
        self.budget = budget or Budget(limits.outboxes_bytes_max)
        self._connections: dict[Connection, None] = {}
        self._draining = False
        self._emptied = asyncio.Event()

    @property
    def sockets(self) -> int:
        """How many are open."""
        return len(self._connections)

    def figures(self) -> dict[str, int]:
        """How many are open, and what all outboxes did since the start."""
        counters = self.counters
        return {"open": len(self._connections)} | {
            name: getattr(counters, name) for name in ("frames", "merges", "overflows", "writes")
        }

    def disconnect(self, socket_id: str, reason: str = "disconnected") -> int:
        """Closes all sockets of this id with 1001, and says how many. Their clients come back
        unless `connect` refuses them."""
        chosen = [each for each in self._connections if each.socket_id == socket_id]
        for connection in chosen:
            connection.close(CLOSE_GOING_AWAY, reason)
        return len(chosen)

    async def drain(self) -> None:
        """Refuses new sockets and closes all with 1012, in batches, so that the clients come back
        to the next node a few at a time. Returns when all are gone; the last ones are cut off."""
        self._draining = True
        waiting = tuple(self._connections)
        for start in range(0, len(waiting), DRAIN_BATCH):
            if start:
                await self._pause(DRAIN_GAP_MS)
            for connection in waiting[start : start + DRAIN_BATCH]:
                connection.close(CLOSE_RESTART, "the node restarts")
        self._emptied.clear()
        if self._connections:
            await self._emptied.wait()

    def examine(self, request: web.Request) -> tuple[Handshake, Accepted] | Refusal:
        """The decision on a handshake, in Phoenix's order."""
        handshake = examine(request.rel_url.raw_query_string, request.headers)
        if isinstance(handshake, Refusal):
            return handshake
        if self._draining:
            return Refusal(503, "the node restarts\n", {"Retry-After": "1"})
        params = dict(handshake.params)
        accepted = self.connect(ConnectInfo(params, handshake.token, request))
        if isinstance(accepted, Refusal):
            return accepted
        return handshake, accepted

    def opened(self, connection: Connection) -> None:
        """A connection has begun; every one is reported to `closed`, too."""
        self._connections[connection] = None
        if self._draining:  # its handshake was under way when the drain began
            connection.close(CLOSE_RESTART, "the node restarts")

    def closed(self, connection: Connection) -> None:
        """A connection is over."""
        del self._connections[connection]
        if not self._connections:
            self._emptied.set()

    async def _pause(self, wait_ms: int) -> None:
        over = asyncio.Event()
        timer = self.clock.call_after(wait_ms * NS_PER_MS, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()


def mount(app: web.Application, path: str, socket_app: SocketApp) -> None:
    """Serves the socket under ``path``: ``/websocket``, with or without a slash behind it.

    There is no long-poll transport; ``/longpoll`` answers 404 like any unknown path.
    """
    handler = websocket_handler(socket_app)
    app.router.add_route("*", f"{path}/websocket", handler)
    app.router.add_route("*", f"{path}/websocket/", handler)


def websocket_handler(
    socket_app: SocketApp,
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The aiohttp handler of one mount."""

    async def handle(request: web.Request) -> web.StreamResponse:
        outcome = socket_app.examine(request)
        if isinstance(outcome, Refusal):
            return web.Response(
                status=outcome.status, text=outcome.text, headers=dict(outcome.headers)
            )
        handshake, accepted = outcome
        response = web.WebSocketResponse(
            timeout=2 * CLOSE_MS_MAX / 1000,
            autoping=False,
            autoclose=False,
            compress=False,
            max_msg_size=socket_app.limits.frame_bytes_max + 1,
            protocols=(SUBPROTOCOL,) if handshake.subprotocol else (),
        )
        wrong = flaw(request.headers)
        if request.method != "GET" or request.version < HttpVersion11:
            wrong = "a WebSocket begins with GET and HTTP/1.1"
        if wrong is not None:
            raise web.HTTPBadRequest(text=wrong)
        # aiohttp refuses in the same way what has no Connection: upgrade.
        await response.prepare(request)
        transport = request.transport
        if transport is not None:
            connection = Connection(
                socket_app, handshake, accepted.client, accepted.socket_id, transport
            )
            await connection.run(response)
        return response

    return handle
