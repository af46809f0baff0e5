"""What channels say goes to the machine of their socket, and its effects are carried out.

The same for every transport: `Connection` writes the effects as WebSocket frames. Those that follow
one topic, each with a machine of its own, are `TopicPort`: `EventStream` writes Server-Sent Events,
`Following` folds what is said into the text of a call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from edge.gateway.outbox import ROOM_BYTES_MAX
from edge.phoenix import (
    V2,
    Broadcast,
    Effect,
    Json,
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
from edge.services.watchers.channel import ChannelFactory, Channels


class MachinePort:
    """A `SocketPort`, but for ``client``. A subclass makes ``_machine`` and carries effects out."""

    __slots__ = ("_machine",)

    _machine: Socket[ChannelFactory]

    def _perform(self, effects: Iterable[Effect]) -> None:
        raise NotImplementedError

    @property
    def room_bytes(self) -> int:
        """How much long text may be said now. Here, as by a transport that takes all at once."""
        return ROOM_BYTES_MAX

    @property
    def crowded(self) -> bool:
        """So much waits that whatever can be said later should be; here, never."""
        return False

    def when_room(self, call: Callable[[], bool], *, first: bool = False) -> None:
        """See `edge.gateway.outbox.Outbox.when_room`; here, at once."""
        call()

    def hold(self, size_bytes: int) -> None:
        """A channel holds so much more, or less, until its client has room for it."""

    def joined(self, subscription: Subscription, response: Payload) -> None:
        self._perform(self._machine.joined(subscription, response))

    def refused(self, subscription: Subscription, response: Payload) -> None:
        self._perform(self._machine.refused(subscription, response))

    def ended(self, subscription: Subscription) -> None:
        self._perform(self._machine.ended(subscription))

    def crashed(self, subscription: Subscription) -> None:
        self._perform(self._machine.crashed(subscription))

    def left(self, subscription: Subscription) -> None:
        self._perform(self._machine.left(subscription))

    def push(self, subscription: Subscription, event: str, payload: Payload) -> None:
        self._perform(self._machine.push(subscription, event, payload))

    def push_mergeable(self, subscription: Subscription, event: str, payload: Mergeable) -> None:
        self._perform(self._machine.push_mergeable(subscription, event, payload))

    def broadcast(self, subscription: Subscription, message: Broadcast) -> None:
        self._perform(self._machine.broadcast(subscription, message))

    def reply(self, subscription: Subscription, ref: Json, status: str, response: Payload) -> None:
        self._perform(self._machine.reply(subscription, ref, status, response))


class TopicPort(MachinePort):
    """A `SocketPort` that joins one topic, and tells a subclass what is said there by its kind."""

    def __init__(self, client: str, router: Router[ChannelFactory], channels: Channels) -> None:
        self.client = client
        self._machine = Socket(V2, router)
        self._channels = channels

    def _join(self, topic: str, payload: dict[str, Any]) -> None:
        self._perform(self._machine.receive(Message("1", "1", topic, "phx_join", payload)))

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, StartChannel):
                effect.subscription.channel = self._channels.start(self, effect)
            elif isinstance(effect, StopChannel):
                self._channels.stop(effect)
            elif isinstance(effect, MergeablePush):
                self._mergeable(effect)
            elif isinstance(effect, Reply):
                self._replied(effect)
            elif isinstance(effect, Message):
                self._message(effect.event, effect.payload)
            else:
                raise TypeError(f"who follows one topic has no use for {effect!r}")

    def _mergeable(self, push: MergeablePush) -> None:
        """The channel says something that later news may be merged into."""
        raise NotImplementedError

    def _replied(self, reply: Reply) -> None:
        """The join is decided: nothing else is asked of the channel."""
        raise NotImplementedError

    def _message(self, name: str, payload: Any) -> None:
        """The channel says something else, or that it ends."""
        raise NotImplementedError
