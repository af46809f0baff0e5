"""Frames from a client have to be masked (RFC 6455 section 5.1); aiohttp's reader takes others.

A page in a browser could otherwise choose the bytes on the wire, and with them what a proxy on the
way takes for a request of its own and caches.
"""

from __future__ import annotations

from typing import Final, Protocol

_MASKED: Final = 0x80
_UNACCEPTABLE: Final = b"\x7f\x00"
"""A header with all reserved bits set: every reader ends with 1002 at this."""


class Reader(Protocol):
    """The part of aiohttp's `WebSocketReader` that its server uses."""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]: ...

    def feed_eof(self) -> None: ...


class MaskedFrames:
    """Passes a client's frames on to the reader, as far as they are masked. In the place of the
    first that is not it gets one that it has to refuse, so that it ends as it ends at any breach
    of the protocol: with 1002, and nothing after it is read."""

    __slots__ = ("_header", "_over", "_reader", "_skip_bytes")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._skip_bytes = 0  # of the mask and the payload of the frame under way
        self._header = b""  # the beginning of one that is not whole
        self._over = False

    def feed_eof(self) -> None:
        self._reader.feed_eof()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """As `WebSocketReader.feed_data`."""
        if self._over:
            return True, b""
        if self._header:
            data, self._header = self._header + data, b""
        start, size = 0, len(data)
        while True:
            start += self._skip_bytes
            if start >= size:
                self._skip_bytes = start - size
                return self._reader.feed_data(data)
            self._skip_bytes = 0
            if size - start < 2:
                break
            flags = data[start + 1]
            if not flags & _MASKED:
                self._over = True
                return self._reader.feed_data(data[:start] + _UNACCEPTABLE)
            length_bytes = {126: 2, 127: 8}.get(flags & 0x7F, 0)
            if size - start < 2 + length_bytes:
                break
            length = int.from_bytes(data[start + 2 : start + 2 + length_bytes], "big")
            payload_bytes = length if length_bytes else flags & 0x7F
            self._skip_bytes = 2 + length_bytes + 4 + payload_bytes
        self._header = data[start:]
        return self._reader.feed_data(data[:start]) if start else (False, b"")
