"""The vectors of timing and transport (SOCK-1 to SOCK-12), and hostile clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from edge.clock import NS_PER_MS, ManualClock
from edge.settings import Socket as Limits
from tests.conformance.server import Server, serving

JOIN = '["1","1","room:a","phx_join",{}]'
JOINED = '["1","1","room:a","phx_reply",{"status":"ok","response":{}}]'
HEARTBEAT = '[null,"beat","phoenix","heartbeat",{}]'
ALIVE = '[null,"beat","phoenix","phx_reply",{"status":"ok","response":{}}]'


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as server:
        yield server


class RawSocket:
    """A client that writes any bytes and reads whole frames, or does not read at all."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.answer = b""

    async def shake_hands(self, *headers: str) -> None:
        lines = [
            "GET /socket/websocket?vsn=2.0.0 HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            *headers,
        ]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())
        self.answer = await self.reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in self.answer

    def send(self, opcode: int, data: bytes, *, final: bool = True) -> None:
        """A masked frame; the mask is zero, which is legal and leaves the data readable."""
        first = (0x80 if final else 0) | opcode
        if len(data) < 126:
            header = struct.pack("!BB", first, 0x80 | len(data))
        elif len(data) < 65_536:
            header = struct.pack("!BBH", first, 0xFE, len(data))
        else:
            header = struct.pack("!BBQ", first, 0xFF, len(data))
        self.writer.write(header + bytes(4) + data)

    async def receive(self) -> tuple[int, bytes]:
        """Opcode and content of the next frame."""
        first, length = await self.reader.readexactly(2)
        assert first & 0x70 == 0, "no extension was agreed on"
        assert length & 0x80 == 0, "a server does not mask"
        if length == 126:
            length = struct.unpack("!H", await self.reader.readexactly(2))[0]
        elif length == 127:
            length = struct.unpack("!Q", await self.reader.readexactly(8))[0]
        return first & 0xF, await self.reader.readexactly(length)

    async def close_code(self) -> int:
        """Reads on until the close frame."""
        while True:
            opcode, data = await self.receive()
            if opcode == 0x8:
                code: int = struct.unpack("!H", data[:2])[0]
                return code


@contextlib.asynccontextmanager
async def raw(server: Server, *headers: str) -> AsyncIterator[RawSocket]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 26)
    try:
        socket = RawSocket(reader, writer)
        await socket.shake_hands(*headers)
        yield socket
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def until(condition: Callable[[], bool]) -> None:
    """Gives the loop turns until the server has got there; the test's time limit bounds it."""
    while not condition():  # noqa: ASYNC110 a turn for others, not a wait
        await asyncio.sleep(0)


async def settle(server: Server, sockets: int) -> None:
    """Lets the server notice who came and went."""
    await until(lambda: server.fixture.sockets.sockets == sockets)


class TestLiveness:
    """SOCK-1, SOCK-2: on a manual clock."""

    IDLE_NS = 60_000 * NS_PER_MS

    async def test_silence_closes(self) -> None:
        clock = ManualClock()
        async with serving(clock) as server, server.connect() as socket:
            await socket.send_str(JOIN)
            assert (await socket.receive()).data == JOINED
            clock.advance(self.IDLE_NS)
            message = await socket.receive()
            assert message.type is aiohttp.WSMsgType.CLOSE
            assert message.data == 1001
            await settle(server, 0)

    @pytest.mark.parametrize("opcode", [0x9, 0xA])
    async def test_pings_and_pongs_keep_it_open(self, opcode: int) -> None:
        clock = ManualClock()
        async with serving(clock) as server, raw(server) as socket:
            for _ in range(4):
                clock.advance(self.IDLE_NS * 2 // 3)
                socket.send(opcode, b"here")
                socket.send(0x1, HEARTBEAT.encode())
                if opcode == 0x9:
                    assert await socket.receive() == (0xA, b"here")
                assert await socket.receive() == (0x1, ALIVE.encode())


class TestClosing:
    async def test_disconnect(self, server: Server) -> None:
        """SOCK-3: no frame for the channel, only the close; others stay."""
        async with (
            server.connect(query="vsn=2.0.0&id=seven") as seven,
            server.connect(query="vsn=2.0.0&id=eight") as eight,
        ):
            await seven.send_str(JOIN)
            assert (await seven.receive()).data == JOINED
            assert server.fixture.sockets.disconnect("seven") == 1
            assert (await seven.receive())[:2] == (aiohttp.WSMsgType.CLOSE, 1001)
            await eight.send_str(HEARTBEAT)
            assert (await eight.receive()).data == ALIVE
            await settle(server, 1)

    async def test_drain(self, server: Server) -> None:
        """SOCK-4: a joined and a bare socket; new ones are refused."""
        async with server.connect() as joined, server.connect() as bare:
            await joined.send_str(JOIN)
            assert (await joined.receive()).data == JOINED
            drained = asyncio.ensure_future(server.fixture.drain())
            assert (await joined.receive())[:2] == (aiohttp.WSMsgType.CLOSE, 1012)
            assert (await bare.receive())[:2] == (aiohttp.WSMsgType.CLOSE, 1012)
            await drained
            assert await server.handshake_status("/socket/websocket", "vsn=2.0.0", {}) == 503

    async def test_drain_goes_in_batches_and_cuts_off_who_does_not_answer(self) -> None:
        clock = ManualClock()
        async with serving(clock) as server, contextlib.AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(raw(server)) for _ in range(201)]
            await settle(server, 201)
            drained = asyncio.ensure_future(server.fixture.drain())
            for socket in sockets[:200]:
                assert await socket.close_code() == 1012
            sockets[200].send(0x1, HEARTBEAT.encode())
            assert await sockets[200].receive() == (0x1, ALIVE.encode())
            clock.advance(100 * NS_PER_MS)
            assert await sockets[200].close_code() == 1012
            assert not drained.done()
            clock.advance(5_000 * NS_PER_MS)
            await drained

    async def test_client_that_leaves_ends_its_channels(self, server: Server) -> None:
        async with server.connect() as socket:
            await socket.send_str(JOIN)
            await socket.receive()
            assert server.fixture.pubsub.subscribers("room:a") == 1
            await socket.close(code=1000)
        await settle(server, 0)
        await until(lambda: not server.fixture.pubsub.subscribers("room:a"))

    async def test_client_that_vanishes_ends_its_channels(self, server: Server) -> None:
        async with raw(server) as socket:
            socket.send(0x1, JOIN.encode())
            await socket.receive()
            crashes = server.listen("actor.crashed")
            socket.writer.transport.abort()
            # What the server says meanwhile goes nowhere, and is nobody's fault.
            while server.fixture.sockets.sockets:
                server.fixture.pubsub.broadcast("room:a", "news", {})
                await asyncio.sleep(0)
            assert crashes == []


