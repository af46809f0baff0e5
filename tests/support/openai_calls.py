"""OpenAI's own Python library, and bare HTTP beside it, on a node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import orjson

from tests.support.raw import RawClient, length, post, raw

HI: list[Any] = [{"role": "user", "content": "hi"}]


def says(text: str) -> list[Any]:
    """A conversation in which a user says this."""
    return [{"role": "user", "content": text}]


@asynccontextmanager
async def library(url: str, **how: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    """The library, pointed at a node."""
    options: dict[str, Any] = {"api_key": "none is needed", "max_retries": 0} | how
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", **options) as client:
        yield client


@asynccontextmanager
async def posted(
    url: str, body: Any, *headers: bytes, path: str = "/v1/chat/completions"
) -> AsyncIterator[RawClient]:
    """A connection over which this has been sent."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    async with raw(url) as client:
        await client.send(post(data, length(data), *headers, path=path))
        yield client


async def head(client: RawClient) -> tuple[int, dict[str, str]]:
    """The status and the headers of an answer, which may go on; names in lower case."""
    text = (await client.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = text.rstrip().split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}


async def chunk(client: RawClient) -> bytes:
    """The next piece of a body in chunks (RFC 9112 section 7.1); empty at its end."""
    size = int(await client.reader.readline(), 16)
    data = await client.reader.readexactly(size)
    await client.reader.readexactly(2)
    return data


async def whole_body(client: RawClient) -> bytes:
    """All that is left of a body in chunks."""
    pieces = []
    while piece := await chunk(client):
        pieces.append(piece)
    return b"".join(pieces)


def events(body: bytes) -> list[Any]:
    """What the events of a stream say, which have to be one line of data each; the last is its
    end."""
    *said, rest = body.split(b"\n\n")
    assert rest == b"", "an event is cut"
    assert all(each.startswith(b"data: ") and b"\n" not in each for each in said), body
    assert said[-1] == b"data: [DONE]", body
    return [orjson.loads(each[6:]) for each in said[:-1]]
