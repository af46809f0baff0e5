"""An engine process that is played: it says what a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from edge.engine.messages import FromEngine, Ping, ToEngine, encode


class Played:
    """A process that says what the test wants, and keeps what it hears."""

    pid: int | None = 1

    def __init__(self) -> None:
        self.heard: asyncio.Queue[ToEngine] = asyncio.Queue()
        self.say: Callable[[FromEngine], object] = lambda _message: None
        self.exit: Callable[[int | None, str], object] = lambda _code, _reason: None

    def start(
        self,
        _command: Sequence[str],
        /,
        *,
        on_started: Callable[[int], object],
        on_message: Callable[[FromEngine], object],
        on_exit: Callable[[int | None, str], object],
    ) -> Played:
        self.say, self.exit = on_message, on_exit
        return self

    def send(self, message: ToEngine) -> None:
        """As `Worker.send`: PipeError for what cannot cross a pipe."""
        encode(message)
        self.heard.put_nowait(message)

    def kill(self) -> None:
        """It has no end."""

    async def hears(self) -> ToEngine:
        """The next message, but for pings."""
        while isinstance(message := await self.heard.get(), Ping):
            pass
        return message
