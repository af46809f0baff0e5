"""The fixture application on a free port, and the ways to reach it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal

import aiohttp
from aiohttp import web

from edge.clock import Clock, SystemClock
from edge.settings import Socket as Limits
from edge.telemetry.events import Event
from tests.conformance.fixture import Fixture


class Server:
    """A running fixture application."""

    def __init__(self, fixture: Fixture, http: aiohttp.ClientSession, port: int) -> None:
        self.fixture = fixture
        self.http = http
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def connect(
        self,
        path: str = "/socket/websocket",
        query: str = "vsn=2.0.0",
        protocols: Sequence[str] = (),
    ) -> AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse[Literal[True]]]:
        """A WebSocket that aiohttp's client handles."""
        return self.http.ws_connect(f"{self.url}{path}?{query}", protocols=protocols)

    async def handshake_status(self, path: str, query: str, headers: Mapping[str, str]) -> int:
        """The status of a handshake as it is on the wire: no client library changes the query."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        lines = [
            f"GET {path}?{query} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        status_line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return int(status_line.split()[1])

    def listen(self, name: str) -> list[dict[str, object]]:
        """A list that gets the fields of each event of this name from now on."""
        heard: list[dict[str, object]] = []

        def hear(event: Event) -> None:
            if event.name == name:
                heard.append(event.fields)

        self.fixture.telemetry.attach(hear)
        return heard


@asynccontextmanager
async def serving(
    clock: Clock | None = None, limits: Limits | None = None
) -> AsyncIterator[Server]:
    """Serves the fixture application for the time of the block, and drains it."""
    fixture = Fixture(clock or SystemClock(asyncio.get_running_loop()), limits)
    runner = web.AppRunner(fixture.app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession() as http:
        try:
            yield Server(fixture, http, port)
        finally:
            await runner.cleanup()
