"""What crosses a Phoenix socket, as values, and the errors of its codec.

A payload is a JSON value or, as `bytes`, a binary one (V2 only). Towards the client a JSON payload
is always an object: the clients in use misread anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol, Self, TypeAlias

import orjson

from edge.errors import ClientError, InternalError

Json: TypeAlias = Any  # what orjson.loads gives; spelled out where it is looked into

FIELD_BYTES_MAX: Final = 255
"""Longest topic, event, reference and status: the binary header has one byte for a length."""

CLOSE_GOING_AWAY: Final = 1001
CLOSE_UNDECODABLE: Final = 1011
CLOSE_RESTART: Final = 1012
CLOSE_TRY_LATER: Final = 1013


class ProtocolError(ClientError):
    """The client sent what no serializer can read; its socket is to be closed with `close_code`
    and without an error frame, as Phoenix does."""

    code = "protocol_error"
    close_code = CLOSE_UNDECODABLE


class EncodeError(InternalError):
    """A message cannot be written in the socket's version of the protocol: the payload is no
    JSON, it is binary on a V1 socket, or a header field is too long for a binary frame."""

    code = "encode_error"


class Encoded:
    """A JSON object that is encoded already, to be sent to many subscribers for the price of one.

    ``json`` has to be a JSON object without white space between its tokens, as orjson writes it;
    it goes into frames unread.
    """

    __slots__ = ("json",)

    def __init__(self, json: bytes) -> None:
        self.json = json

    @property
    def fragment(self) -> orjson.Fragment:
        """It as a part of what is to be encoded."""
        return orjson.Fragment(self.json)

    @classmethod
    def of(cls, value: Mapping[str, object]) -> Encoded:
        """Encodes the object. EncodeError when it is no JSON."""
        return cls(dump(value))


class Mergeable(Protocol):
    """A push that may be merged with a later one of the same channel and event while it waits."""

    @property
    def size_bytes(self) -> int:
        """About how much memory it holds while it waits."""
        ...

    def merge(self, later: Self) -> Self | None:
        """Both in one, which takes the place of both, or None when they have to stay apart; then
        both are sent, in order."""
        ...

    def encode(self) -> Encoded:
        """The payload. Called right before it is sent, once for each client, so what is shared by
        several keeps it."""
        ...


Payload: TypeAlias = Mapping[str, object] | Encoded | bytes


class Message(NamedTuple):
    """One message. From a client every field but a binary payload is any JSON value.

    Towards it: a push has no ``ref``; `phx_close` and `phx_error` carry the join_ref twice.
    """

    join_ref: Json
    ref: Json
    topic: Json
    event: Json
    payload: Any  # Json or bytes from a client; Payload towards it


class Reply(NamedTuple):
    """The answer to the message with this ``ref``."""

    join_ref: Json
    ref: Json
    topic: Json
    status: str
    response: Payload


class MergeablePush(NamedTuple):
    """A push that the outbox may merge; `message` turns it into what is sent."""

    join_ref: Json
    topic: str
    event: str
    payload: Mergeable

    def message(self) -> Message:
        return Message(self.join_ref, None, self.topic, self.event, self.payload.encode())


class Broadcast:
    """A message to all subscribers of a topic; it carries no join_ref, so that its frame is the
    same for all of them and is encoded once per version of the protocol (``frames``)."""

    __slots__ = ("event", "frames", "payload", "topic")

    def __init__(self, topic: str, event: str, payload: Payload) -> None:
        self.topic = topic
        self.event = event
        self.payload = payload
        self.frames: dict[int, Frame] = {}


Outgoing: TypeAlias = Message | Reply | Broadcast


class Frame(NamedTuple):
    """The content of one WebSocket frame: text (UTF-8) or binary."""

    binary: bool
    data: bytes


def dump(value: object) -> bytes:
    """Compact JSON; NaN and the infinities become null. EncodeError when it is no JSON."""
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise EncodeError(f"this is no JSON and cannot be sent: {error}") from error
