"""Every vector of the reference, over real sockets against the fixture application.

But for PUSH-10, which tells all but oneself (`broadcast_from`): no channel here does that.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.conformance.server import Server, serving

VECTORS: dict[str, list[Any]] = json.loads(
    Path(__file__).with_name("vectors.json").read_text(encoding="utf-8")
)

# SOCK-9: what the smaller clients need of the text itself.
V2_FRAME = re.compile(
    r'\[("[^"]*"|null|-?\d+),("[^"]*"|null|-?\d+),("[^",]*"|\d+),"[^",]*",\{.*\}\]'
)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as server:
        yield server


def read(frame: Any, vsn: str) -> Any:
    """A frame as a value: objects compare without the order of their keys."""
    if frame.type is aiohttp.WSMsgType.BINARY:
        return f"hex:{frame.data.hex()}"
    assert frame.type is aiohttp.WSMsgType.TEXT, frame
    if vsn.startswith("2"):
        assert V2_FRAME.fullmatch(frame.data), frame.data
    assert frame.data == json.dumps(
        json.loads(frame.data), separators=(",", ":"), ensure_ascii=False
    )
    return json.loads(frame.data)


async def expect(socket: aiohttp.ClientWebSocketResponse, vsn: str, wanted: list[str]) -> None:
    for frame in wanted:
        received = read(await socket.receive(), vsn)
        assert received == (frame if frame.startswith("hex:") else json.loads(frame))
    if not wanted:
        # Nothing may come: the answer to a heartbeat is then the very next frame.
        beat = {"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "beat"}
        await socket.send_str(
            json.dumps(beat if vsn == "1.0.0" else [None, "beat", "phoenix", "heartbeat", {}])
        )
        received = read(await socket.receive(), vsn)
        assert "beat" in (received.values() if isinstance(received, dict) else received)


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["id"])
async def test_vector(server: Server, vector: dict[str, Any]) -> None:
    vsn = vector["vsn"]
    async with server.connect(vector["path"], f"vsn={vsn}") as socket:
        for kind, value in vector["steps"]:
            if kind == "send":
                await socket.send_str(value)
            elif kind == "sendb":
                await socket.send_bytes(bytes.fromhex(value))
            elif kind == "expect":
                await expect(socket, vsn, value)
            else:
                assert kind == "close"
                message = await socket.receive()
                assert message.type is aiohttp.WSMsgType.CLOSE
                assert (message.data, message.extra) == (value, "")


@pytest.mark.parametrize("vector", VECTORS["handshake"], ids=lambda vector: vector[0])
async def test_handshake(server: Server, vector: tuple[str, str, dict[str, str], int]) -> None:
    _, query, headers, status = vector
    assert await server.handshake_status("/socket/websocket", query, headers) == status


async def test_token_in_the_subprotocol(server: Server) -> None:
    """HS-15."""
    offer = ("phoenix", "base64url.bearer.phx.bXktdG9rZW4")
    heard = server.listen("socket.opened")
    async with server.connect("/socket/websocket", "vsn=2.0.0", protocols=offer) as socket:
        assert socket.protocol == "phoenix"
        assert heard == [{"client": "my-token"}]


async def test_request_without_an_upgrade(server: Server) -> None:
    """HS-17, and the methods that cannot upgrade."""
    url = f"{server.url}/socket/websocket?vsn=2.0.0"
    async with server.http.get(url) as response:
        assert response.status == 400
        assert await response.text()
    for method in ("POST", "PUT", "OPTIONS", "HEAD"):
        async with server.http.request(method, url) as response:
            assert response.status == 400


@pytest.mark.parametrize("path", ["/socket/longpoll", "/socket/nothing", "/other/websocket"])
async def test_there_is_no_long_poll(server: Server, path: str) -> None:
    async with server.http.get(server.url + path) as response:
        assert response.status == 404


async def test_a_slash_behind_the_path_is_accepted(server: Server) -> None:
    assert await server.handshake_status("/socket/websocket/", "vsn=2.0.0", {}) == 101


async def test_an_undecodable_frame_leaves_other_sockets_alone(server: Server) -> None:
    async with (
        server.connect("/socket/websocket", "vsn=2.0.0") as good,
        server.connect("/socket/websocket", "vsn=2.0.0") as bad,
    ):
        for socket in (good, bad):
            await socket.send_str('["1","1","room:a","phx_join",{}]')
            await socket.receive()
        await bad.send_str("\x00garbage")
        assert (await bad.receive()).data == 1011
        await asyncio.gather(*(good.send_str('["1","2","room:a","ok",{}]') for _ in range(3)))
        for _ in range(3):
            assert json.loads((await good.receive()).data)[1] == "2"
