"""One connection of a client over HTTP/1.1, also of one that is slow, silent, or makes no sense.

aiohttp's server reads, parses and answers. What this adds is patience, which ends: for headers,
for bodies, for silence between requests, and for a client that does not take its answer; answers
to clients that have ended their own side; and that what a client does wrong is told to the client,
not to the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, cast

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from edge.clock import NS_PER_MS, NS_PER_S, Clock
from edge.errors import ClientError, ElwiftError
from edge.gateway import problems
from edge.gateway.http.alarm import Alarm
from edge.gateway.http.errors import MalformedRequest, TooSlow
from edge.gateway.http.masking import MaskedFrames, Reader
from edge.gateway.http.parser import (
    HEAD_BYTES_MAX,
    HEADERS_MAX,
    TARGET_BYTES_MAX,
    CheckedParser,
    Parser,
    Refused,
    Stage,
)
from edge.gateway.http.places import Places
from edge.gateway.http.request import EXPECTS_CONTINUE
from edge.gateway.http.wire import Wire
from edge.gateway.requests import ASKED, HEADER
from edge.settings import Server as Limits
from edge.telemetry import context
from edge.telemetry.context import Asked

BODY_BYTES_PER_S_MIN: Final = 65_536
"""A body may take longer than its deadline by the time that it would need at this rate, as with
Apache's mod_reqtimeout: a megabyte over a bad network arrives, a drip does not."""
TAKEN_BYTES_MIN: Final = 16_384
"""What a client has to take of its answer within ``server.write_ms``: as much as lies between the
marks at which asyncio tells a writer to wait and to go on, less a margin."""
BEGUN_MS: Final = 1_000
"""A request whose headers have begun is not put out sooner, however many others come."""
LINGER_MS: Final = 2_000
"""How long a connection that the node has ended is read from, for the client to end it too."""
_NEVER_S: Final = 366 * 86_400.0
"""aiohttp's own deadlines are not used."""

Refusal = Callable[[str, ElwiftError], web.Response]
"""Makes the answer to a request that comes to no handler; it is given the path as far as known."""

