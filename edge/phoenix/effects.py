"""What the socket machine holds of a topic, and what it asks its runtime to do."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, NamedTuple, TypeAlias

from edge.phoenix.messages import Broadcast, Json, MergeablePush, Message, Reply


class State(Enum):
    """Of one topic of one socket."""

    FREE = auto()
    JOINING = auto()
    JOINED = auto()
    LEAVING = auto()


class Subscription:
    """One join of one topic. The socket's runtime holds it and hands it back with every report.

    Once a later join, a leave or an end has freed it, reports on it have no effect: no frame of an
    old subscription can follow the reply to a new one.
    ``channel`` belongs to the runtime.
    """

    __slots__ = (
        "channel",
        "held",
        "join_ref",
        "request",
        "state",
        "supersedes",
        "topic",
        "waiting",
    )

    def __init__(self, topic: str, request: Message) -> None:
        self.topic = topic
        # Without a join_ref the join's own reference takes its place.
        self.join_ref: Json = request.ref if request.join_ref is None else request.join_ref
        self.state = State.JOINING
        self.request: Message | None = request  # the join or the leave that waits for its reply
        self.waiting: list[Message] | None = None  # frames behind a join or a leave
        self.held: list[Send] | None = None  # what the channel said before the join's reply
        self.supersedes: Subscription | None = None  # closed after the reply to this one
        self.channel: Any = None

    @property
    def undecided(self) -> bool:
        """True while the join waits for its reply."""
        return self.state is State.JOINING

    def __repr__(self) -> str:
        return f"<Subscription {self.topic} {self.state.name}>"


class StartChannel(NamedTuple):
    """Start the channel of this handler and have it decide on the join."""

    subscription: Subscription
    handler: Any  # what the router holds for the topic
    payload: Any


class Deliver(NamedTuple):
    """A client's message for the channel. Its order among others has to be kept."""

    subscription: Subscription
    event: str
    payload: Any
    ref: Json


class LeaveChannel(NamedTuple):
    """End the channel after what was delivered before; report `Socket.left`."""

    subscription: Subscription


class StopChannel(NamedTuple):
    """End the channel at once; nothing that it still says matters."""

    subscription: Subscription
    reason: str


class CloseSocket(NamedTuple):
    """Close the connection with this code; the machine is closed already."""

    code: int
    reason: str


Send: TypeAlias = Message | Reply | Broadcast | MergeablePush
Effect: TypeAlias = Send | StartChannel | Deliver | LeaveChannel | StopChannel | CloseSocket
