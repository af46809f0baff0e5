"""The node's HTTP server: aiohttp's application behind connections that have an end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from edge.clock import NS_PER_S, Clock
from edge.gateway import problems
from edge.gateway.http.acceptor import Acceptor
from edge.gateway.http.connection import HttpConnection, Patience, Refusal
from edge.gateway.http.places import Places
from edge.gateway.http.request import EXPECTS_CONTINUE, REFUSAL, examine
from edge.settings import Server as Limits

STOP_S: Final = 1.0
"""How long a stop waits for answers that are under way, and then for what is not yet taken."""


class HttpServer:
    """Serves an application on listening sockets, from `start` until `stop`."""

    def __init__(
        self,
        app: web.Application,
        limits: Limits,
        clock: Clock,
        places: int,
        refusal: Refusal = lambda _path, error: problems.from_error(error),
    ) -> None:
        """``places`` is how many connections there may be; see `edge.gateway.http.descriptors`.
        ``refusal`` answers what does not come to the application."""
        self._places: Places[HttpConnection] = Places(places, limits.connections_per_client_max)
        self._clock = clock
        self._runner = _Runner(app, self._places, Patience.of(limits), clock, refusal)
        self._acceptor: Acceptor | None = None

    @property
    def connections(self) -> int:
        """How many there are."""
        return self._places.taken

    async def start(self, listeners: Sequence[socket.socket]) -> None:
        """Serves from now on. The listeners are closed at the end."""
        await self._runner.setup()
        server = self._runner.server
        assert isinstance(server, _Server), "made by the runner"
        self._acceptor = Acceptor(listeners, server.connection, self._places, self._clock)
        self._acceptor.start()

    async def stop(self) -> None:
        """Takes nobody in any more, and ends all connections."""
        if self._acceptor is not None:
            await self._acceptor.close()
        await self._runner.cleanup()


class _Runner(web.AppRunner):
    def __init__(
        self,
        app: web.Application,
        places: Places[HttpConnection],
        patience: Patience,
        clock: Clock,
        refusal: Refusal,
    ) -> None:
        super().__init__(app, access_log=None, shutdown_timeout=STOP_S)
        self._connection_options = {
            "places": places, "patience": patience, "clock": clock, "refusal": refusal,
        }  # fmt: skip

    async def _make_server(self) -> web.Server:
        inner = await super()._make_server()
        return _Server(inner, self._connection_options)


class _Server(web.Server):
    """aiohttp's server with another kind of connection."""

    def __init__(self, inner: web.Server, connection_options: dict[str, Any]) -> None:
        super().__init__(self._answer, request_factory=self._make)
        self._inner = inner
        self._connection_options = connection_options
        self._clock: Clock = connection_options["clock"]
        self._refusal: Refusal = connection_options["refusal"]
        self._open: set[HttpConnection] = set()
        self._parted: asyncio.Event | None = None

    def connection(self, address: str) -> HttpConnection:
        """A new connection of a client at this address, which has a place."""
        return HttpConnection(self, loop=self._loop, address=address, **self._connection_options)

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._open.add(handler)

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._open.discard(handler)
        if self._parted is not None and not self._open:
            self._parted.set()

    async def shutdown(
        self,
        timeout: float | None = None,  # noqa: ASYNC109  # the method that is overridden has it
    ) -> None:
        """Ends all connections. What is written and not taken gets a last chance."""
        await super().shutdown(timeout)
        if not self._open:
            return
        self._parted = asyncio.Event()
        for connection in tuple(self._open):
            if not connection.is_unwritten():
                connection.cut()

        def cut_all() -> None:
            for connection in tuple(self._open):
                connection.cut()

        timer = self._clock.call_after(round((timeout or 0) * NS_PER_S), cut_all)
        await self._parted.wait()
        timer.cancel()

    def _make(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> Any:
        shown, refusal, expects_continue = examine(message)
        request = self._inner.request_factory(shown, payload, protocol, writer, task)
        if refusal is not None:
            request[REFUSAL] = refusal
        if expects_continue:
            request[EXPECTS_CONTINUE] = True
        return request

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        refusal = request.get(REFUSAL)
        if refusal is None:
            return await self._inner.request_handler(request)
        # Whatever follows need not be read.
        request.content.set_exception(web.RequestPayloadError(str(refusal)))
        response = self._refusal(request.path, refusal)
        response.force_close()
        return response
