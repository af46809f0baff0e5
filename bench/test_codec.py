"""What the Phoenix codec costs for a progress message of about 200 bytes, and that of the engine's
pipe for a step of a hundred sequences."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from edge.engine.messages import Output, Step, decode, encode
from edge.gateway.outbox import OPCODE_TEXT, ws_frame
from edge.phoenix import V1, V2, Encoded, Message, Reply, Serializer

PAYLOAD = {
    "state": "executing",
    "progress": 0.4375,
    "phase": "decode",
    "delta": " the little fox went",
    "offset": 1041,
    "tokens": 56,
    "eta_ms": 1840,
    "seq": 57,
    "from_seq": 55,
}
TOPIC = "task:0192f0a4-7e1c-7cc3-98f4-2f6a1d2b3c4d"
STEP = Step(
    1, (), tuple(Output(key, 12, (key,), " word") for key in range(100)), (), 100, 0, 100, 1_000
)
PUSH = Message("12", None, TOPIC, "progress", PAYLOAD)


@pytest.mark.parametrize("serializer", [V1, V2], ids=["v1", "v2"])
def test_encode(benchmark: BenchmarkFixture, serializer: Serializer) -> None:
    frame = benchmark(serializer.encode, PUSH)
    assert 180 < len(frame.data) < 280


def test_encode_with_a_shared_payload(benchmark: BenchmarkFixture) -> None:
    push = PUSH._replace(payload=Encoded.of(PAYLOAD))
    assert benchmark(V2.encode, push) == V2.encode(PUSH)


def test_encode_reply(benchmark: BenchmarkFixture) -> None:
    frame = benchmark(V2.encode, Reply("12", "13", TOPIC, "ok", {}))
    assert b"phx_reply" in frame.data


def test_encode_to_the_wire(benchmark: BenchmarkFixture) -> None:
    data = benchmark(lambda: ws_frame(OPCODE_TEXT, V2.encode(PUSH).data))
    assert data[0] == 0x81


@pytest.mark.parametrize("serializer", [V1, V2], ids=["v1", "v2"])
def test_decode(benchmark: BenchmarkFixture, serializer: Serializer) -> None:
    text = serializer.encode(PUSH._replace(ref="13")).data.decode()
    assert benchmark(serializer.decode_text, text).payload == PAYLOAD


def test_decode_binary(benchmark: BenchmarkFixture) -> None:
    fields = [b"12", b"13", TOPIC.encode(), b"progress"]
    data = bytes([0, *map(len, fields)]) + b"".join(fields) + b"x" * 150
    assert benchmark(V2.decode_binary, data).payload == b"x" * 150


def test_encode_a_step(benchmark: BenchmarkFixture) -> None:
    frame = benchmark(encode, STEP)
    assert decode(frame[4:]) == STEP


def test_decode_a_step(benchmark: BenchmarkFixture) -> None:
    assert benchmark(decode, encode(STEP)[4:]) == STEP
