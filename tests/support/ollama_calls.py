"""Ollama's own Python library on a node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ollama
import orjson


@asynccontextmanager
async def ollama_library(url: str, **how: Any) -> AsyncIterator[ollama.AsyncClient]:
    """The library, pointed at a node."""
    async with ollama.AsyncClient(url, **how) as client:
        yield client


def lines(body: bytes) -> list[Any]:
    """What the lines of a stream say, none of which may be blank."""
    *said, rest = body.split(b"\n")
    assert rest == b"", "a line is cut"
    assert all(said), body
    return [orjson.loads(each) for each in said]
