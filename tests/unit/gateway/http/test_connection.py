"""One connection, met by clients of every sort."""

from __future__ import annotations

import asyncio
import logging

import pytest

from edge.gateway.http.alarm import Alarm
from edge.gateway.http.connection import HttpConnection
from edge.gateway.http.parser import CheckedParser
from edge.gateway.http.wire import Wire
from tests.support.census import alive, without_collector
from tests.support.http_site import LARGE_BYTES, serving, settle
from tests.support.odd_requests import ALL, H2C, LOOK, SOCKET, TASK, Odd
from tests.support.raw import length, post, raw, request

REQUEST = request(LOOK)
KINDS = (HttpConnection, Wire, Alarm, CheckedParser)


@pytest.mark.parametrize("odd", ALL, ids=[odd.name for odd in ALL])
async def test_odd_requests(odd: Odd, caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as site:
        if odd.whole:
            async with raw(site.url) as client:
                await client.send(odd.data)
                answer = await client.answer()
                assert answer.status == odd.status
        async with raw(site.url) as client:
            await client.send(odd.data)
            client.half_close()
            answer = await client.answer()
            assert answer.status == odd.status
            await client.over()
        if odd.status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == odd.status
        async with raw(site.url) as client:
            await client.send(REQUEST)
            assert (await client.answer()).status == 200
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


class TestDeadlines:
    """Ten seconds by default, on a clock that stands still until it is told to go on."""

    async def test_of_a_client_that_says_nothing(self) -> None:
        async with serving() as site, raw(site.url) as client:
            ending = asyncio.ensure_future(client.rest())
            await site.pass_ms(9_999)
            assert not ending.done()
            await site.pass_ms(1)
            assert await ending == b""

    @pytest.mark.parametrize("sent", [LOOK.encode(), SOCKET.encode() + b"\r\nUpgrade: websocket"])
    async def test_of_headers_from_the_connection_on(self, sent: bytes) -> None:
        async with serving() as site, raw(site.url) as client:
            await site.pass_ms(4_000)
            await client.send(sent)
            answering = asyncio.ensure_future(client.answer())
            await site.pass_ms(5_999)
            assert not answering.done()
            await site.pass_ms(1)
            assert (await answering).status == 408
            assert await client.over()

    async def test_of_headers_that_drip(self) -> None:
        async with serving() as site, raw(site.url) as client:
            answering = asyncio.ensure_future(client.answer())
            for byte in (LOOK + "\r\nX: ").encode()[:10]:
                await client.send(bytes([byte]))
                assert not answering.done()
                await site.pass_ms(1_000)
            assert (await answering).status == 408

    async def test_of_the_next_headers_from_their_first_byte_on(self) -> None:
        async with serving() as site, raw(site.url) as client:
            await client.send(REQUEST)
            await client.answer()
            await site.pass_ms(9_000)
            await client.send(REQUEST[:10])
            answering = asyncio.ensure_future(client.answer())
            await site.pass_ms(9_999)
            assert not answering.done()
            await site.pass_ms(1)
            assert (await answering).status == 408

    async def test_between_two_requests(self) -> None:
        async with serving() as site, raw(site.url) as client:
            for _ in range(3):
                await client.send(REQUEST)
                assert (await client.answer()).status == 200
                await site.pass_ms(9_000)
            ending = asyncio.ensure_future(client.rest())
            await site.pass_ms(1_000)
            assert await ending == b""

    @pytest.mark.parametrize("head", [length(TASK), b"Transfer-Encoding: chunked"])
    async def test_of_a_body(self, head: bytes) -> None:
        async with serving() as site, raw(site.url) as client:
            await client.send(post(b"5\r\n{", head))
            answering = asyncio.ensure_future(client.answer())
            await site.pass_ms(9_999)
            assert not answering.done()
            await site.pass_ms(1)
            assert (await answering).status == 408
            assert await client.over()

    async def test_of_a_body_that_drips(self) -> None:
        async with serving() as site, raw(site.url) as client:
            await client.send(post(b"", b"Content-Length: 1000"))
            answering = asyncio.ensure_future(client.answer())
            for _ in range(10):
                await client.send(b"{")
                assert not answering.done()
                await site.pass_ms(1_000)
            await site.pass_ms(1)
            assert (await answering).status == 408

    async def test_a_body_over_a_bad_network_arrives(self) -> None:
        async with serving() as site, raw(site.url) as client:
            await client.send(post(b"", b"Content-Length: 1048576"))
            for _ in range(16):
                await client.send(bytes(1 << 16))
                await site.pass_ms(1_500)
            assert (await client.answer()).status == 202

    async def test_of_a_body_that_nobody_reads(self) -> None:
        async with serving() as site, raw(site.url) as client:
            await client.send(post(b"{", length(TASK), path="/closed"))
            assert (await client.answer()).status == 401
            ending = asyncio.ensure_future(client.rest())
            await site.pass_ms(9_999)
            assert not ending.done()
            await site.pass_ms(1)
            assert await ending == b""

    async def test_a_body_behind_a_slow_request_is_not_late(self) -> None:
        async with serving() as site, raw(site.url) as client:
            body = bytes(1 << 20)
            slow = request("GET /slow HTTP/1.1")
            sending = asyncio.ensure_future(client.send(slow + post(body, length(body))))
            await site.asked.wait()
            await site.pass_ms(60_000)
            await site.pass_ms(60_000)
            site.go_on.set()
            assert (await client.answer()).status == 200
            assert (await client.answer()).status == 202
            await sending

    async def test_an_answer_may_take_its_time(self) -> None:
        async with serving() as site, raw(site.url) as client:
            await client.send(request("GET /slow HTTP/1.1"))
            await site.asked.wait()
            await site.pass_ms(3_600_000)
            site.go_on.set()
            assert (await client.answer()).status == 200

    async def test_of_a_body_without_end_that_is_only_dropped(self) -> None:
        async with serving(body_bytes_max=655_360) as site, raw(site.url) as client:
            await client.send(post(b"", b"Transfer-Encoding: chunked", path="/closed"))
            assert (await client.answer()).status == 401
            ending = asyncio.ensure_future(client.rest())
            for _ in range(20):
                assert not ending.done()
                client.writer.write(b"20000\r\n" + bytes(0x20000) + b"\r\n")
                await site.pass_ms(1_000)
            assert await ending == b""

    async def test_of_a_body_that_comes_to_nothing(self) -> None:
        async with serving(body_bytes_max=655_360) as site, raw(site.url) as client:
            await client.send(post(b"1;", b"Transfer-Encoding: chunked"))
            answering = asyncio.ensure_future(client.answer())
            for _ in range(20):
                assert not answering.done()
                client.writer.write(b"x" * 0x20000)
                await site.pass_ms(1_000)
            assert (await answering).status == 408

    @pytest.mark.parametrize("half_closes", [False, True])
    async def test_who_does_not_take_the_answer_is_cut_off(self, half_closes: bool) -> None:
        async with serving() as site, raw(site.url) as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it can read
            await client.send(request("GET /large HTTP/1.1"))
            if half_closes:
                client.half_close()
            await settle()
            await site.pass_ms(59_999)
            assert site.server.connections == 1
            await site.pass_ms(1)
            assert site.server.connections == 0

    async def test_who_takes_it_slowly_is_not(self) -> None:
        async with serving() as site, raw(site.url) as client:
            await client.send(request("GET /large HTTP/1.1"))
            # More at a time than both kernels keep: else nothing of it is seen on the other side.
            for _ in range(LARGE_BYTES // (8 << 20)):
                await client.reader.readexactly(8 << 20)
                await site.pass_ms(50_000)

    async def test_who_asks_on_and_on_without_reading_is_cut_off(self) -> None:
        async with serving() as site, raw(site.url) as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it can read
            await client.send(request("GET /page HTTP/1.1") * 200)
            answered = -1
            while answered < site.pages:
                answered = site.pages
                await settle()
            assert answered < 200, "nothing is answered while the client takes nothing"
            await site.pass_ms(60_000)
            assert site.server.connections == 0


class TestHalfClosed:
    """The client has ended its side, and waits."""

    async def test_a_slow_answer_still_comes(self) -> None:
        async with serving() as site, raw(site.url) as client:
            await client.send(request("GET /slow HTTP/1.1"))
            client.half_close()
            await site.asked.wait()
            await site.pass_ms(100_000)
            site.go_on.set()
            assert (await client.answer()).status == 200
            assert await client.over()

    async def test_a_stream_goes_on(self) -> None:
        async with serving() as site, raw(site.url) as client:
            await client.send(request("GET /stream HTTP/1.1"))
            client.half_close()
            await site.asked.wait()
            await settle()
            site.go_on.set()
            told = await client.rest()
            assert b"data: 1" in told
            assert b"data: 2" in told

    @pytest.mark.parametrize("count", [2, 100])
    async def test_all_that_was_asked_is_answered(self, count: int) -> None:
        async with serving() as site, raw(site.url) as client:
            await client.send(REQUEST * (count - 1) + post(TASK, length(TASK)))
            client.half_close()
            statuses = [(await client.answer()).status for _ in range(count)]
            assert statuses == [200] * (count - 1) + [202]
            assert await client.over()

    async def test_half_a_request_behind_a_slow_one(self) -> None:
        async with serving() as site, raw(site.url) as client:
            await client.send(request("GET /slow HTTP/1.1") + REQUEST[:10])
            client.half_close()
            await site.asked.wait()
            site.go_on.set()
            assert (await client.answer()).status == 200
            assert await client.over()

    async def test_half_a_body_behind_a_slow_request(self) -> None:
        async with serving() as site, raw(site.url) as client:
            await client.send(request("GET /slow HTTP/1.1") + post(TASK[:3], length(TASK)))
            client.half_close()
            await site.asked.wait()
            site.go_on.set()
            assert (await client.answer()).status == 200
            assert (await client.answer()).status == 400
            assert await client.over()

    async def test_an_idle_connection_ends(self) -> None:
        async with serving() as site, raw(site.url) as client:
            await client.send(REQUEST)
            await client.answer()
            client.half_close()
            assert await client.over()


class TestKeepAlive:
    async def test_requests_that_come_together(self) -> None:
        async with serving() as site, raw(site.url) as client:
            await client.send((REQUEST + post(TASK, length(TASK))) * 50)
            statuses = [(await client.answer()).status for _ in range(100)]
            assert statuses == [200, 202] * 50

    async def test_what_makes_no_sense_after_a_request(self) -> None:
        async with serving() as site, raw(site.url) as client:
            await client.send(request("GET /slow HTTP/1.1"))
            await site.asked.wait()
            await client.send(b"nonsense\r\n\r\n")
            await settle()
            site.go_on.set()
            assert (await client.answer()).status == 200
            assert (await client.answer()).status == 400
            assert await client.over()

    @pytest.mark.parametrize(
        ("version", "header", "kept"),
        [
            ("HTTP/1.1", b"X: y", True),
            ("HTTP/1.1", b"Connection: close", False),
            ("HTTP/1.0", b"X: y", False),
            ("HTTP/1.0", b"Connection: keep-alive", True),
        ],
    )
    async def test_who_keeps_the_connection(self, version: str, header: bytes, kept: bool) -> None:
        async with serving() as site, raw(site.url) as client:
            for _ in range(2 if kept else 1):
                await client.send(request(f"GET /healthz {version}", header))
                assert (await client.answer()).status == 200
            if not kept:
                assert await client.over()


class TestGone:
    """Clients that leave in the middle say nothing to the log."""

    @pytest.mark.parametrize(
        "sent",
        [
            b"",
            REQUEST[:5],
            post(TASK[:5], length(TASK)),
            post(b"", length(TASK), b"Expect: 100-continue"),
            request("GET /slow HTTP/1.1"),
            request("GET /stream HTTP/1.1"),
            request("GET /large HTTP/1.1"),
            REQUEST * 100,
        ],
    )
    async def test_with_a_reset(self, sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
        async with serving() as site:
            async with raw(site.url) as client:
                client.will_reset()
                await client.send(sent)
                await settle()
            await settle()
            site.go_on.set()
            await settle()
            assert site.server.connections == 0
            async with raw(site.url) as client:
                await client.send(REQUEST)
                assert (await client.answer()).status == 200
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_defect_is_said_to_be_one(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as site, raw(site.url) as client:
        await client.send(request("GET /defect HTTP/1.1"))
        answer = await client.answer()
        assert answer.status == 500
        assert answer.json()["type"] == "urn:elwift:problem:internal_error"
        assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("sent", [b"", REQUEST, REQUEST * 3, post(TASK, length(TASK))])
async def test_nothing_is_left_of_a_connection(sent: bytes) -> None:
    async with serving() as site:
        with without_collector():
            # Those of other tests may live on in what they have logged.
            before = alive(*KINDS)
            for _ in range(10):
                async with raw(site.url) as client:
                    await client.send(sent)
                    await settle()
                await settle()
            assert alive(*KINDS) == before


class TestUpgradesThatAreNone:
    async def test_a_client_that_would_rather_speak_http_2_is_kept(self) -> None:
        async with serving() as site, raw(site.url) as client:
            for _ in range(2):
                await client.send(request(LOOK, *H2C))
                assert (await client.answer()).status == 200

    async def test_nor_does_its_body_have_to_come_at_once(self) -> None:
        async with serving() as site, raw(site.url) as client:
            await client.send(post(TASK[:5], length(TASK), *H2C))
            await settle()
            await client.send(TASK[5:])
            assert (await client.answer()).status == 202

    async def test_what_came_behind_it_is_not_waited_for_in_vain(self) -> None:
        async with serving() as site, raw(site.url) as client:
            await client.send(request(LOOK, *H2C) + REQUEST)
            answer = await client.answer()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert await client.over()
