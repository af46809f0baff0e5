"""What channels say goes to the machine of their socket, and its effects are carried out.

The same for every transport: `Connection` writes the effects as WebSocket frames, `EventStream` as
Server-Sent Events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from edge.gateway.outbox import ROOM_BYTES_MAX
from edge.phoenix import Broadcast, Effect, Json, Mergeable, Payload, Socket, Subscription
from edge.services.watchers.channel import ChannelFactory


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
