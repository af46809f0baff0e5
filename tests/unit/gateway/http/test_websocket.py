"""WebSockets from a client that writes its frames by hand (RFC 6455)."""

from __future__ import annotations

import logging
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from tests.support.http_site import Site, serving
from tests.support.odd_requests import KEY, SOCKET, UPGRADE
from tests.support.raw import RawClient, raw, request

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
JOIN = b'["1","1","room:a","phx_join",{}]'
BEAT = b'[null,"2","phoenix","heartbeat",{}]'


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    first: int = FIN,
    masked: bool = True,
    size: int | None = None,
) -> bytes:
    """One frame as a client sends it; ``size`` is what it says, if not the truth."""
    said = len(payload) if size is None else size
    flag = 0x80 if masked else 0
    if said < 126:
        head = bytes([first | opcode, flag | said])
    elif said < 65_536:
        head = struct.pack("!BBH", first | opcode, flag | 126, said)
    else:
        head = struct.pack("!BBQ", first | opcode, flag | 127, said)
    if not masked:
        return head + payload
    mask = b"\x37\xfa\x21\x3d"
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def code(number: int, reason: bytes = b"") -> bytes:
    return struct.pack("!H", number) + reason


class Breach(NamedTuple):
    name: str
    data: bytes
    code: int


BREACHES = (
    Breach("text that is not masked", frame(TEXT, JOIN, masked=False), 1002),
    Breach("a close that is not masked", frame(CLOSE, code(1000), masked=False), 1002),
    Breach("an empty ping that is not masked", frame(PING, masked=False), 1002),
    Breach("the first reserved bit", frame(TEXT, JOIN, first=FIN | RSV1), 1002),
    Breach("the second reserved bit", frame(TEXT, JOIN, first=FIN | RSV2), 1002),
    Breach("the third reserved bit", frame(TEXT, JOIN, first=FIN | RSV3), 1002),
    Breach("a kind of data that is none", frame(0x3, JOIN), 1002),
    Breach("a kind of control that is none", frame(0xB), 1002),
    Breach("a ping in parts", frame(PING, b"a", first=0), 1002),
    Breach("a long ping", frame(PING, bytes(126)), 1002),
    Breach("a long close", frame(CLOSE, code(1000, bytes(124))), 1002),
    Breach("the rest of nothing", frame(0x0, b"a"), 1002),
    Breach("text between parts", frame(TEXT, b"[", first=0) + frame(TEXT, JOIN), 1002),
    Breach("a close code of one byte", frame(CLOSE, b"\x03"), 1002),
    *(
        Breach(f"the close code {number}", frame(CLOSE, code(number)), 1002)
        for number in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999)
    ),
    Breach("a reason that is no text", frame(CLOSE, code(1000, b"\xff")), 1007),
    Breach("text that is none", frame(TEXT, b'["1","\xff"]'), 1007),
    Breach("text that is cut in a character", frame(TEXT, "é".encode()[:1]), 1007),
    Breach(
        "text in parts that is none",
        frame(TEXT, b'["', first=0) + frame(0x0, b"\xed\xa0\x80"),
        1007,
    ),
    Breach("a frame that is too long", frame(TEXT, b"[", size=(1 << 20) + 1), 1009),
    Breach("a frame of any length", frame(TEXT, b"[", size=(1 << 64) - 1), 1009),
    Breach(
        "parts that are too long together",
        frame(TEXT, bytes(1 << 20), first=0) + frame(0x0, b"aa"),
        1009,
    ),
)


async def hear(client: RawClient) -> tuple[int, bytes]:
    """The next frame from the node: its kind and what is in it."""
    first, second = await client.reader.readexactly(2)
    size = second
    if second == 126:
        size = int.from_bytes(await client.reader.readexactly(2), "big")
    return first & 0x0F, await client.reader.readexactly(size)


@asynccontextmanager
async def socket(site: Site) -> AsyncIterator[RawClient]:
    async with raw(site.url) as client:
        await client.send(request(SOCKET, *UPGRADE, KEY))
        assert (await client.answer()).status == 101
        yield client


@pytest.mark.parametrize("breach", BREACHES, ids=[breach.name for breach in BREACHES])
@pytest.mark.parametrize("joined", [False, True])
async def test_a_breach_closes_with_its_code(
    breach: Breach, joined: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as site, socket(site) as client:
        if joined:
            await client.send(frame(TEXT, JOIN))
            assert (await hear(client))[0] == TEXT
        await client.send(breach.data)
        kind, payload = await hear(client)
        assert (kind, int.from_bytes(payload[:2], "big")) == (CLOSE, breach.code)
        assert await client.rest() == b"", "ended in order, without a reset"
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("number", [1000, 1001, 1011, 3000, 4999])
async def test_a_close_is_answered(number: int) -> None:
    async with serving() as site, socket(site) as client:
        await client.send(frame(CLOSE, code(number, b"bye")))
        assert (await hear(client))[0] == CLOSE
        assert await client.rest() == b""


async def test_masked_frames_are_heard_however_they_are_cut() -> None:
    async with serving() as site, socket(site) as client:
        stream = frame(TEXT, JOIN) + frame(PING, b"p" * 125) + frame(TEXT, BEAT)
        for byte in stream:
            await client.send(bytes([byte]))
        heard = [await hear(client) for _ in range(3)]
        assert sorted(kind for kind, _ in heard) == [TEXT, TEXT, PONG]
        assert (PONG, b"p" * 125) in heard


async def test_frames_that_come_with_the_handshake() -> None:
    async with serving() as site, raw(site.url) as client:
        await client.send(request(SOCKET, *UPGRADE, KEY) + frame(TEXT, JOIN))
        assert (await client.answer()).status == 101
        assert b'"status":"ok"' in (await hear(client))[1]


async def test_half_a_frame_is_no_sign_of_life() -> None:
    async with serving() as site, socket(site) as client:
        await client.send(frame(TEXT, JOIN))
        await hear(client)
        await site.pass_ms(59_000)
        await client.send(frame(TEXT, BEAT)[:-1])
        await site.pass_ms(1_000)
        kind, payload = await hear(client)
        assert (kind, payload[:2]) == (CLOSE, code(1001))


async def test_one_that_ends_without_a_close_is_gone() -> None:
    async with serving() as site, socket(site) as client:
        client.half_close()
        assert await client.rest() == b""
        await site.pass_ms(0)
        assert (site.sockets.sockets, site.server.connections) == (0, 0)


async def test_it_has_no_deadlines_of_http() -> None:
    async with serving() as site, socket(site) as client:
        for _ in range(5):
            await site.pass_ms(50_000)
            await client.send(frame(TEXT, BEAT))
            assert (await hear(client))[0] == TEXT


async def test_a_token_among_the_subprotocols_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    offer = b"Sec-WebSocket-Protocol: base64url.bearer.phx.bXktdG9rZW4"
    async with serving() as site, raw(site.url) as client:
        await client.send(request(SOCKET, *UPGRADE, KEY, offer))
        assert (await client.answer()).status == 101
    assert caplog.text == ""


async def test_one_that_has_ended_before_it_began_is_gone() -> None:
    async with serving() as site, raw(site.url) as client:
        await client.send(request(SOCKET, *UPGRADE, KEY))
        client.half_close()
        assert (await client.answer()).status == 101
        await client.rest()
        await site.pass_ms(0)
        assert (site.sockets.sockets, site.server.connections) == (0, 0)
