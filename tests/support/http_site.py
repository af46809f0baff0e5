"""The node's HTTP server in front of a few handlers that do what a test needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from edge.actors import System
from edge.clock import NS_PER_MS, ManualClock
from edge.gateway import problems
from edge.gateway.http.body import read_body
from edge.gateway.http.server import HttpServer
from edge.gateway.json import json_response
from edge.gateway.listen import listen, url_of
from edge.gateway.socket import Accepted, SocketApp, mount
from edge.phoenix import Json
from edge.services.watchers.channel import Answer, Channel, Channels, Decision, Ok
from edge.services.watchers.pubsub import PubSub
from edge.settings import Server, Socket
from edge.telemetry import Telemetry

LARGE_BYTES = 64 << 20
PAGE_BYTES = 256 << 10


class _Room(Channel):
    def join(self, topic: str, payload: Any) -> Decision:
        return Ok({})

    def handle_in(self, event: str, payload: Any, ref: Json) -> Answer:
        return Ok({"heard": payload})


class Site:
    """A server and what its handlers wait for."""

    def __init__(
        self, clock: ManualClock, url: str, server: HttpServer, sockets: SocketApp
    ) -> None:
        self.clock = clock
        self.url = url
        self.server = server
        self.sockets = sockets
        self.go_on = asyncio.Event()
        self.asked = asyncio.Event()
        """A handler that waits has begun to."""
        self.received: list[bytes] = []
        self.pages = 0

    async def pass_ms(self, wait_ms: int) -> None:
        """Lets everybody do what can be done, then time pass, then everybody do what is due."""
        await settle()
        self.clock.advance(wait_ms * NS_PER_MS)
        await settle()

    # --- the handlers

    async def look(self, _request: web.Request) -> web.Response:
        return json_response({"status": "ok"})

    async def submit(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        self.received.append(body)
        return json_response({"bytes": len(body)}, status=202)

    async def closed(self, _request: web.Request) -> web.Response:
        return problems.problem(401, "forbidden", "Not allowed", "nobody may")

    async def slow(self, _request: web.Request) -> web.Response:
        self.asked.set()
        await self.go_on.wait()
        return json_response({"status": "at last"})

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        self.asked.set()
        await self.go_on.wait()
        await response.write(b"data: 2\n\n")
        return response

    async def page(self, _request: web.Request) -> web.Response:
        self.pages += 1
        return web.Response(body=bytes(PAGE_BYTES))

    async def large(self, _request: web.Request) -> web.Response:
        return web.Response(body=bytes(LARGE_BYTES))

    async def defect(self, _request: web.Request) -> web.Response:
        raise ZeroDivisionError


async def settle() -> None:
    """Lets the event loop, the kernel and both sides of all connections take their turns."""
    for _ in range(50):
        await asyncio.sleep(0)


@asynccontextmanager
async def serving(
    places: int = 64, *, body_bytes_max: int = 1 << 20, **limits: Any
) -> AsyncIterator[Site]:
    """A site for the time of the block; ``limits`` as in the settings ``server.*``."""
    clock = ManualClock()
    loop = asyncio.get_running_loop()
    channels = Channels(System(clock, loop.call_soon), PubSub(), Telemetry())
    sockets = SocketApp(
        [("room:*", _Room)],
        lambda _info: Accepted("somebody"),
        channels=channels,
        clock=clock,
        limits=Socket(),
        telemetry=Telemetry(),
    )
    app = web.Application(middlewares=[problems.middleware], client_max_size=body_bytes_max)
    server = HttpServer(app, Server(body_bytes_max=body_bytes_max, **limits), clock, places)
    listeners = listen("127.0.0.1", 0)
    site = Site(clock, url_of(listeners[0]), server, sockets)
    app.router.add_get("/healthz", site.look)
    app.router.add_post("/tasks", site.submit)
    app.router.add_post("/closed", site.closed)
    app.router.add_get("/slow", site.slow)
    app.router.add_get("/stream", site.stream)
    app.router.add_get("/page", site.page)
    app.router.add_get("/large", site.large)
    app.router.add_get("/defect", site.defect)
    mount(app, "/socket", sockets)
    await server.start(listeners)
    try:
        yield site
    finally:
        site.go_on.set()
        stopping = asyncio.ensure_future(server.stop())
        while not stopping.done():
            await site.pass_ms(100)
        await stopping
