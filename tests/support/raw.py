"""A client that says what no HTTP library would."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

GUARD_S = 30
"""A test that waits this long has failed."""


class Answer(NamedTuple):
    """One response. The names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


class RawClient:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def half_close(self) -> None:
        """Ends the own side, as ``nc -N`` does."""
        self.writer.write_eof()

    def will_reset(self) -> None:
        """At the end of the connection there will be a reset, as when a machine goes away."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def answer(self) -> Answer:
        """The next response, of which the length is known."""
        async with asyncio.timeout(GUARD_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *rest = head.rstrip().split("\r\n")
            headers = {}
            for line in rest:
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            status = int(first.split()[1])
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
            return Answer(status, headers, body)

    async def rest(self) -> bytes:
        """All that comes until the node ends its side. A reset is an error."""
        async with asyncio.timeout(GUARD_S):
            return await self.reader.read()

    async def over(self) -> bool:
        """Waits until the node has ended the connection, by a reset or in order; whether nothing
        came before that."""
        try:
            return await self.rest() == b""
        except ConnectionError:
            return True


@asynccontextmanager
async def raw(url: str, local_address: str = "127.0.0.1") -> AsyncIterator[RawClient]:
    """A connection to the node, from this address."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port, local_addr=(local_address, 0)
    )
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()


async def exchange(url: str, *lines: str | bytes, body: bytes = b"") -> Answer:
    """The answer to one request: its first line and all its headers, as they are given."""
    head = [line if isinstance(line, bytes) else line.encode() for line in lines]
    async with raw(url) as client:
        await client.send(b"\r\n".join([*head, b"", b""]) + body)
        return await client.answer()


def request(line: str, *headers: bytes, body: bytes = b"", host: str | None = "localhost") -> bytes:
    """The bytes of a request, as they are given."""
    lines = [line.encode("latin-1"), *headers]
    if host is not None:
        lines.insert(1, b"Host: " + host.encode())
    return b"\r\n".join([*lines, b"", b""]) + body


def post(body: bytes, *headers: bytes, path: str = "/tasks") -> bytes:
    """A submission."""
    kind = b"Content-Type: application/json"
    return request(f"POST {path} HTTP/1.1", kind, *headers, body=body)


def length(body: bytes) -> bytes:
    """The header of this body."""
    return b"Content-Length: %d" % len(body)
