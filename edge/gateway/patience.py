"""What is asked for a client is asked as long as the client is there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from aiohttp import web

from edge.clock import NS_PER_MS, Clock

T = TypeVar("T")

LOOK_MS: Final = 250
"""How often it is looked whether the client has gone away: no event tells a handler."""


async def while_there(request: web.Request, clock: Clock, question: Coroutine[Any, Any, T]) -> T:
    """What the question comes to. When the client goes away first the question is cancelled, and
    ConnectionResetError raised once it has ended."""
    asked = asyncio.get_running_loop().create_task(question)

    gone = False

    def look() -> None:
        nonlocal gone
        if is_gone(request):
            gone = True
            asked.cancel()
        elif not asked.done():
            clock.call_after(LOOK_MS * NS_PER_MS, look)

    clock.call_after(LOOK_MS * NS_PER_MS, look)
    try:
        return await asked
    except asyncio.CancelledError as error:
        if gone:
            raise ConnectionResetError("the client has gone away") from error
        raise


def is_gone(request: web.Request) -> bool:
    """Whether nobody is left to answer to."""
    return request.transport is None or request.transport.is_closing()