class TestFrames:
    async def test_heartbeat_in_three_fragments_with_a_ping_between(self, server: Server) -> None:
        """SOCK-5."""
        async with raw(server) as socket:
            data = HEARTBEAT.encode()
            socket.send(0x1, data[:9], final=False)
            socket.send(0x9, b"?")
            socket.send(0x0, data[9:20], final=False)
            socket.send(0x0, data[20:])
            assert await socket.receive() == (0xA, b"?")
            assert await socket.receive() == (0x1, ALIVE.encode())

    async def test_text_that_is_no_utf8(self, server: Server) -> None:
        """SOCK-6."""
        async with raw(server) as socket:
            socket.send(0x1, b"\xff\xfe")
            assert await socket.close_code() == 1007

    @pytest.mark.parametrize("size_bytes", [1_048_577, 10_000_000])
    async def test_frame_above_the_limit(self, server: Server, size_bytes: int) -> None:
        """SOCK-7."""
        async with raw(server) as socket:
            socket.send(0x1, b" " * size_bytes)
            assert await socket.close_code() == 1009

    async def test_frame_at_the_limit(self, server: Server) -> None:
        async with raw(server) as socket:
            socket.send(0x1, HEARTBEAT.encode().ljust(1_048_576))
            assert await socket.receive() == (0x1, ALIVE.encode())

    async def test_no_compression(self, server: Server) -> None:
        """SOCK-8."""
        async with raw(server, "Sec-WebSocket-Extensions: permessage-deflate") as socket:
            assert b"extensions" not in socket.answer.lower()

    async def test_close_is_answered(self, server: Server) -> None:
        async with raw(server) as socket:
            socket.send(0x8, struct.pack("!H", 1000))
            assert await socket.close_code() == 1000
            assert await socket.reader.read() == b""

    async def test_frames_of_both_writers_stay_whole(self, server: Server) -> None:
        """Large replies, pongs and the closing frame come from two places into one stream."""
        text = "x" * 100_000
        async with raw(server) as socket:
            socket.send(0x1, JOIN.encode())
            for number in range(20):
                echo = f'["1","{number}","room:a","echo",{{"x":"{text}"}}]'
                socket.send(0x1, echo.encode())
                socket.send(0x9, str(number).encode())
            socket.send(0x1, b"garbage")
            pongs = replies = 0
            while True:
                opcode, data = await socket.receive()
                if opcode == 0xA:
                    assert data == str(pongs).encode()
                    pongs += 1
                elif opcode == 0x1:
                    json.loads(data)
                    replies += 1
                else:
                    break
            assert (opcode, data[:2]) == (0x8, struct.pack("!H", 1011))
            assert pongs == 20
            assert replies >= 1


async def test_broadcast_during_a_join_follows_its_reply(server: Server) -> None:
    """SOCK-11."""
    async with server.connect() as socket, server.connect() as other:
        await other.send_str(JOIN)
        assert (await other.receive()).data == JOINED
        await socket.send_str('["1","1","room:a","phx_join",{"slow":50}]')
        await until(lambda: server.fixture.pubsub.subscribers("room:a") == 2)
        await other.send_str('["1","2","room:a","shout",{"m":1}]')
        assert (await socket.receive()).data == JOINED
        assert (await socket.receive()).data == '[null,null,"room:a","shout",{"m":1}]'


