"""One client's socket as a pure machine: frames and what channels say in, effects out.

It holds which topics are joined and answers by itself whatever needs no channel: heartbeats,
unmatched topics, stale references, limits. Reference: Phoenix 1.8 ``Phoenix.Socket``.

A topic is in one `State`. While a join or a leave is under way the later frames of that topic wait
behind it, so that a client that writes ahead sees its answers in order; other topics go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar

from edge.errors import InternalError
from edge.json_values import LEVELS_MAX, too_deep
from edge.phoenix.effects import (
    CloseSocket,
    Deliver,
    Effect,
    LeaveChannel,
    Send,
    StartChannel,
    State,
    StopChannel,
    Subscription,
)
from edge.phoenix.messages import (
    Broadcast,
    Encoded,
    Json,
    Mergeable,
    MergeablePush,
    Message,
    Payload,
    ProtocolError,
    Reply,
)
from edge.phoenix.router import Router
from edge.phoenix.serializer import Serializer

H = TypeVar("H")

TOPICS_MAX: Final = 100
"""Phoenix's ``max_channels_per_transport``."""

WAITING_FRAMES_MAX: Final = 64
HELD_MESSAGES_MAX: Final = 1024

_TOO_DEEP: Final = f"the payload is nested deeper than {LEVELS_MAX} levels"
_EMPTY: Final[dict[str, object]] = {}
_UNHANDLED: Final = Encoded.of({"reason": "unhandled event"})


class IllegalTransition(InternalError):
    """A channel reported what cannot happen in its state; nothing has changed."""

    code = "illegal_transition"


