"""The two versions of the Phoenix wire format: V1 (objects) and V2 (arrays, and binary frames).

Reference: Phoenix 1.8, ``Phoenix.Socket.V1.JSONSerializer`` and ``V2.JSONSerializer``. JSON is
compact, because the Java client takes frames apart by hand. References are opaque: they come back
with the JSON type they had. Any input gives a `Message` or raises `ProtocolError`.
"""

from __future__ import annotations

import re
from typing import ClassVar, Final, Protocol

import orjson

from edge.phoenix.messages import (
    FIELD_BYTES_MAX,
    Broadcast,
    Encoded,
    EncodeError,
    Frame,
    Json,
    Message,
    Outgoing,
    Payload,
    ProtocolError,
    Reply,
    dump,
)

_KIND_PUSH: Final = 0
_KIND_REPLY: Final = 1
_KIND_BROADCAST: Final = 2

# Where the payload goes: no JSON, so nothing that is written can be taken for it.
_HERE: Final = Encoded(b"\0")

# A version that matches Elixir's "~> 1.0.0" or "~> 2.0.0": no pre-release, build data allowed.
_VERSION: Final = re.compile(
    r"([12])\.0\.(?:0|[1-9][0-9]{0,8})(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)


class Serializer(Protocol):
    """One version of the wire format. Stateless, shared by all sockets."""

    version: ClassVar[int]

    def decode_text(self, data: str | bytes) -> Message:
        """Reads one text frame; raises ProtocolError and nothing else."""
        ...

    def decode_binary(self, data: bytes) -> Message:
        """Reads one binary frame; raises ProtocolError and nothing else."""
        ...

    def encode(self, message: Outgoing) -> Frame:
        """Writes one frame. Raises EncodeError when the version has no way to say it."""
        ...

    def around(self, join_ref: Json, topic: str, event: str) -> tuple[bytes, bytes]:
        """What stands before and behind the JSON of a push's payload in its text frame: the same
        for every push of that event to one who has joined, so it can be kept."""
        ...


class SerializerV1:
    """``{"topic", "event", "payload", "ref"}``: clients that send no ``vsn``. ``join_ref`` is read
    when it is there and never written; there are no binary payloads."""

    version: ClassVar[int] = 1

    def decode_text(self, data: str | bytes) -> Message:
        value = _load(data)
        if type(value) is not dict:
            raise ProtocolError("a V1 frame has to be a JSON object")
        try:
            message = Message(
                value.get("join_ref"),
                value["ref"],
                value["topic"],
                value["event"],
                value["payload"],
            )
        except KeyError as error:
            raise ProtocolError(f"a V1 frame needs the member {error}") from None
        return _checked(message)

    def decode_binary(self, data: bytes) -> Message:
        # Phoenix reads any frame of a V1 socket as JSON.
        return self.decode_text(data)

    def encode(self, message: Outgoing) -> Frame:
        if type(message) is Broadcast:
            frame = message.frames.get(1)
            if frame is None:
                frame = self._frame(message.topic, message.event, message.payload, None)
                message.frames[1] = frame
            return frame
        if type(message) is Reply:
            reply = {"status": message.status, "response": self._json(message.response)}
            return self._frame(message.topic, "phx_reply", reply, message.ref)
        assert type(message) is Message
        return self._frame(message.topic, message.event, message.payload, message.ref)

    def around(self, join_ref: Json, topic: str, event: str) -> tuple[bytes, bytes]:
        return _cut(self._frame(topic, event, _HERE, None))

    def _frame(self, topic: Json, event: str, payload: Payload, ref: Json) -> Frame:
        value = {"topic": topic, "event": event, "payload": self._json(payload), "ref": ref}
        return Frame(False, dump(value))

    @staticmethod
    def _json(payload: Payload) -> object:
        if type(payload) is bytes:
            raise EncodeError("a V1 socket has no binary payloads; send a JSON object instead")
        return payload.fragment if type(payload) is Encoded else payload


class SerializerV2:
    """``[join_ref, ref, topic, event, payload]``, and binary frames for binary payloads."""

    version: ClassVar[int] = 2

    def decode_text(self, data: str | bytes) -> Message:
        value = _load(data)
        if type(value) is not list or len(value) < 5:
            raise ProtocolError("a V2 frame has to be a JSON array of five elements")
        return _checked(Message._make(value[:5]))

    def decode_binary(self, data: bytes) -> Message:
        """Reads kind 0, the only one that a client may send: five header bytes (kind and four
        lengths), join_ref, ref, topic, event; the rest is the payload. An empty reference counts
        as null."""
        if len(data) < 5 or data[0] != _KIND_PUSH:
            raise ProtocolError("a binary frame from a client has to be a push (kind 0)")
        join_ref_end = 5 + data[1]
        ref_end = join_ref_end + data[2]
        topic_end = ref_end + data[3]
        event_end = topic_end + data[4]
        if event_end > len(data):
            raise ProtocolError("the header of a binary frame is longer than the frame")
        try:
            return Message(
                data[5:join_ref_end].decode() or None,
                data[join_ref_end:ref_end].decode() or None,
                data[ref_end:topic_end].decode(),
                data[topic_end:event_end].decode(),
                data[event_end:],
            )
        except UnicodeDecodeError:
            raise ProtocolError("the header of a binary frame has to be UTF-8") from None

    def encode(self, message: Outgoing) -> Frame:
        if type(message) is Message:
            join_ref, ref, topic, event, payload = message
            if type(payload) is bytes:
                header = _header(_KIND_PUSH, join_ref, topic, event)
                return Frame(True, header + payload)
            json = payload.fragment if type(payload) is Encoded else payload
            return Frame(False, dump((join_ref, ref, topic, event, json)))
        if type(message) is Reply:
            join_ref, ref, topic, status, response = message
            if type(response) is bytes:
                header = _header(_KIND_REPLY, join_ref, ref, topic, status)
                return Frame(True, header + response)
            json = response.fragment if type(response) is Encoded else response
            reply = {"status": status, "response": json}
            return Frame(False, dump((join_ref, ref, topic, "phx_reply", reply)))
        assert type(message) is Broadcast
        frame = message.frames.get(2)
        if frame is None:
            frame = message.frames[2] = self._encode_broadcast(message)
        return frame

    def around(self, join_ref: Json, topic: str, event: str) -> tuple[bytes, bytes]:
        return _cut(self.encode(Message(join_ref, None, topic, event, _HERE)))

    def _encode_broadcast(self, message: Broadcast) -> Frame:
        payload = message.payload
        if type(payload) is bytes:
            return Frame(True, _header(_KIND_BROADCAST, message.topic, message.event) + payload)
        json = payload.fragment if type(payload) is Encoded else payload
        return Frame(False, dump((None, None, message.topic, message.event, json)))


V1: Final = SerializerV1()
V2: Final = SerializerV2()


def negotiate(vsn: str | None) -> Serializer | None:
    """The serializer for the query parameter ``vsn``; without one it is V1, as in Phoenix.

    None when the version is not one of ours: the handshake is to be refused with 403.
    """
    if vsn is None:
        return V1
    match = _VERSION.fullmatch(vsn)
    if match is None:
        return None
    return V1 if match[1] == "1" else V2


def _cut(frame: Frame) -> tuple[bytes, bytes]:
    before, _, behind = frame.data.partition(_HERE.json)
    return before, behind


def _load(data: str | bytes) -> Json:
    # orjson refuses NaN, infinities, lone surrogates, invalid UTF-8 and nesting beyond 1,024.
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ProtocolError(f"a frame has to be JSON: {error}") from None


def _checked(message: Message) -> Message:
    """Holds the fields that are echoed to a size that can be echoed."""
    _check_ref(message.join_ref, "join_ref")
    _check_ref(message.ref, "ref")
    if type(message.topic) is not str:
        _check_ref(message.topic, "topic")
    return message


def _check_ref(value: Json, field: str) -> None:
    kind = type(value)
    if value is None or kind is int or (kind is str and len(value) * 4 <= FIELD_BYTES_MAX):
        return
    try:
        size_bytes = len(value.encode() if kind is str else orjson.dumps(value))
    except TypeError:  # nested deeper than orjson writes
        size_bytes = FIELD_BYTES_MAX + 1
    if size_bytes > FIELD_BYTES_MAX:
        raise ProtocolError(f"{field} is longer than {FIELD_BYTES_MAX} bytes")


def _header(kind: int, *fields: Json) -> bytes:
    """The header of a binary frame: kind, one length byte a field, the fields."""
    encoded = []
    for field in fields:
        if field is not None and type(field) is not str:
            raise EncodeError("a reference that is no string cannot go into a binary frame")
        data = b"" if field is None else field.encode()
        if len(data) > FIELD_BYTES_MAX:
            raise EncodeError(f"a field of a binary frame is longer than {FIELD_BYTES_MAX} bytes")
        encoded.append(data)
    return bytes((kind, *map(len, encoded))) + b"".join(encoded)