class TestSlowClient:
    async def test_memory_is_bounded_and_it_is_closed_with_1013(self) -> None:
        """SOCK-12: a client that does not read, and one beside it that does."""
        limits = Limits(outbox_bytes_max=262_144)
        async with serving(limits=limits) as server, raw(server) as slow, server.connect() as good:
            closed = server.listen("socket.closed")
            slow.writer.transport.set_write_buffer_limits(1 << 26)
            slow.send(0x1, JOIN.encode())
            await slow.receive()
            await good.send_str('["1","1","room:b","phx_join",{}]')
            await good.receive()
            sent = 0
            echo = '["1","7","room:a","echo",{"x":"' + "x" * 60_000 + '"}]'
            while (
                server.fixture.sockets.sockets == 2
                and not server.fixture.sockets.counters.overflows
            ):
                slow.send(0x1, echo.encode())
                sent += len(echo)
                await good.send_str(HEARTBEAT)
                assert (await good.receive()).data == ALIVE
                assert sent < 200_000_000
            assert await slow.close_code() == 1013
            slow.send(0x8, struct.pack("!H", 1013))
            await settle(server, 1)
            assert [each["code"] for each in closed] == [1013]

    async def test_one_that_never_reads_again_is_cut_off(self) -> None:
        clock = ManualClock()
        limits = Limits(outbox_bytes_max=262_144)
        async with serving(clock, limits) as server, raw(server) as slow:
            slow.send(0x1, JOIN.encode())
            await slow.receive()
            # With a paused transport nothing is read, whatever the stream's own buffer takes.
            slow.writer.transport.pause_reading()  # type: ignore[attr-defined] # a transport of both kinds
            echo = '["1","7","room:a","echo",{"x":"' + "x" * 60_000 + '"}]'
            while not server.fixture.sockets.counters.overflows:
                slow.send(0x1, echo.encode())
                await asyncio.sleep(0)
            for _ in range(100):
                await asyncio.sleep(0)
            assert server.fixture.sockets.sockets == 1
            clock.advance(10_000 * NS_PER_MS)
            await settle(server, 0)


class TestHostileClient:
    async def test_ten_thousand_joins(self, server: Server) -> None:
        async with raw(server) as socket, server.connect() as good:
            for number in range(10_000):
                socket.send(
                    0x1, f'["{number}","{number}","room:{number}","phx_join",{{}}]'.encode()
                )
            await good.send_str(HEARTBEAT)
            assert (await good.receive()).data == ALIVE
            replies = [json.loads((await socket.receive())[1]) for _ in range(10_000)]
            accepted = [reply for reply in replies if reply[4]["status"] == "ok"]
            assert len(accepted) == 100
            reasons = {reply[4]["response"]["reason"] for reply in replies if reply not in accepted}
            assert reasons == {"too many channels joined"}

    async def test_flood_of_pushes_is_answered_or_ends_its_channel_alone(
        self, server: Server
    ) -> None:
        async with raw(server) as socket, server.connect() as good:
            socket.send(0x1, JOIN.encode())
            socket.send(0x1, b'["2","2","room:b","phx_join",{}]')
            for number in range(5_000):
                socket.send(0x1, f'["1","{number}","room:a","silent",{{}}]'.encode())
            socket.send(0x1, HEARTBEAT.encode())
            await good.send_str(HEARTBEAT)
            assert (await good.receive()).data == ALIVE
            while (await socket.receive())[1] != ALIVE.encode():
                pass
            socket.send(0x1, b'["2","9","room:b","ok",{}]')
            while json.loads((await socket.receive())[1])[1] != "9":
                pass

    @pytest.mark.parametrize(
        "frame",
        [
            '["1","1","room:' + "a" * 10_240 + '","phx_join",{}]',
            '["1","1",["room:a"],"phx_join",{}]',
            '["1","1",{"a":1},{"b":2},[]]',
            "[true,1.5,null,null,null]",
            '["1","1","room:\\u0000","phx_join",null]',
            '[[1],{"a":[]},"room:a","phx_join","x"]',
        ],
    )
    async def test_strange_types_are_answered(self, server: Server, frame: str) -> None:
        async with server.connect() as socket:
            await socket.send_str(frame)
            _, ref, topic, event, _ = json.loads((await socket.receive()).data)
            assert (ref, topic, event) == (json.loads(frame)[1], json.loads(frame)[2], "phx_reply")
            await socket.send_str(HEARTBEAT)
            assert (await socket.receive()).data == ALIVE

    async def test_random_bytes_on_the_wire(self, server: Server) -> None:
        async with server.connect() as good:
            for _ in range(20):
                async with raw(server) as socket:
                    socket.writer.write(os.urandom(2_000))
                    socket.writer.write_eof()
                    await socket.reader.read()
            await good.send_str(HEARTBEAT)
            assert (await good.receive()).data == ALIVE
            await settle(server, 1)
