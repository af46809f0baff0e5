"""The mounted socket: what reaches `connect` and the channels, and what their defects lead to.

What goes over the wire is tested by the vectors in tests/conformance.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, WSMsgType, web

from edge.actors import System
from edge.clock import SystemClock
from edge.gateway.handshake import Refusal
from edge.gateway.socket import Accepted, Connect, ConnectInfo, SocketApp, mount
from edge.phoenix import Encoded, Json
from edge.services.watchers.channel import Answer, Channel, Channels, Decision, Ok
from edge.services.watchers.pubsub import PubSub
from edge.settings import Socket as Limits
from edge.telemetry.events import Telemetry


class Unwritable:
    size_bytes = 1

    def merge(self, later: Unwritable) -> Unwritable:
        return later

    def encode(self) -> Encoded:
        raise ValueError("not today")


class Room(Channel):
    def join(self, topic: str, payload: Any) -> Decision:
        return Ok({"client": self.client})

    def handle_in(self, event: str, payload: Any, ref: Json) -> Answer:
        if event == "merge":
            self.push_mergeable("x", Unwritable())
        return Ok({"x": object()})


def broken_factory() -> Channel:
    raise RuntimeError("no room")


class Desk:
    def __init__(self, app: SocketApp, http: ClientSession, url: str) -> None:
        self.app = app
        self.http = http
        self.url = url

    async def exchange(self, *frames: str, **query: str) -> list[str]:
        """The answers, one to each frame; the last may be a close code."""
        answers = []
        async with self.http.ws_connect(self.url, params={"vsn": "2.0.0", **query}) as socket:
            for frame in frames:
                await socket.send_str(frame)
                message = await socket.receive()
                answers.append(str(message.data))
                if message.type is WSMsgType.CLOSE:
                    break
        return answers


@asynccontextmanager
async def desk(connect: Connect) -> AsyncIterator[Desk]:
    loop = asyncio.get_running_loop()
    clock = SystemClock(loop)
    channels = Channels(System(clock, loop.call_soon), PubSub(), Telemetry())
    app = SocketApp(
        [("room:*", Room), ("broken", broken_factory)],
        connect,
        channels=channels,
        clock=clock,
        limits=Limits(),
        telemetry=channels.telemetry,
    )
    site = web.Application()
    mount(site, "/socket", app)
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/socket/websocket"
    async with ClientSession() as http:
        yield Desk(app, http, url)
    await app.drain()
    await runner.cleanup()


def welcome(info: ConnectInfo) -> Accepted:
    return Accepted({"token": info.token, "params": info.params, "peer": info.request.remote})


def join(topic: str) -> str:
    return f'["1","1","{topic}","phx_join",{{}}]'


async def test_connect_hears_of_the_client_and_names_it_to_its_channels() -> None:
    async with desk(welcome) as d:
        (joined,) = await d.exchange(join("room:a"), token="secret", user="7")
        assert '{"token":"secret","params":{"user":"7"},"peer":"127.0.0.1"}' in joined


@pytest.mark.parametrize("status", [401, 403, 429, 503])
async def test_refusal_is_an_http_answer(status: int) -> None:
    refusal = Refusal(status, "wait\n", {"Retry-After": "3"})
    async with desk(lambda info: refusal) as d, d.http.get(d.url) as response:
        assert response.status == status
        assert await response.text() == "wait\n"
        assert response.headers["Retry-After"] == "3"


async def test_answer_that_is_no_json_crashes_its_channel_alone() -> None:
    async with desk(welcome) as d:
        answers = await d.exchange(
            join("room:a"),
            '["1","2","room:a","x",{}]',
            '[null,"3","phoenix","heartbeat",{}]',
        )
        assert answers[1] == '["1","1","room:a","phx_error",{"reason":"channel_crash"}]'
        assert '"status":"ok"' in answers[2]


async def test_channel_that_cannot_be_made_is_a_crashed_join(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with desk(welcome) as d:
        (answer,) = await d.exchange(join("broken"))
        assert '{"reason":"join crashed"}' in answer
        assert "could not be made" in caplog.text


async def test_update_that_cannot_be_encoded_closes_its_socket(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with desk(welcome) as d:
        answers = await d.exchange(join("room:a"), '["1","2","room:a","merge",{}]')
        assert answers[1] == "1011"
        assert "could not be encoded" in caplog.text


async def test_drain_of_nothing_ends_at_once_and_refuses_from_then_on() -> None:
    async with desk(welcome) as d:
        await d.app.drain()
        async with d.http.get(d.url) as response:
            assert response.status == 503
        assert d.app.disconnect("nobody") == 0