class Socket(Generic[H]):
    """The machine. All methods return the effects in the order in which they have to happen."""

    __slots__ = ("_open", "_router", "_topics", "serializer", "topics_max", "waiting_frames_max")

    def __init__(
        self,
        serializer: Serializer,
        router: Router[H],
        *,
        topics_max: int = TOPICS_MAX,
        waiting_frames_max: int = WAITING_FRAMES_MAX,
    ) -> None:
        self.serializer = serializer
        self.topics_max = topics_max
        self.waiting_frames_max = waiting_frames_max
        self._router = router
        self._topics: dict[str, Subscription] = {}
        self._open = True

    @property
    def topics(self) -> int:
        """How many topics are held: joining, joined or leaving."""
        return len(self._topics)

    # --- from the client

    def receive_text(self, data: str | bytes) -> list[Effect]:
        """A text frame. One that cannot be read closes the socket."""
        try:
            return self.receive(self.serializer.decode_text(data))
        except ProtocolError as error:
            return self.close(error.close_code, str(error))

    def receive_binary(self, data: bytes) -> list[Effect]:
        """A binary frame. One that cannot be read closes the socket."""
        try:
            return self.receive(self.serializer.decode_binary(data))
        except ProtocolError as error:
            return self.close(error.close_code, str(error))

    def receive(self, message: Message) -> list[Effect]:
        """A decoded message."""
        effects: list[Effect] = []
        if self._open:
            self._dispatch(message, effects)
        return effects

    def close(self, code: int, reason: str) -> list[Effect]:
        """Ends everything: nothing is sent per channel. A second close does nothing."""
        effects = self.lost(reason)
        if self._open:
            self._open = False
            effects.append(CloseSocket(code, reason))
        return effects

    def lost(self, reason: str) -> list[Effect]:
        """The connection is gone, or going; ends all channels."""
        effects: list[Effect] = []
        for subscription in tuple(self._topics.values()):
            self._free(subscription)
            effects.append(StopChannel(subscription, reason))
        return effects

    def _dispatch(self, message: Message, effects: list[Effect]) -> None:
        topic, event = message.topic, message.event
        if too_deep(message.payload):
            # Here, where all messages pass: nothing behind has to be careful with it.
            effects.append(_error(message.join_ref, message, _TOO_DEEP))
            return
        if topic == "phoenix" and event == "heartbeat":
            effects.append(Reply(None, message.ref, "phoenix", "ok", _EMPTY))
            return
        subscription = self._topics.get(topic) if type(topic) is str else None
        if subscription is None:
            self._dispatch_free(message, effects)
            return
        on_frame = _ON_FRAME.get((subscription.state, event)) if type(event) is str else None
        if on_frame is not None:
            on_frame(self, subscription, message, effects)
        elif subscription.state is State.JOINED:
            self._deliver(subscription, message, effects)
        else:
            self._wait(subscription, message, effects)

    def _dispatch_free(self, message: Message, effects: list[Effect]) -> None:
        if message.event == "phx_join":
            self._join(message, effects)
        elif message.event == "phx_leave":
            effects.append(Reply(message.join_ref, message.ref, message.topic, "ok", _EMPTY))
        else:
            effects.append(_error(None, message, "unmatched topic"))

    def _join(self, message: Message, effects: list[Effect]) -> Subscription | None:
        handler = self._router.match(message.topic)
        if handler is None:
            effects.append(_error(None, message, "unmatched topic"))
            return None
        if len(self._topics) >= self.topics_max:
            effects.append(_error(message.join_ref, message, "too many channels joined"))
            return None
        subscription = self._topics[message.topic] = Subscription(message.topic, message)
        effects.append(StartChannel(subscription, handler, message.payload))
        return subscription

    def _rejoin(self, old: Subscription, message: Message, effects: list[Effect]) -> None:
        """A join of a topic that is joined: the old channel ends now, and its `phx_close` follows
        the reply to the new join."""
        self._free(old)
        effects.append(StopChannel(old, "duplicate join"))
        subscription = self._join(message, effects)
        assert subscription is not None, "a held topic is routed, and its place was just freed"
        subscription.supersedes = old

    def _leave(self, subscription: Subscription, message: Message, effects: list[Effect]) -> None:
        if _is_stale(subscription, message):
            return
        subscription.state = State.LEAVING
        subscription.request = message
        effects.append(LeaveChannel(subscription))

    def _leave_again(
        self, subscription: Subscription, message: Message, effects: list[Effect]
    ) -> None:
        if not _is_stale(subscription, message):
            effects.append(Reply(subscription.join_ref, message.ref, message.topic, "ok", _EMPTY))

    def _deliver(self, subscription: Subscription, message: Message, effects: list[Effect]) -> None:
        if _is_stale(subscription, message):
            return
        event = message.event
        if type(event) is not str or event.startswith("phx_"):
            effects.append(
                Reply(subscription.join_ref, message.ref, message.topic, "error", _UNHANDLED)
            )
        else:
            effects.append(Deliver(subscription, event, message.payload, message.ref))

    def _wait(self, subscription: Subscription, message: Message, effects: list[Effect]) -> None:
        if subscription.waiting is None:
            subscription.waiting = []
        if len(subscription.waiting) >= self.waiting_frames_max:
            effects.append(_error(message.join_ref, message, "too many messages before the join"))
        else:
            subscription.waiting.append(message)

    # --- from the channel

    def joined(self, subscription: Subscription, response: Payload) -> list[Effect]:
        """The join is accepted. IllegalTransition when it is decided already."""
        effects: list[Effect] = []
        if _undecided(subscription):
            self._answer_join(subscription, "ok", response, effects)
            subscription.state = State.JOINED
            effects.extend(subscription.held or ())
            subscription.held = None
            self._release(subscription, effects)
        return effects

    def refused(self, subscription: Subscription, response: Payload) -> list[Effect]:
        """The join is refused; nothing remains. IllegalTransition when it is decided already."""
        effects: list[Effect] = []
        if _undecided(subscription):
            self._fail_join(subscription, response, effects)
        return effects

    def ended(self, subscription: Subscription) -> list[Effect]:
        """The channel is done: `phx_close`, and the client will not rejoin."""
        return self._end(subscription, "phx_close", _EMPTY)

    def crashed(self, subscription: Subscription) -> list[Effect]:
        """The channel crashed: `phx_error`, and the client rejoins. In a join: an error reply."""
        return self._end(subscription, "phx_error", {"reason": "channel_crash"})

    def left(self, subscription: Subscription) -> list[Effect]:
        """The channel has handled all that came before the leave.

        IllegalTransition when nobody asked to leave."""
        if subscription.state in (State.JOINING, State.JOINED):
            raise IllegalTransition(f"{subscription!r}: there was no phx_leave")
        return self._end(subscription, "phx_close", _EMPTY)

    def push(self, subscription: Subscription, event: str, payload: Payload) -> Sequence[Effect]:
        """A message of the channel to its client."""
        if subscription.state is State.FREE:
            return ()
        send = Message(subscription.join_ref, None, subscription.topic, event, payload)
        return self._hold(subscription, send) if subscription.state is State.JOINING else (send,)

    def push_mergeable(
        self, subscription: Subscription, event: str, payload: Mergeable
    ) -> Sequence[Effect]:
        """The same, for one that may be merged with a later one while it waits to be written."""
        if subscription.state is State.FREE:
            return ()
        send = MergeablePush(subscription.join_ref, subscription.topic, event, payload)
        return self._hold(subscription, send) if subscription.state is State.JOINING else (send,)

    def broadcast(self, subscription: Subscription, message: Broadcast) -> Sequence[Effect]:
        """A message to all subscribers of the topic, this one among them."""
        if subscription.state is State.FREE:
            return ()
        if subscription.state is State.JOINING:
            return self._hold(subscription, message)
        return (message,)

    def reply(
        self, subscription: Subscription, ref: Json, status: str, response: Payload
    ) -> Sequence[Effect]:
        """The answer to the message with this reference."""
        if subscription.state is State.FREE:
            return ()
        send = Reply(subscription.join_ref, ref, subscription.topic, status, response)
        return self._hold(subscription, send) if subscription.state is State.JOINING else (send,)

    # --- inside

    def _hold(self, subscription: Subscription, send: Send) -> list[Effect]:
        """Keeps what is said during the join until its reply, which has to be the first frame."""
        if subscription.held is None:
            subscription.held = []
        if len(subscription.held) < HELD_MESSAGES_MAX:
            subscription.held.append(send)
            return []
        effects: list[Effect] = [StopChannel(subscription, "too much said before the join's reply")]
        self._fail_join(subscription, {"reason": "join crashed"}, effects)
        return effects

    def _end(self, subscription: Subscription, event: str, payload: Payload) -> list[Effect]:
        effects: list[Effect] = []
        state = subscription.state
        if state is State.JOINING:
            self._fail_join(subscription, {"reason": "join crashed"}, effects)
        elif state is not State.FREE:
            join_ref, topic = subscription.join_ref, subscription.topic
            if subscription.request is not None:  # leaving: the client gets what it asked for
                effects.append(Reply(join_ref, subscription.request.ref, topic, "ok", _EMPTY))
                event, payload = "phx_close", _EMPTY
            effects.append(Message(join_ref, join_ref, topic, event, payload))
            self._free(subscription)
            self._release(subscription, effects)
        return effects

    def _fail_join(
        self, subscription: Subscription, response: Payload, effects: list[Effect]
    ) -> None:
        self._free(subscription)
        self._answer_join(subscription, "error", response, effects)
        self._release(subscription, effects)

    @staticmethod
    def _answer_join(
        subscription: Subscription, status: str, response: Payload, effects: list[Effect]
    ) -> None:
        request, topic = subscription.request, subscription.topic
        assert request is not None, "an undecided join keeps its request"
        subscription.request = None
        effects.append(Reply(request.join_ref, request.ref, topic, status, response))
        old, subscription.supersedes = subscription.supersedes, None
        if old is not None:
            effects.append(Message(old.join_ref, old.join_ref, topic, "phx_close", _EMPTY))

    def _free(self, subscription: Subscription) -> None:
        subscription.state = State.FREE
        subscription.held = None
        del self._topics[subscription.topic]

    def _release(self, subscription: Subscription, effects: list[Effect]) -> None:
        """Dispatches what waited; it waits again, in order, if another join or leave is in it."""
        waiting, subscription.waiting = subscription.waiting, None
        for message in waiting or ():
            self._dispatch(message, effects)


_OnFrame: TypeAlias = Callable[[Socket[Any], Subscription, Message, list[Effect]], None]

# What a frame does to a topic that is held. Any other event of a joined topic is delivered; any
# other frame of a topic in between waits.
_ON_FRAME: Final[dict[tuple[State, object], _OnFrame]] = {
    (State.JOINED, "phx_join"): Socket._rejoin,
    (State.JOINED, "phx_leave"): Socket._leave,
    (State.LEAVING, "phx_leave"): Socket._leave_again,
}


def _is_stale(subscription: Subscription, message: Message) -> bool:
    """True when both join_refs are there and differ, in value or in JSON type."""
    sent, held = message.join_ref, subscription.join_ref
    return not (sent is None or held is None or (type(sent) is type(held) and sent == held))


def _undecided(subscription: Subscription) -> bool:
    """True while the join waits for its reply, False when the topic was freed meanwhile."""
    if subscription.state in (State.JOINED, State.LEAVING):
        raise IllegalTransition(f"{subscription!r}: the join is answered already")
    return subscription.state is State.JOINING


def _error(join_ref: Json, message: Message, reason: str) -> Reply:
    return Reply(join_ref, message.ref, message.topic, "error", {"reason": reason})
