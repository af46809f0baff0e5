"""Whatever bytes a client sends, in whatever pieces: it gets answers that are its own fault or none
at all, the log stays empty, and the next client is served."""

from __future__ import annotations

import asyncio
import logging
import re

import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.http_site import serving, settle
from tests.support.odd_requests import ALL, LOOK
from tests.support.raw import raw, request

STATUS = re.compile(rb"HTTP/[0-9.]+ ([0-9]{3}) ")
PIECES = st.sampled_from(
    [
        *(odd.data for odd in ALL if len(odd.data) < 2_000),
        *(b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b"\xff", b"0\r\n\r\n", b"HTTP/1.1", b"GET /"),
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: upgrade\r\n",
    ]
)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Requests that follow each other, some of them damaged."""
    stream = bytearray(b"".join(draw(st.lists(PIECES, min_size=1, max_size=4))))
    for _ in range(draw(st.integers(0, 4))):
        where = draw(st.integers(0, len(stream)))
        length = draw(st.integers(0, 8))
        stream[where : where + length] = draw(PIECES | st.binary(max_size=8))
    return bytes(stream)


class Log(logging.Handler):
    """Hears warnings and what is worse."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@given(streams(), st.lists(st.integers(0, 2_000), max_size=5), st.booleans())
@settings(max_examples=200)
def test_any_bytes(stream: bytes, cuts: list[int], half_closes: bool) -> None:
    uvloop.run(_send(stream, sorted({min(cut, len(stream)) for cut in cuts}), half_closes))


async def _send(stream: bytes, cuts: list[int], half_closes: bool) -> None:
    log = Log()
    logging.getLogger().addHandler(log)
    try:
        async with serving() as site:
            async with raw(site.url) as client:
                hearing = asyncio.ensure_future(client.rest())
                for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
                    client.writer.write(stream[start:end])
                    await settle()
                if half_closes:
                    client.half_close()
                for _ in range(3):
                    await site.pass_ms(10_000)
                heard = await hearing
            for status in STATUS.findall(heard):
                assert int(status) < 500, heard
            async with raw(site.url) as client:
                await client.send(request(LOOK))
                assert (await client.answer()).status == 200
    finally:
        logging.getLogger().removeHandler(log)
    assert not log.lines
