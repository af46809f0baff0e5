"""HTTP as it is on the wire: no client library corrects, adds or leaves out anything."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple
from urllib.parse import urlsplit

ANSWER_S = 30


class Answer(NamedTuple):
    """One answer; ``headers`` in lower case, of several of one name all, with commas between."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def exchange(url: str, *lines: str | bytes, body: bytes = b"") -> Answer:
    """Sends a request as it is written, its first line and its headers, to the server of the URL,
    and reads its answer: the body only when its length is said."""
    async with asyncio.timeout(ANSWER_S):
        reader, writer = await connect(url)
        try:
            head = [line if isinstance(line, bytes) else line.encode() for line in lines]
            writer.write(b"\r\n".join([*head, b"", b""]) + body)
            return await read(reader)
        finally:
            writer.close()


async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the server of the URL."""
    where = urlsplit(url)
    return await asyncio.open_connection(where.hostname, where.port)


async def read(reader: asyncio.StreamReader) -> Answer:
    """The next answer on a connection."""
    status = int((await reader.readline()).split()[1])
    headers: dict[str, str] = {}
    while line := (await reader.readline()).strip().decode():
        name, _, value = line.partition(":")
        name = name.lower()
        headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    length = int(headers.get("content-length", "0"))
    return Answer(status, headers, await reader.readexactly(length))