_CLIENTS_FAULTS: Final = (
    ClientError,
    ConnectionError,
    HttpProcessingError,
    web.RequestPayloadError,
)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a connection waits for its client, in nanoseconds; see the settings ``server.*``."""

    head_ns: int
    body_ns: int
    body_more_ns: int  # at most, for the bytes that come
    idle_ns: int
    write_ns: int

    @classmethod
    def of(cls, limits: Limits) -> Patience:
        """That of the settings."""
        return cls(
            head_ns=limits.header_ms * NS_PER_MS,
            body_ns=limits.body_ms * NS_PER_MS,
            # The largest body at the lowest rate. On the wire there may be more to it without end:
            # extensions of chunks (RFC 9112 section 7.1.1), and what is dropped.
            body_more_ns=limits.body_bytes_max * NS_PER_S // BODY_BYTES_PER_S_MIN,
            idle_ns=limits.idle_ms * NS_PER_MS,
            write_ns=limits.write_ms * NS_PER_MS,
        )


class _Awaited(Enum):
    """What the client owes."""

    NOTHING = auto()  # its requests are being answered
    FIRST = auto()  # the first byte of the first request
    NEXT = auto()  # the first byte of the next one
    HEAD = auto()
    BODY = auto()
    END = auto()  # this side has ended; now the client's


class HttpConnection(web.RequestHandler):
    """See the module. Made by `HttpServer` for each connection; ``address`` has a place in
    ``places``, which is given back at the end."""

    __slots__ = (
        "_address",
        "_alarm",
        "_answered",
        "_awaited",
        "_body",
        "_checked",
        "_clock",
        "_due_ns",
        "_latest_ns",
        "_patience",
        "_places",
        "_refusal",
        "_unwritten_bytes",
        "_websocket",
        "_wire",
        "_write_alarm",
    )

    def __init__(
        self,
        manager: web.Server,
        *,
        loop: asyncio.AbstractEventLoop,
        address: str,
        places: Places[HttpConnection],
        patience: Patience,
        clock: Clock,
        refusal: Refusal,
    ) -> None:
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=_NEVER_S,
            lingering_time=_NEVER_S,
            access_log=cast(logging.Logger, None),  # as aiohttp's own runner may have it
            max_line_size=TARGET_BYTES_MAX,
            max_field_size=HEAD_BYTES_MAX,
            max_headers=HEADERS_MAX,
            # `read_body` inflates, and knows where to stop.
            auto_decompress=False,
        )
        self._checked = CheckedParser(cast(Parser, self._parser))
        self._parser = cast(Any, self._checked)
        self._address = address
        self._places = places
        self._patience = patience
        self._refusal = refusal
        self._clock = clock
        self._wire: Wire | None = None
        self._websocket = False
        self._answered = 0
        self._awaited = _Awaited.FIRST
        self._body: StreamReader | None = None  # the one that is awaited
        self._due_ns = 0  # when what is awaited has to be there
        self._latest_ns = 0  # how far that may be put off
        self._alarm = Alarm(clock, self._on_late)
        self._unwritten_bytes = 0  # when the write alarm was set
        self._write_alarm = Alarm(clock, self._on_unread)

    # --- the transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = Wire(cast(asyncio.Transport, transport), self._on_closed)
        super().connection_made(cast(asyncio.Transport, self._wire))
        now_ns = self._clock.now_ns()
        self._places.waits(self, self._address)
        self._wait_until(now_ns + self._patience.head_ns)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._alarm.close()
        self._write_alarm.close()
        self._checked.close()
        self._places.leave(self, self._address)
        assert self._wire is not None, "it was made"
        self._wire.lose()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        assert self._wire is not None, "it was made"
        if self._wire.is_closing():
            return
        super().data_received(data)
        if not self._websocket:
            if self._awaited is _Awaited.BODY:
                more_ns = len(data) * NS_PER_S // BODY_BYTES_PER_S_MIN
                self._due_ns = min(self._due_ns + more_ns, self._latest_ns)
            self._look()

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp's has no answer
        """The client has ended its side, and may still be owed an answer; False if this side has
        ended too."""
        assert self._wire is not None, "it was made"
        self._wire.peer_done = True
        if self._wire.is_closing():
            return False
        stage = self._checked.stage
        if self._websocket:
            self._wire.close()
        elif stage is Stage.BODY:
            self._checked.fail_body(web.RequestPayloadError("it ends before its length"))
        elif self._open_requests == 0:
            if stage is Stage.HEAD:
                self._refuse(MalformedRequest("the request ends in the middle of its headers"))
            elif stage is Stage.BETWEEN:
                self._wire.close()
        return True

    def pause_writing(self) -> None:
        super().pause_writing()
        # A socket's `Outbox` looks after a client that does not read, by what is left to be said.
        if not self._websocket:
            self._watch_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._awaited is not _Awaited.END:
            self._write_alarm.set(None)

    # --- aiohttp's calls

    def set_parser(self, parser: Any, data_received_cb: Callable[[], None] | None = None) -> None:
        """From here on it is a WebSocket, whose own limits hold."""
        self._websocket = True
        self._alarm.set(None)
        super().set_parser(cast(Any, MaskedFrames(cast(Reader, parser))), data_received_cb)
        assert self._wire is not None, "it was made"
        if self._wire.peer_done:
            self._wire.close()  # nothing more will be said

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Answers one request."""
        if request.get(EXPECTS_CONTINUE):
            # It has not been told to send its body, and nobody knows whether it will.
            request.content.set_exception(web.RequestPayloadError("it was not asked for"))
        if self._checked.stage is Stage.OVER and self._open_requests == 1:
            resp.force_close()  # this is the last
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._answered += 1
            if self._wire is not None and self._wire.peer_done and self._open_requests == 0:
                self.close()
            self._look()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no request, or to one whose handler failed by a defect."""
        # What fails behind the application has an id; what is no request gets one here.
        asked = request.get(ASKED) or Asked()
        begun = context.begin(asked)
        try:
            if isinstance(exc, Refused):
                response = self._refusal(self._checked.path, exc.error)
            else:
                response = problems.internal_error(exc or RuntimeError(message))
        finally:
            context.end(begun)
        response.headers[HEADER] = asked.request_id
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already, so there can be no other")
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Only what is a defect of the node."""
        if not isinstance(kw.get("exc_info"), _CLIENTS_FAULTS):
            super().log_exception(*args, **kw)

    # --- for the server

    @property
    def begun(self) -> bool:
        """Whether it has had a transport; its place is given back by itself then."""
        return self._wire is not None

    def may_go(self) -> bool:
        """Whether nothing would be lost if this one that waits made room for somebody else."""
        assert self._wire is not None, "it was made"
        if self.is_unwritten():
            return False
        if self._awaited is _Awaited.HEAD:
            begun_ns = self._due_ns - self._patience.head_ns
            return self._clock.now_ns() - begun_ns >= BEGUN_MS * NS_PER_MS
        # Its request may be in the kernel already: so it is with those that come all at once.
        return self._awaited is _Awaited.END or self._wire.unread_bytes() == 0

    def evict(self) -> None:
        """Makes room for somebody else. Only for one that waits."""
        assert self._wire is not None, "it was made"
        self._places.busy(self, self._address)
        self._wire.abort()

    def is_unwritten(self) -> bool:
        """Whether the client has not taken all that was written."""
        return self._wire is not None and self._wire.get_write_buffer_size() > 0

    def cut(self) -> None:
        """Ends it without the client's help."""
        if self._wire is not None:
            self._wire.abort()

    # --- patience

    @property
    def _open_requests(self) -> int:
        """How many have come and are not answered."""
        return int(self._checked.messages) - self._answered

    def _look(self) -> None:
        """Notices what the client owes now, and since when."""
        if self._websocket or self._wire is None or self._wire.is_closing():
            return
        awaited, body = self._what_is_awaited()
        if awaited is self._awaited and body is self._body:
            if awaited is _Awaited.BODY:
                self._alarm.set(self._due_ns)
            return
        before, self._awaited, self._body = self._awaited, awaited, body
        now_ns, patience = self._clock.now_ns(), self._patience
        if awaited is _Awaited.NOTHING:
            self._alarm.set(None)
            self._places.busy(self, self._address)
        elif awaited is _Awaited.BODY:
            self._wait_until(now_ns + patience.body_ns)
            self._latest_ns = self._due_ns + patience.body_more_ns
            self._places.busy(self, self._address)
        elif awaited is _Awaited.HEAD:
            # Of the first request the deadline counts from the connection on.
            if before is not _Awaited.FIRST:
                self._wait_until(now_ns + patience.head_ns)
        else:
            self._wait_until(now_ns + patience.idle_ns)
            self._places.waits(self, self._address)

    def _what_is_awaited(self) -> tuple[_Awaited, StreamReader | None]:
        stage = self._checked.stage
        if stage is Stage.BODY:
            return _Awaited.BODY, self._checked.body
        if self._open_requests > 0:
            return _Awaited.NOTHING, None
        if stage is Stage.HEAD:
            return _Awaited.HEAD, None
        return (_Awaited.NEXT if self._answered else _Awaited.FIRST), None

    def _wait_until(self, due_ns: int) -> None:
        self._due_ns = due_ns
        self._alarm.set(due_ns)

    def _on_late(self) -> None:
        assert self._wire is not None, "it was made"
        if self._awaited is _Awaited.BODY:
            if self._wire.is_reading():
                self._checked.fail_body(TooSlow("the body did not arrive in time"))
            else:
                # It is the node that does not read on: an earlier request takes its time.
                self._wait_until(self._clock.now_ns() + self._patience.body_ns)
                self._latest_ns = self._due_ns + self._patience.body_more_ns
        elif self._awaited is _Awaited.HEAD:
            self._refuse(TooSlow("the headers did not arrive in time"))
        elif not self._wire.get_write_buffer_size():
            self._wire.cut()
        elif self._awaited is _Awaited.END:
            self._wait_until(self._clock.now_ns() + LINGER_MS * NS_PER_MS)
        else:
            self._wire.close()

    def _refuse(self, error: ClientError) -> None:
        """Answers what has come of a request with this, and ends the connection."""
        self._checked.refuse(error)
        self.data_received(b"")

    def _on_closed(self) -> None:
        self._awaited = _Awaited.END
        now_ns = self._clock.now_ns()
        self._wait_until(now_ns + LINGER_MS * NS_PER_MS)
        self._places.waits(self, self._address)
        self._watch_writing()

    def _watch_writing(self) -> None:
        assert self._wire is not None, "it was made"
        self._unwritten_bytes = self._wire.get_write_buffer_size()
        if self._unwritten_bytes:
            self._write_alarm.set(self._clock.now_ns() + self._patience.write_ns)

    def _on_unread(self) -> None:
        assert self._wire is not None, "it was made"
        left_bytes = self._wire.get_write_buffer_size()
        if left_bytes and self._unwritten_bytes - left_bytes < TAKEN_BYTES_MIN:
            self._wire.abort()
        else:
            self._watch_writing()
