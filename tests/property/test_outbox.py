"""The outbox with any pushes, times and slow readers: nothing is lost, doubled or reordered."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clock import NS_PER_MS, ManualClock
from edge.gateway.outbox import BUSY_BYTES, Counters, Outbox
from edge.phoenix import V2, Encoded, Frame, MergeablePush
from tests.simulation.sockets import frames

STALL_NS = 1 << 60


class Numbers(NamedTuple):
    """A run of numbers; runs merge when they are of the same phase."""

    phase: int
    numbers: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        return 8 * len(self.numbers)

    def merge(self, later: Numbers) -> Numbers | None:
        if later.phase != self.phase:
            return None
        return Numbers(self.phase, self.numbers + later.numbers)

    def encode(self) -> Encoded:
        return Encoded.of({"numbers": self.numbers})


steps = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.sampled_from("ab"), st.integers(0, 1)),
        st.tuples(st.just("state"), st.sampled_from("ab"), st.just(0)),
        st.tuples(st.just("advance"), st.just(""), st.integers(0, 12)),
        st.tuples(st.just("buffer"), st.just(""), st.sampled_from([0, BUSY_BYTES + 1])),
    ),
    max_size=60,
)


class Wire:
    def __init__(self) -> None:
        self.buffered = 0
        self.writes = 0
        self.received: dict[str, list[int]] = {"a": [], "b": []}

    def write(self, data: bytes) -> None:
        self.writes += 1
        for frame in frames(data):
            if frame != b"state":
                message = V2.decode_text(frame)
                self.received[message.topic].extend(message.payload["numbers"])

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def is_closing(self) -> bool:
        return False


@settings(deadline=None, max_examples=150)
@given(steps)
def test_each_topic_gets_everything_once_in_order(script: list[tuple[str, str, int]]) -> None:
    clock, wire, counters = ManualClock(), Wire(), Counters()
    received = wire.received

    def fail(code: int, reason: str) -> None:
        raise AssertionError(reason)

    outbox = Outbox(
        wire,
        clock,
        around=V2.around,
        fail=fail,
        window_ns=8 * NS_PER_MS,
        bytes_max=1 << 30,
        stall_ns=STALL_NS,
        counters=counters,
    )
    sent: dict[str, list[int]] = {"a": [], "b": []}
    frames = pushes = 0
    for number, (kind, topic, value) in enumerate(script):
        if kind == "push":
            sent[topic].append(number)
            pushes += 1
            push = MergeablePush("1", topic, "progress", Numbers(value, (number,)))
            outbox.send_mergeable(push)
        elif kind == "state":
            frames += 1
            outbox.send(topic, Frame(False, b"state"))
            if not wire.buffered:
                assert received[topic] == sent[topic], "all of the topic goes before its state"
        elif kind == "advance":
            clock.advance(value * NS_PER_MS)
        else:
            wire.buffered = value
    wire.buffered = 0
    clock.advance(100 * NS_PER_MS)
    assert received == sent
    assert counters.frames == frames + pushes - counters.merges
    assert wire.writes == counters.writes <= counters.frames
    assert outbox.waiting_bytes == 0
    assert clock.timers_pending() == 0
