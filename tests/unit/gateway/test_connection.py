"""One open socket after the other, without a network: nothing of one that is over stays."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import WSMessage, WSMsgType

from edge.actors import Ref, System
from edge.clock import NS_PER_MS, ManualClock
from edge.gateway.connection import Connection
from edge.gateway.handshake import Handshake
from edge.gateway.outbox import Outbox
from edge.gateway.socket import Accepted, SocketApp
from edge.phoenix import V2, Encoded, Json, Socket
from edge.phoenix.effects import Subscription
from edge.services.watchers.channel import Answer, Channel, Channels, Decision, Ok
from edge.services.watchers.pubsub import PubSub
from edge.settings import Socket as Limits
from edge.telemetry import Telemetry
from tests.support.census import alive, without_collector

SOCKETS = 10_000
FEW = 100


class Text:
    """An update as long as its client is told to be slow."""

    size_bytes = 100_000

    def merge(self, later: Text) -> None:
        return None

    def encode(self) -> Encoded:
        return Encoded.of({"text": "x" * self.size_bytes})


class Room(Channel):
    """Answers, crashes, or floods its client."""

    def join(self, topic: str, payload: Any) -> Decision:
        return Ok()

    def handle_in(self, event: str, payload: Any, ref: Json) -> Answer:
        if event == "crash":
            raise RuntimeError("asked to")
        if event == "flood":
            for _ in range(50):
                self.push_mergeable("text", Text())
        return Ok()


class Link:
    """An asyncio transport and an aiohttp response to the node; the client says what is given, and
    is gone after that if it does not stay silent."""

    def __init__(self, frames: list[Any], stays: bool = False) -> None:
        self._frames = deque(json.dumps(frame) for frame in frames)
        self._stays = stays
        self.close_code: int | None = None
        self.closed = False
        self.written = 0

    def write(self, data: bytes) -> None:
        self.written += len(data)

    def get_write_buffer_size(self) -> int:
        return self.written

    def set_write_buffer_limits(self, high: int) -> None:
        assert high == 0, "what is written leaves at once"

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        self.written = 0

    async def receive(self) -> WSMessage:
        # A turn of the loop, in which the actors work.
        await asyncio.sleep(0)
        if self._frames:
            return WSMessage(WSMsgType.TEXT, self._frames.popleft(), None)
        if self._stays:
            await asyncio.get_running_loop().create_future()
        self.closed = True
        return WSMessage(WSMsgType.CLOSED, None, None)

    async def close(self, *, code: int, drain: bool) -> bool:
        self.close_code = code
        return True


class House:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.system = System(self.clock, asyncio.get_running_loop().call_soon)
        self.app = SocketApp(
            [("room:*", Room)],
            lambda info: Accepted(None),
            channels=Channels(self.system, PubSub(), Telemetry()),
            clock=self.clock,
            limits=Limits(),
            telemetry=Telemetry(),
        )

    async def serve(self, link: Link, while_open: Callable[[], object] = lambda: None) -> None:
        transport: Any = link
        connection = Connection(self.app, Handshake(V2, {}, None, None), None, None, transport)
        runner = asyncio.ensure_future(connection.run(transport))
        del connection
        await asyncio.sleep(0)
        while_open()
        await runner
        await asyncio.sleep(0)  # its channels end in their own turn


def join(topic: str) -> list[Any]:
    return ["1", "1", topic, "phx_join", {}]


OF_A_SOCKET = (Connection, Outbox, Socket, Subscription, Room, Ref, Handshake, Link, Text)


async def come_and_go(house: House) -> None:
    await house.serve(Link([join("room:a"), join("room:b")]))


async def join_again_and_leave(house: House) -> None:
    again = ["2", "2", "room:a", "phx_join", {}]
    leave = ["2", "3", "room:a", "phx_leave", {}]
    await house.serve(Link([join("room:a"), again, leave]))


async def have_a_channel_crash(house: House) -> None:
    await house.serve(Link([join("room:a"), ["1", "2", "room:a", "crash", {}]]))


async def read_too_slowly(house: House) -> None:
    link = Link([join("room:a"), ["1", "2", "room:a", "flood", {}]], stays=True)
    await house.serve(link)
    assert link.close_code == 1013


async def be_silent(house: House) -> None:
    link = Link([join("room:a")], stays=True)
    idle_ns = house.app.limits.idle_ms * NS_PER_MS
    await house.serve(link, lambda: house.clock.advance(idle_ns))
    assert link.close_code == 1001


async def say_nonsense(house: House) -> None:
    await house.serve(Link([join("room:a"), "nonsense"]))


@pytest.mark.parametrize(
    ("live", "sockets"),
    [
        (come_and_go, SOCKETS),
        (join_again_and_leave, FEW),
        (have_a_channel_crash, FEW),
        (read_too_slowly, FEW),
        (be_silent, FEW),
        (say_nonsense, FEW),
    ],
)
async def test_nothing_is_left_of_a_socket(live: Any, sockets: int) -> None:
    house = House()
    await live(house)
    with without_collector():
        before = alive(*OF_A_SOCKET)
        for _ in range(sockets):
            await live(house)
        assert alive(*OF_A_SOCKET) - before == Counter()
    assert house.app.sockets == 0
    assert house.system.registry.names() == []
