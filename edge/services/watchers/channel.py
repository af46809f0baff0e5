"""Channels, written as in Phoenix: subclass `Channel`, decide on the join, answer what comes in.

Each joined topic of each socket is an actor of its own, registered as ``channel:{number}``. What it
says goes by plain function calls into its socket's outbox; there is nothing in between to wait for.
A channel that raises is ended and its client hears `phx_error`; the socket and its other topics go
on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from edge.actors import NORMAL, Actor, Crash, Reason, Ref, System
from edge.phoenix import (
    Broadcast,
    Deliver,
    Encoded,
    Json,
    LeaveChannel,
    Mergeable,
    Payload,
    StartChannel,
    StopChannel,
    Subscription,
)
from edge.services.watchers.pubsub import PubSub
from edge.telemetry.events import Telemetry

JOIN_MS_MAX: Final = 8_000
"""How long a join may stay undecided; the clients give up after 10 seconds."""

MAILBOX_MESSAGES_MAX: Final = 2_000
"""Messages that may wait for one channel; a client that floods it loses the channel."""

_EMPTY: Final[Mapping[str, object]] = {}


class Ok(NamedTuple):
    """The join is accepted, or the message answered, with this response."""

    response: Payload = _EMPTY


class Error(NamedTuple):
    """The join is refused, or the message answered with an error."""

    response: Payload


class Later:
    """The join is decided later, by `Channel.accept` or `Channel.refuse`."""


class Unhandled:
    """The channel knows no such event; the client hears so."""


class Stop(NamedTuple):
    """The channel is done: an answer, if there is one, then `phx_close`."""

    answer: Ok | Error | None = None


LATER: Final = Later()
UNHANDLED: Final = Unhandled()
_UNHANDLED_RESPONSE: Final = Encoded.of({"reason": "unhandled event"})

Decision: TypeAlias = Ok | Error | Later
Answer: TypeAlias = Ok | Error | Stop | Unhandled | None


class SocketPort(Protocol):
    """What a channel needs of its socket: the reports of `edge.phoenix.Socket`, carried out.

    ``client`` is what the connect function made of the handshake.
    """

    @property
    def client(self) -> Any: ...

    def joined(self, subscription: Subscription, response: Payload) -> None: ...

    def refused(self, subscription: Subscription, response: Payload) -> None: ...

    def ended(self, subscription: Subscription) -> None: ...

    def crashed(self, subscription: Subscription) -> None: ...

    def left(self, subscription: Subscription) -> None: ...

    def push(self, subscription: Subscription, event: str, payload: Payload) -> None: ...

    def push_mergeable(
        self, subscription: Subscription, event: str, payload: Mergeable
    ) -> None: ...

    def broadcast(self, subscription: Subscription, message: Broadcast) -> None: ...

    def reply(
        self, subscription: Subscription, ref: Json, status: str, response: Payload
    ) -> None: ...

    @property
    def room_bytes(self) -> int: ...

    @property
    def crowded(self) -> bool: ...

    def when_room(self, call: Callable[[], bool], *, first: bool = False) -> None: ...

    def hold(self, size_bytes: int) -> None: ...


class _Room:
    """The client has room for long text."""


_ROOM: Final = _Room()


class _JoinExpired:
    """The join has been undecided for too long."""


_JOIN_EXPIRED: Final = _JoinExpired()


class Channel(Actor):
    """Base of all channels. One object a joined topic; its methods run one at a time.

    To be overridden: `join`, and as needed `handle_in`, `handle_info`, `terminate`. A subclass
    gets its dependencies by its constructor, which the route's factory calls; ``topic``, ``client``
    and all that sends are there from `join` on. ``broadcasts`` says whether the channel hears the
    broadcasts of its topic, ``mailbox_messages_max`` how many messages may wait for it.
    """

    __slots__ = ("_asks_room", "_channels", "_held_bytes", "_port", "_subscription")

    broadcasts = True
    mailbox_messages_max = MAILBOX_MESSAGES_MAX

    _channels: Channels
    _port: SocketPort
    _subscription: Subscription
    _held_bytes: int
    _asks_room: bool

    @property
    def topic(self) -> str:
        """The topic that was joined."""
        return self._subscription.topic

    @property
    def client(self) -> Any:
        """What the connect function made of the handshake."""
        return self._port.client

    # --- to be overridden

    def join(self, topic: str, payload: Any) -> Decision:
        """Decides on the join; must not wait for anything. What it pushes follows the reply."""
        raise NotImplementedError

    def handle_in(self, event: str, payload: Any, ref: Json) -> Answer:
        """A message of the client: any JSON value, or bytes. None answers nothing, now; to answer
        later keep ``ref`` and use `reply`."""
        return UNHANDLED

    def handle_info(self, message: object) -> None:
        """A message of another actor, or one's own of `send_after`."""

    def has_room(self) -> None:
        """There is room for long text, as `ask_room` asked for; it may be gone again already."""

    def terminate(self, reason: str) -> None:
        """The channel is over, whatever the reason; nothing reaches the client any more."""

    # --- to be used

    def push(self, event: str, payload: Payload) -> None:
        """Sends to this client. EncodeError when the payload is no JSON."""
        self._port.push(self._subscription, event, payload)

    def push_mergeable(self, event: str, payload: Mergeable) -> None:
        """Sends to this client what may be merged with later ones while it waits."""
        self._port.push_mergeable(self._subscription, event, payload)

    def broadcast(self, event: str, payload: Payload) -> None:
        """Sends to all clients of the topic, this one among them."""
        self._channels.pubsub.broadcast(self.topic, event, payload)

    def reply(self, ref: Json, answer: Ok | Error) -> None:
        """Answers a message to which `handle_in` gave no answer."""
        status = "ok" if type(answer) is Ok else "error"
        self._port.reply(self._subscription, ref, status, answer.response)

    @property
    def room_bytes(self) -> int:
        """How much long text may be sent now; 0 while the client has not taken nearly all that was
        sent before. What is short may be sent at any time."""
        return self._port.room_bytes

    @property
    def crowded(self) -> bool:
        """So much waits for the client that whatever can be said later should be."""
        return self._port.crowded

    def ask_room(self, *, first: bool = False) -> None:
        """Has `has_room` called, once and later, when there is room: before all others that ask at
        this socket, if it is to go on with what has been begun."""
        if not self._asks_room:
            self._asks_room = True
            self._port.when_room(self._room_comes, first=first)

    def hold(self, size_bytes: int) -> None:
        """Says how much the channel holds of what its client has still to take."""
        self._port.hold(size_bytes - self._held_bytes)
        self._held_bytes = size_bytes

    def accept(self, response: Payload = _EMPTY) -> None:
        """Accepts a join that was left for later. IllegalTransition when it is decided."""
        self._port.joined(self._subscription, response)
        self._channels.telemetry.emit("channel.joined", topic=self.topic)

    def refuse(self, response: Payload) -> None:
        """Refuses a join that was left for later, and ends."""
        self._port.refused(self._subscription, response)
        self.stop(NORMAL)

    def finish(self) -> None:
        """Ends the channel as done: `phx_close`; the client will not rejoin."""
        self._port.ended(self._subscription)
        self.stop(NORMAL)

    # --- the machinery

    def attach(self, channels: Channels, port: SocketPort, subscription: Subscription) -> None:
        """Ties the channel to its socket; called once, by `Channels.start`."""
        self._channels = channels
        self._port = port
        self._subscription = subscription
        self._held_bytes = 0
        self._asks_room = False

    def hear(self, message: Broadcast) -> None:
        """A broadcast of the topic (`PubSub`); it goes past the mailbox, as in Phoenix."""
        self._port.broadcast(self._subscription, message)

    def _room_comes(self) -> bool:
        return self.ref.send(_ROOM)

    def handle(self, message: object) -> None:
        if type(message) is Deliver:
            self._answer(message.ref, self.handle_in(message.event, message.payload, message.ref))
        elif type(message) is StartChannel:
            self._decide(self.join(self.topic, message.payload))
        elif type(message) is LeaveChannel:
            self._port.left(self._subscription)
            self.stop(NORMAL)
        elif type(message) is _Room:
            self._asks_room = False
            self.has_room()
        elif type(message) is _JoinExpired:
            if self._subscription.undecided:
                raise TimeoutError(f"the join of {self.topic} was not decided in {JOIN_MS_MAX} ms")
        else:
            self.handle_info(message)

    def stopped(self, reason: Reason) -> None:
        """Every end comes by here: a crash, a leave, `finish`, or the socket's own end."""
        if self.broadcasts:
            self._channels.pubsub.unsubscribe(self.topic, self)
        if isinstance(reason, Crash):
            self._channels.telemetry.emit("channel.crashed", topic=self.topic, error=reason.error)
        if reason.abnormal:
            self._port.crashed(self._subscription)
        else:
            self._port.ended(self._subscription)
        self._subscription.channel = None
        self.hold(0)
        self.terminate(str(reason))

    def _decide(self, decision: Decision) -> None:
        if type(decision) is Ok:
            self.accept(decision.response)
        elif type(decision) is Error:
            self.refuse(decision.response)
        elif type(decision) is Later:
            # The decision may have been made already, by `accept` inside `join`.
            if self._subscription.undecided:
                self.send_after(JOIN_MS_MAX, _JOIN_EXPIRED)
        else:
            raise TypeError(f"join has to return Ok, Error or LATER, not {decision!r}")

    def _answer(self, ref: Json, answer: Answer) -> None:
        if answer is None:
            return
        if isinstance(answer, (Ok, Error)):
            self.reply(ref, answer)
        elif type(answer) is Stop:
            if answer.answer is not None:
                self.reply(ref, answer.answer)
            self.finish()
        elif type(answer) is Unhandled:
            self.reply(ref, Error(_UNHANDLED_RESPONSE))
        else:
            raise TypeError(f"handle_in has to return an answer or None, not {answer!r}")


ChannelFactory: TypeAlias = Callable[[], Channel]
"""What a route leads to: makes one channel, not joined yet, with its dependencies."""


class Channels:
    """Starts channels for sockets. One for the whole node."""

    def __init__(self, system: System, pubsub: PubSub, telemetry: Telemetry) -> None:
        self.system = system
        self.pubsub = pubsub
        self.telemetry = telemetry
        self._started = 0

    def start(self, port: SocketPort, start: StartChannel) -> Ref:
        """Starts the channel and has it decide on the join, in its own turn.

        From now on the topic's broadcasts are kept for it; they follow the join's reply.
        Raises what the factory raises.
        """
        channel: Channel = start.handler()
        channel.attach(self, port, start.subscription)
        self._started += 1
        ref = self.system.spawn(
            channel,
            name=f"channel:{self._started}",
            mailbox_messages_max=channel.mailbox_messages_max,
        )
        if channel.broadcasts:
            self.pubsub.subscribe(channel.topic, channel)
        ref.send(start)
        return ref

    def stop(self, effect: StopChannel) -> None:
        """Ends a channel at once; what waits in its mailbox is dropped."""
        ref: Ref | None = effect.subscription.channel
        if ref is not None:
            ref.kill(Reason(effect.reason, abnormal=False))
