"""Sockets without a connection, on the real actor system and the real socket machine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edge.actors import System
from edge.clock import ManualClock
from edge.phoenix import (
    V2,
    Broadcast,
    Deliver,
    Effect,
    Json,
    LeaveChannel,
    Mergeable,
    MergeablePush,
    Message,
    Payload,
    Reply,
    Router,
    Socket,
    StartChannel,
    StopChannel,
    Subscription,
)
from edge.services.channel import ChannelFactory, Channels
from edge.services.pubsub import PubSub
from edge.telemetry.events import Event, Telemetry


class House:
    """What all sockets share; the routes are tried in order."""

    def __init__(self, *routes: tuple[str, ChannelFactory]) -> None:
        self.clock = ManualClock()
        self.telemetry = Telemetry()
        self.events: list[Event] = []
        self.telemetry.attach(self.events.append)
        self.pubsub = PubSub()
        # Nothing pumps the actors but the tests themselves.
        self.system = System(self.clock, lambda pump: None, on_event=self.telemetry.emit)
        self.channels = Channels(self.system, self.pubsub, self.telemetry)
        self.router: Router[ChannelFactory] = Router(routes)


class Client:
    """A socket without a connection (`SocketPort`); ``sent`` is what its client would get.

    All that it says is about one topic.
    """

    def __init__(self, house: House, client: object = "somebody", topic: str = "room:a") -> None:
        self.house = house
        self.client = client
        self.machine = Socket(V2, house.router)
        self.topic = topic
        self.sent: list[Effect] = []

    def send(self, ref: str, event: str, payload: Any = None, join_ref: str = "1") -> None:
        message = Message(join_ref, ref, self.topic, event, payload)
        self._perform(self.machine.receive(message))

    def run(self) -> list[str]:
        """Lets the actors work; the frames since the last time."""
        self.house.system.run_pending()
        sent, self.sent = self.sent, []
        return [V2.encode(_message(each)).data.decode() for each in sent]

    def lose(self) -> None:
        self._perform(self.machine.lost("gone"))

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

    def joined(self, subscription: Subscription, response: Payload) -> None:
        self._perform(self.machine.joined(subscription, response))

    def refused(self, subscription: Subscription, response: Payload) -> None:
        self._perform(self.machine.refused(subscription, response))

    def ended(self, subscription: Subscription) -> None:
        self._perform(self.machine.ended(subscription))

    def crashed(self, subscription: Subscription) -> None:
        self._perform(self.machine.crashed(subscription))

    def left(self, subscription: Subscription) -> None:
        self._perform(self.machine.left(subscription))

    def push(self, subscription: Subscription, event: str, payload: Payload) -> None:
        self._perform(self.machine.push(subscription, event, payload))

    def push_mergeable(self, subscription: Subscription, event: str, payload: Mergeable) -> None:
        self._perform(self.machine.push_mergeable(subscription, event, payload))

    def broadcast(self, subscription: Subscription, message: Broadcast) -> None:
        self._perform(self.machine.broadcast(subscription, message))

    def reply(self, subscription: Subscription, ref: Json, status: str, response: Payload) -> None:
        self._perform(self.machine.reply(subscription, ref, status, response))


def _message(effect: Effect) -> Message | Reply | Broadcast:
    if isinstance(effect, MergeablePush):
        return effect.message()
    assert isinstance(effect, (Message, Reply, Broadcast))
    return effect
