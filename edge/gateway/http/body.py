"""The body of a request: the one place where it is asked for, read and inflated.

Whoever calls `read_body` has checked before that the caller may send one. Only then is a client
that waits for ``100 Continue`` told to go on.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Final

from aiohttp import hdrs, web

from edge.errors import BodyTooLarge
from edge.gateway.http.errors import MalformedRequest, UnsupportedEncoding
from edge.gateway.http.request import EXPECTS_CONTINUE

_AT_ONCE_BYTES: Final = 65_536
"""More than this is inflated on another thread, so that the loop does not wait for it."""
_GZIP_BITS: Final = 16 + zlib.MAX_WBITS
_WINDOW_BITS: Final = {"gzip": _GZIP_BITS, "x-gzip": _GZIP_BITS, "deflate": zlib.MAX_WBITS}
_ZLIB_METHOD: Final = 8


async def read_body(request: web.Request) -> bytes:
    """The whole body, inflated. BodyTooLarge over ``server.body_bytes_max``, as it comes or
    inflated; UnsupportedEncoding; MalformedRequest when it is cut or broken; TooSlow when it does
    not arrive in time."""
    limit_bytes = request.client_max_size
    try:
        encoding = _encoding(request)
        if (request.content_length or 0) > limit_bytes:
            raise _too_large(limit_bytes)
    except (BodyTooLarge, UnsupportedEncoding):
        _leave_unread(request)
        raise
    _say_continue(request)
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        _leave_unread(request)
        raise _too_large(limit_bytes) from error
    except web.RequestPayloadError as error:
        raise MalformedRequest(f"the body is cut or broken: {error}") from error
    except OSError as error:
        # Nobody will read this answer.
        raise MalformedRequest("the client has gone away with half a body") from error
    if encoding is None:
        return body
    if len(body) <= _AT_ONCE_BYTES:
        return inflate(body, encoding, limit_bytes)
    return await asyncio.to_thread(inflate, body, encoding, limit_bytes)


def inflate(data: bytes, encoding: str, limit_bytes: int) -> bytes:
    """The data without its ``gzip`` or ``deflate``. BodyTooLarge as soon as there is more than the
    limit, MalformedRequest when it is no such data, ends too early or goes on behind its end."""
    window_bits = _WINDOW_BITS[encoding]
    if encoding == "deflate" and data and data[0] & 0x0F != _ZLIB_METHOD:
        window_bits = -zlib.MAX_WBITS  # without the zlib header, as some clients have it
    inflater = zlib.decompressobj(window_bits)
    try:
        inflated = inflater.decompress(data, limit_bytes + 1)
    except zlib.error as error:
        raise MalformedRequest(f"the body is no {encoding}: {error}") from error
    if len(inflated) > limit_bytes:
        raise _too_large(limit_bytes)
    if not inflater.eof:
        raise MalformedRequest(f"the body's {encoding} ends too early")
    if inflater.unused_data:
        raise MalformedRequest(f"there is something behind the end of the body's {encoding}")
    return inflated


def _encoding(request: web.Request) -> str | None:
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "").strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding not in _WINDOW_BITS:
        raise UnsupportedEncoding(
            f"the body's Content-Encoding is {encoding!r}; the node reads gzip and deflate"
        )
    return encoding


def _say_continue(request: web.Request) -> None:
    """To a client that waits for it; one that has begun already does not."""
    if request.get(EXPECTS_CONTINUE):
        request[EXPECTS_CONTINUE] = False
        unsent = request.body_exists and request.content.total_bytes == 0
        if unsent and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _leave_unread(request: web.Request) -> None:
    """What is left of the body is not waited for; the connection ends with the answer."""
    request.content.set_exception(web.RequestPayloadError("it is not read"))


def _too_large(limit_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is over the node's limit of {limit_bytes} bytes")
