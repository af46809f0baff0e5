"""A transport whose `close` lets the other side read to the end.

A kernel that is told to close while there is something to read sends a reset, and a reset may take
the answer away from a client that has not read it yet: a 413 would look like a broken network. So
closing means to end the own side first, and to read and drop what still comes until the client has
ended its own, for a while (RFC 9112 section 9.6).
"""

from __future__ import annotations

import asyncio
import fcntl
import termios
from array import array
from collections.abc import Callable, Iterable
from typing import Any


class Wire:
    """An asyncio transport as aiohttp and the socket's `Outbox` use it. `on_close` is called once,
    when this side has been ended; unless the connection is lost in time, `cut` has to follow."""

    __slots__ = (
        "_closing",
        "_on_close",
        "_transport",
        "get_write_buffer_size",
        "peer_done",
        "set_write_buffer_limits",
        "write",
    )

    def __init__(self, transport: asyncio.Transport, on_close: Callable[[], object]) -> None:
        self._transport = transport
        self._on_close = on_close
        self._closing = False
        self.peer_done = False  # the other side has ended
        # Bound once: the frames of all tasks pass here.
        self.get_write_buffer_size = transport.get_write_buffer_size
        self.write = transport.write
        self.set_write_buffer_limits = transport.set_write_buffer_limits

    def is_closing(self) -> bool:
        return self._closing or self._transport.is_closing()

    def close(self) -> None:
        """Ends this side once all is written."""
        if self.is_closing():
            return
        self._closing = True
        if self.peer_done:
            self._transport.close()
        else:
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

    def unread_bytes(self) -> int:
        """How much has come that the node has not looked at yet."""
        count = array("i", [0])
        fcntl.ioctl(self.get_extra_info("socket").fileno(), termios.FIONREAD, count)
        return count[0]

    # --- as they are

    def abort(self) -> None:
        self._transport.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def writelines(self, data: Iterable[bytes]) -> None:
        self._transport.writelines(data)
