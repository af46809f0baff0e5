"""The connection of a call while its answer is made: whether anybody is there, and when it has been
silent for too long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from edge.clock import NS_PER_MS, Clock, Timer
from edge.gateway.patience import LOOK_MS, is_gone

KEEP_ALIVE_MS: Final = 10_000
"""Below what proxies and libraries wait for between two bytes."""


class Connection:
    """One call's. ``wake`` is called when the client has gone, and when something should be said
    so that the connection is not taken for dead. To be closed."""

    def __init__(
        self, request: web.Request, clock: Clock, wake: Callable[[], object], silent_ms: int
    ) -> None:
        """``silent_ms`` may pass before the first word."""
        self._request = request
        self._clock = clock
        self._wake = wake
        self.gone = False
        self.silent = False
        self._silence: Timer | None = None
        self.spoke(silent_ms)
        self._look: Timer = self._look_later()

    def spoke(self, silent_ms: int = KEEP_ALIVE_MS) -> None:
        """Something was said: for so long nothing more need be."""
        self.silent = False
        if self._silence is not None:
            self._silence.cancel()
        self._silence = self._clock.call_after(silent_ms * NS_PER_MS, self._on_silence)

    def close(self) -> None:
        """Nobody looks any more."""
        self._look.cancel()
        if self._silence is not None:
            self._silence.cancel()

    def _on_silence(self) -> None:
        self.silent = True
        self._wake()

    def _look_later(self) -> Timer:
        return self._clock.call_after(LOOK_MS * NS_PER_MS, self._on_look)

    def _on_look(self) -> None:
        if has_left(self._request):
            self.gone = True
            self._wake()
        else:
            self._look = self._look_later()


def has_left(request: web.Request) -> bool:
    """Whether the client has gone. One that has ended its own side has, too: none of these clients
    does so while it waits, and nothing else is seen of it until something is written."""
    return is_gone(request) or getattr(request.transport, "peer_done", False)
