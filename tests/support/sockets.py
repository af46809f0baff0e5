"""Sockets without a connection, on the real actor system and the real socket machine."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from edge.actors import System
from edge.clock import ManualClock
from edge.gateway.machine_port import MachinePort
from edge.phoenix import (
    V2,
    Broadcast,
    Deliver,
    Effect,
    LeaveChannel,
    MergeablePush,
    Message,
    Reply,
    Router,
    Socket,
    StartChannel,
    StopChannel,
)
from edge.services.watchers.channel import ChannelFactory, Channels
from edge.services.watchers.pubsub import PubSub
from edge.telemetry.events import Event, Telemetry


class House:
    """What all sockets share; the routes are tried in order."""

    def __init__(self, *routes: tuple[str, ChannelFactory], pumped: bool = False) -> None:
        """With ``pumped`` the running event loop lets the actors work, else tests do it alone."""
        self.clock = ManualClock()
        self.telemetry = Telemetry()
        self.events: list[Event] = []
        self.telemetry.attach(self.events.append)
        self.pubsub = PubSub()
        schedule = asyncio.get_running_loop().call_soon if pumped else lambda pump: None
        self.system = System(self.clock, schedule, on_event=self.telemetry.emit)
        self.channels = Channels(self.system, self.pubsub, self.telemetry)
        self.router: Router[ChannelFactory] = Router(routes)


class Client(MachinePort):
    """A socket without a connection (`SocketPort`); ``sent`` is what its client would get.

    All that it says is about one topic.
    """

    def __init__(self, house: House, client: object = "somebody", topic: str = "room:a") -> None:
        self.house = house
        self.client = client
        self._machine = Socket(V2, house.router)
        self.topic = topic
        self.sent: list[Effect] = []

    def send(self, ref: str, event: str, payload: Any = None, join_ref: str = "1") -> None:
        message = Message(join_ref, ref, self.topic, event, payload)
        self._perform(self._machine.receive(message))

    def run(self) -> list[str]:
        """Lets the actors work; the frames since the last time."""
        self.house.system.run_pending()
        sent, self.sent = self.sent, []
        return [V2.encode(_message(each)).data.decode() for each in sent]

    def lose(self) -> None:
        self._perform(self._machine.lost("gone"))

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, StartChannel):
                effect.subscription.channel = self.house.channels.start(self, effect)
            elif isinstance(effect, (Deliver, LeaveChannel)):
                effect.subscription.channel.send(effect)
            elif isinstance(effect, StopChannel):
                self.house.channels.stop(effect)
            else:
                self.sent.append(effect)


class SlowClient(Client):
    """A socket whose client has room when the test says so."""

    def __init__(self, house: House, client: object = "somebody", topic: str = "room:a") -> None:
        super().__init__(house, client, topic)
        self.room = 0
        self.is_crowded = False
        self.wanting: deque[Callable[[], bool]] = deque()
        self.held_bytes = 0

    @property
    def room_bytes(self) -> int:
        return self.room

    @property
    def crowded(self) -> bool:
        return self.is_crowded

    def when_room(self, call: Callable[[], bool], *, first: bool = False) -> None:
        (self.wanting.appendleft if first else self.wanting.append)(call)

    def hold(self, size_bytes: int) -> None:
        self.held_bytes += size_bytes

    def take(self, room_bytes: int) -> list[str]:
        """The first that wants room has so much; the frames since the last time."""
        self.room = room_bytes
        if self.wanting:
            self.wanting.popleft()()
        frames = self.run()
        self.room = 0
        return frames


def _message(effect: Effect) -> Message | Reply | Broadcast:
    if isinstance(effect, MergeablePush):
        return effect.message()
    assert isinstance(effect, (Message, Reply, Broadcast))
    return effect
