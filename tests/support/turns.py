"""Waiting for what another thread, or the other end of a connection, is about to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

GUARD_S = 30


async def until(condition: Callable[[], object], meanwhile: Callable[[], object] = int) -> None:
    """Gives the loop turns until it is so; ``meanwhile`` is called in each, such as to let time
    pass. TimeoutError after half a minute."""
    async with asyncio.timeout(GUARD_S):
        while not condition():  # turns for others, not a wait
            meanwhile()
            await asyncio.sleep(0)
