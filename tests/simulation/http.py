"""The node's HTTP application, asked with made-up requests: its own middlewares and handlers, with
no socket below them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import orjson
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

HOST: Final = "127.0.0.1:4000"
BODY_BYTES_MAX: Final = 1 << 20


class Answer(NamedTuple):
    """What a request was answered with."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)


class Writer(AbstractStreamWriter):
    """The way back to the client; ``on_data`` hears what is written, if the client is still there.

    It is its own transport. ``stalled`` while the client does not read.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_data: Callable[[bytes], object]) -> None:
        self._loop = loop
        self._on_data = on_data
        self._reads: asyncio.Future[None] | None = None
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.gone = False

    # ---- what aiohttp and the handlers do

    async def write_headers(self, status_line: str, headers: CIMultiDict[str]) -> None:
        self.status = int(status_line.split()[1])
        self.headers = dict(headers)

    async def write(self, chunk: bytes | bytearray | memoryview) -> None:
        if self._reads is not None:
            await self._reads
        if self.gone:
            raise ConnectionResetError("the simulated client is gone")
        self._on_data(bytes(chunk))

    async def write_eof(self, chunk: bytes = b"") -> None:
        if chunk:
            await self.write(chunk)

    async def drain(self) -> None: ...

    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None:
        raise NotImplementedError("the node compresses nothing")

    def enable_chunking(self) -> None: ...

    def get_extra_info(self, name: str, default: object = None) -> object:
        return {"peername": ("127.0.0.1", 50_000), "sockname": ("127.0.0.1", 4_000)}.get(
            name, default
        )

    def is_closing(self) -> bool:
        return self.gone

    def abort(self) -> None:
        """The connection is over, whoever ends it: what is written now fails."""
        self.gone = True
        self.resume()

    # ---- what the client does

    def stall(self) -> None:
        """Stops reading."""
        if self._reads is None:
            self._reads = self._loop.create_future()

    def resume(self) -> None:
        """Reads again."""
        reads, self._reads = self._reads, None
        if reads is not None and not reads.done():
            reads.set_result(None)


class _Protocol:
    """As much of aiohttp's server protocol as a request looks at."""

    ssl_context = None
    _reading_paused = False

    def __init__(self, transport: Writer) -> None:
        self.transport = transport
        self.writer = transport
        self.peername = transport.get_extra_info("peername")
        self.sockname = transport.get_extra_info("sockname")

    def pause_reading(self, **_options: object) -> None: ...

    def resume_reading(self, **_options: object) -> None: ...


class Http:
    """The application of one life of the node. To be used on its loop."""

    def __init__(self, application: web.Application, loop: asyncio.AbstractEventLoop) -> None:
        application._set_loop(loop)
        application.freeze()
        self._application = application
        self._loop = loop

    async def ask(
        self,
        method: str,
        path: str,
        *,
        token: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """A request whose answer is wanted whole."""
        parts: list[bytes] = []
        writer = Writer(self._loop, parts.append)
        await self.serve(writer, method, path, token=token, headers=headers, body=body)
        return Answer(writer.status, writer.headers, b"".join(parts))

    async def serve(
        self,
        writer: Writer,
        method: str,
        path: str,
        *,
        token: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> None:
        """A request whose answer goes to the writer; returns when it has ended."""
        given = CIMultiDict({"Host": HOST, "Authorization": f"Bearer {token}"})
        if body is not None:
            given.update({"Content-Type": "application/json", "Content-Length": str(len(body))})
        given.update(headers or {})
        raw = tuple((name.encode(), value.encode()) for name, value in given.items())
        message = RawRequestMessage(
            method, path, HttpVersion11, CIMultiDictProxy(given), raw, False, None, False, False,
            URL(path, encoded=True),
        )  # fmt: skip
        protocol: Any = _Protocol(writer)
        payload = StreamReader(protocol, BODY_BYTES_MAX, loop=self._loop)
        payload.feed_data(body or b"")
        payload.feed_eof()
        runner: Any = asyncio.current_task()
        request = self._application._make_request(message, payload, protocol, writer, runner)
        response = await self._application._handle(request)
        await response.prepare(request)
        await response.write_eof()
