"""The codec: any bytes give a message or a ProtocolError, and what is written reads back."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.phoenix import (
    V1,
    V2,
    Broadcast,
    Encoded,
    Message,
    ProtocolError,
    Reply,
    Serializer,
    negotiate,
)

quick = settings(deadline=None, max_examples=150)

serializers = st.sampled_from([V1, V2])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(texts, json_values, max_size=5)
refs = st.none() | texts | st.integers(-(2**53), 2**53)
short = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


def is_same(one: object, other: object) -> bool:
    """Equal as JSON text, so that 1, 1.0 and true are three things."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@quick
@given(serializers, st.binary(max_size=300))
@example(V2, b"\x00\xff\xff\xff\xff")
@example(V2, b"")
def test_any_binary_frame(serializer: Serializer, data: bytes) -> None:
    try:
        message = serializer.decode_binary(data)
    except ProtocolError:
        return
    assert isinstance(message.payload, bytes) or serializer is V1


@quick
@given(
    serializers,
    st.text(max_size=300)
    | st.binary(max_size=300)
    | st.lists(json_values, max_size=7).map(json.dumps)
    | st.dictionaries(
        st.sampled_from(["topic", "event", "payload", "ref", "join_ref"]), json_values
    ).map(json.dumps),
)
@example(V2, '["1","1","\\ud800","phx_join",{}]')
@example(V2, '[1,1,"a","b",NaN]')
def test_any_text_frame(serializer: Serializer, data: str | bytes) -> None:
    try:
        message = serializer.decode_text(data)
    except ProtocolError:
        return
    # Whatever was read can be echoed.
    serializer.encode(Reply(message.join_ref, message.ref, message.topic, "ok", {}))


@quick
@given(refs, refs, short, short, objects)
def test_v2_text_round_trip(join_ref: Any, ref: Any, topic: str, event: str, payload: Any) -> None:
    message = Message(join_ref, ref, topic, event, payload)
    frame = V2.encode(message)
    assert not frame.binary
    assert is_same(V2.decode_text(frame.data), message)
    assert is_same(V2.decode_text(frame.data.decode()), message)


@quick
@given(refs, short, short, objects)
def test_v1_text_round_trip(ref: Any, topic: str, event: str, payload: Any) -> None:
    message = Message(None, ref, topic, event, payload)
    assert is_same(V1.decode_text(V1.encode(message).data), message)


@quick
@given(st.none() | short.filter(bool), st.none() | short.filter(bool), short, short, st.binary())
def test_v2_binary_push_reads_as_it_was_written(
    join_ref: str | None, ref: str | None, topic: str, event: str, payload: bytes
) -> None:
    fields = [(each or "").encode() for each in (join_ref, ref, topic, event)]
    data = bytes([0, *map(len, fields)]) + b"".join(fields) + payload
    assert V2.decode_binary(data) == Message(join_ref, ref, topic, event, payload)


@quick
@given(serializers, refs, short, objects)
def test_encoded_payload_gives_the_same_frame(
    serializer: Serializer, ref: Any, topic: str, payload: dict[str, object]
) -> None:
    encoded = Encoded.of(payload)
    for plain, shared in (
        (Message(ref, None, topic, "e", payload), Message(ref, None, topic, "e", encoded)),
        (Reply(ref, ref, topic, "ok", payload), Reply(ref, ref, topic, "ok", encoded)),
        (Broadcast(topic, "e", payload), Broadcast(topic, "e", encoded)),
    ):
        assert serializer.encode(plain) == serializer.encode(shared)


@quick
@given(serializers, objects)
def test_text_is_compact(serializer: Serializer, payload: dict[str, object]) -> None:
    text = serializer.encode(Message("1", None, "t", "e", payload)).data.decode()
    without_strings = re.sub(r'"(\\.|[^"\\])*"', '""', text)
    assert not re.search(r"\s", without_strings)


@quick
@given(st.text(max_size=12) | st.from_regex(r"[12]\.0\.[0-9]{1,3}(-rc)?", fullmatch=True))
def test_negotiation(vsn: str) -> None:
    chosen = negotiate(vsn)
    if chosen is not None:
        assert vsn.startswith(f"{chosen.version}.0.")
        assert "-" not in vsn.partition("+")[0]
