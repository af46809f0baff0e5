"""A transport whose `close` lets the other side read to the end.

A kernel that is told to close while there is something to read sends a reset, and a reset may take
the answer away from a client that has not read it yet: a 413 would look like a broken network. So
closing means to end the own side first, and to read and drop what still comes until the client has
ended its own, for a while (RFC 9112 section 9.6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Wire:
    """An asyncio transport as aiohttp and the socket's `Outbox` use it. `on_close` is called once,
    when the own side has been ended and the other is still open; `cut` has to follow."""

    __slots__ = (
        "_closing",
        "_on_close",
        "_transport",
        "abort",
        "get_extra_info",
        "get_write_buffer_size",
        "is_reading",
        "pause_reading",
        "peer_done",
        "resume_reading",
        "write",
        "writelines",
    )

    def __init__(self, transport: asyncio.Transport, on_close: Callable[[], object]) -> None:
        self._transport = transport
        self._on_close = on_close
        self._closing = False
        self.peer_done = False  # the other side has ended
        # Bound once: frames of every task pass here.
        self.abort = transport.abort
        self.get_extra_info = transport.get_extra_info
        self.get_write_buffer_size = transport.get_write_buffer_size
        self.is_reading = transport.is_reading
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self.write = transport.write
        self.writelines = transport.writelines

    def is_closing(self) -> bool:
        return self._closing or self._transport.is_closing()

    def close(self) -> None:
        """Ends this side once all is written."""
        if self.is_closing():
            return
        self._closing = True
        if self.peer_done:
            self._transport.close()
            return
        # What comes now is dropped, so nothing need hold it back.
        self._transport.resume_reading()
        self._transport.write_eof()
        self._on_close()

    def lose(self) -> None:
        """The connection is lost: there is nothing to close, and nobody to be told."""
        self._closing = True
        self._on_close = self._transport.abort

    def cut(self) -> None:
        """Ends both sides, at once if nothing waits to be written, else when that is."""
        self._closing = True
        self._transport.close()
