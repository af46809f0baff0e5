"""aiohttp's parser of requests, behind one that always says whose fault it is.

The parser proper is llhttp, in C. What this adds: how far the request that is being received has
come, a limit on all its headers together, and that whatever is wrong ends up in one of two places.
A body that is cut or broken fails the reading of that body; anything else becomes the connection's
last answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Any, Final, Protocol

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web_protocol import MAX_MSG_QUEUE_SIZE

from edge.errors import ClientError
from edge.gateway.http.errors import HeadersTooLarge, MalformedRequest, TargetTooLong

TARGET_BYTES_MAX: Final = 8_190
"""Path and query together. RFC 9112 section 3 asks for 8,000 at least."""
HEAD_BYTES_MAX: Final = 65_536
"""All headers of a request together. A browser sends every cookie of ``localhost`` to every port
of it, so the cookies of other programs come along."""
HEADERS_MAX: Final = 128

_HEAD_END: Final = b"\r\n\r\n"
_TLS_HELLO: Final = b"\x16\x03"
_HTTP_2: Final = b"PRI * HTTP/2"
_REASON_CHARS: Final = 80
_BEGINNING_BYTES: Final = 64
"""So much of a request is remembered: its method, and what its path begins with."""


class Stage(Enum):
    """How much there is of the request that comes next, or of the body that is under way."""

    BETWEEN = auto()  # nothing yet
    HEAD = auto()  # some of its headers
    BODY = auto()  # all of its headers and some of its body
    OVER = auto()  # nothing more is parsed


class Refused(HttpProcessingError):
    """How the reason for a refusal passes through aiohttp, which answers to its own errors only."""

    def __init__(self, error: ClientError) -> None:
        super().__init__(message=str(error))
        self.error = error


class Parser(Protocol):
    """The part of aiohttp's parser that its server uses."""

    def feed_data(self, data: bytes) -> tuple[Sequence[Any], bool, bytes]: ...

    def pause_reading(self) -> None: ...

    def message_consumed(self) -> None: ...

    def set_upgraded(self, val: bool) -> None: ...


class CheckedParser:
    """See the module. Used by aiohttp in the place of its own parser."""

    __slots__ = (
        "_beginning", "_head_bytes", "_inner", "_over", "_queued", "_refusal", "body", "messages",
    )  # fmt: skip

    def __init__(self, inner: Parser) -> None:
        self._inner: Parser | None = inner
        self._beginning = b""  # of what came last
        self._head_bytes = 0  # of a head that has not ended
        self._over = False
        self._queued = 0  # requests that aiohttp has not begun to handle
        self._refusal: ClientError | None = None
        self.body: StreamReader | None = None  # of the last request
        self.messages = 0  # handed to aiohttp so far, refusals included

    @property
    def stage(self) -> Stage:
        if self._over or (self.body is not None and self.body.exception() is not None):
            return Stage.OVER
        if self.body is not None:
            return Stage.BODY
        return Stage.HEAD if self._head_bytes else Stage.BETWEEN

    @property
    def path(self) -> str:
        """What the path of the request that is being received begins with, where that much can be
        read of it."""
        words = self._beginning.partition(b"\r\n")[0].split(b" ")
        return words[1].partition(b"?")[0].decode("latin-1") if len(words) > 1 else ""

    def refuse(self, error: ClientError) -> None:
        """The next call of `feed_data` says this instead of parsing anything."""
        self._refusal = error

    def fail_body(self, error: Exception) -> None:
        """Whoever reads the body of the last request gets this; nothing more is parsed."""
        assert self.body is not None, "there is a body under way"
        self.body.set_exception(error)

    def close(self) -> None:
        """The connection is lost. aiohttp's parser points to it, so this lets go of that."""
        self._over = True
        self._inner = None

    # --- what aiohttp calls, of a connection that is not lost

    def feed_data(self, data: bytes) -> tuple[Sequence[Any], bool, bytes]:
        if self.stage is Stage.OVER or self._inner is None:
            return (), False, b""
        if self._refusal is not None:
            raise self._refused(self._refusal)
        if self.body is None:
            if not self._head_bytes:
                self._beginning = b""
            if len(self._beginning) < _BEGINNING_BYTES:
                self._beginning += data[:_BEGINNING_BYTES]
        try:
            messages, upgraded, tail = self._inner.feed_data(data)
        except (HttpProcessingError, ValueError) as error:
            # ValueErrors are those of what takes addresses apart.
            reason = _explain(error, data)
            if self.body is not None:
                self.fail_body(web.RequestPayloadError(str(reason)))
                return (), False, b""
            raise self._refused(reason) from error
        self._follow(len(data), messages)
        if messages and messages[-1][0].upgrade and not upgraded and self.body is None:
            # llhttp stops behind a request for a protocol that is not spoken here, such as h2c,
            # and aiohttp drops the rest of the data: whatever that was has to be sent anew.
            self._over = data.find(_HEAD_END) != len(data) - len(_HEAD_END)
        if self._head_bytes > HEAD_BYTES_MAX:
            raise self._refused(headers_too_large())
        return messages, upgraded, tail

    def pause_reading(self) -> None:
        if self._inner is not None and self.stage is not Stage.OVER:
            self._inner.pause_reading()

    def message_consumed(self) -> None:
        self._queued -= 1
        if self._inner is not None:
            self._inner.message_consumed()

    def set_upgraded(self, val: bool) -> None:
        if self._inner is not None:
            self._inner.set_upgraded(val)

    # --- following it

    def _follow(self, size_bytes: int, messages: Sequence[Any]) -> None:
        if messages:
            self.messages += len(messages)
            self._queued += len(messages)
            self._head_bytes = 0
            self.body = messages[-1][1]
        elif self.body is None and self._queued < MAX_MSG_QUEUE_SIZE:
            # Behind a full queue llhttp only keeps the data, which may be any number of requests.
            self._head_bytes += size_bytes
        if self.body is not None and self.body.is_eof():
            self.body = None

    def _refused(self, error: ClientError) -> Refused:
        self._over = True
        self.messages += 1
        self._queued += 1
        return Refused(error)


def headers_too_large() -> HeadersTooLarge:
    """The refusal of more than `HEAD_BYTES_MAX` or `HEADERS_MAX`."""
    return HeadersTooLarge(
        f"the headers are over {HEAD_BYTES_MAX} bytes or more than {HEADERS_MAX};"
        " it may be the cookies of other programs on this machine: delete some"
    )


def _explain(error: Exception, data: bytes) -> ClientError:
    """Why this data is no request, as a refusal."""
    if isinstance(error, LineTooLong):
        if error.args[1] == TARGET_BYTES_MAX:
            return TargetTooLong(f"the path and query are over {TARGET_BYTES_MAX} bytes")
        return headers_too_large()
    if data.startswith(_TLS_HELLO):
        return MalformedRequest("this is TLS, but the node speaks plain HTTP: use http://")
    if data.startswith(_HTTP_2):
        return MalformedRequest("this is HTTP/2, but the node speaks HTTP/1.1")
    message = str(getattr(error, "message", error))
    if message == "Too many headers received":
        return headers_too_large()
    # The first line of llhttp's message names the rule; the others show the data.
    reason = message.partition("\n")[0].rstrip(":")[:_REASON_CHARS]
    return MalformedRequest(f"this is not valid HTTP/1.1: {reason}")
