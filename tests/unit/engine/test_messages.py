"""Frames: what crosses the pipe, and what does not."""

from __future__ import annotations

import dataclasses
import struct
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.conversation import Message as Said
from edge.engine import messages
from edge.engine.messages import (
    BODY_BYTES_LIMIT,
    FROM_ENGINE_BYTES_MAX,
    TO_ENGINE_BYTES_MAX,
    Admitted,
    CacheUse,
    Cancel,
    Count,
    Counted,
    Embed,
    Embedded,
    EmbeddingReady,
    Finished,
    FrameReader,
    FrameTooLarge,
    Generate,
    LoadFailed,
    Loading,
    Message,
    Output,
    Ping,
    PipeError,
    Pong,
    Ready,
    Rejected,
    Sampling,
    Shutdown,
    Step,
    Tokenising,
    Unfit,
    decode,
    encode,
)
from edge.settings import Settings

EXAMPLES: tuple[Message, ...] = (
    Generate(1, None, (Said("user", "h\0i\x1b🦊"),), Sampling(stop=("a", "b")), (1, 2), 3, "so"),
    Generate(2, "", None, Sampling(grammar="root ::= x", logit_bias=((1, 2.5), (3, -1.0)))),
    Cancel(1),
    Count(-1, "a", None),
    Ping(1),
    Shutdown(),
    Ready("m", 1, 2, 3, 4, 5, True, "d", False, 13),
    Loading(40),
    LoadFailed("why"),
    Tokenising(-1),
    Step(1, (Admitted(1, 2, 3),),
         (Output(1, 2, (3,), "x"), Output(2, 2, (3,), "x", ('["x",-1.5,0,[["x",-1.5]]]',))),
         (Finished(1, "stop", "y", 1, 2, 3, 1.5, 2.5),), 1, 0, 1, 100),
    Rejected(1, "code", "why", True, None),
    Counted(-1, 2, 3),
    Pong(1, 2),
    CacheUse(1, 2, 3),
    Embed(1, ("h\0i", "🦊"), "why", True, 8, True),
    EmbeddingReady("m", 1, 2, 3, 4, "mean", True, "d"),
    Embedded(1, ("AAA=", "[0.5]"), (2, 3)),
    Unfit(1, 2, 3, 4),
)  # fmt: skip


@given(st.lists(st.sampled_from(EXAMPLES), max_size=5), st.integers(1, 50))
def test_messages_arrive_as_they_were_however_they_are_cut(
    sent: list[Message], size_bytes: int
) -> None:
    data = b"".join(map(encode, sent))
    reader = FrameReader()
    got: list[Message] = []
    for start in range(0, len(data), size_bytes):
        got += reader.feed(data[start : start + size_bytes])
    assert got == sent


def built(cls: type[Any], *fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(*fields).map(lambda values: cls(*values))


KEYS = st.integers(-(2**31), 2**53)
COUNTS = st.integers(0, 2**53)
MS = st.floats(0, 1e9)
TEXTS = st.text(st.characters(codec="utf-8"))
STEPS = built(
    Step,
    COUNTS,
    st.lists(built(Admitted, KEYS, COUNTS, COUNTS)).map(tuple),
    st.lists(built(Output, KEYS, COUNTS, st.lists(COUNTS).map(tuple), TEXTS)).map(tuple),
    st.lists(built(Finished, KEYS, TEXTS, TEXTS, COUNTS, COUNTS, COUNTS, MS, MS)).map(tuple),
    *[COUNTS] * 4,
)


@given(STEPS)
def test_a_step_is_written_as_any_message_is(step: Step) -> None:
    body = encode(step)[4:]
    assert body == orjson.dumps(["Step", messages._plain(step)])
    assert decode(body) == step


def test_there_is_an_example_of_every_message() -> None:
    kinds = {*messages.ToEngine.__args__, *messages.FromEngine.__args__}
    assert {type(each) for each in EXAMPLES} == kinds


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_frame_may_have_its_limit_and_no_byte_more(message: Message) -> None:
    size_bytes = len(encode(message)) - 4
    assert decode(encode(message, size_bytes)[4:]) == message
    with pytest.raises(FrameTooLarge, match=f"{size_bytes} bytes"):
        encode(message, size_bytes - 1)


def test_a_frame_over_the_limit_is_garbage_before_it_has_come() -> None:
    reader = FrameReader(bytes_max=100)
    assert reader.feed(struct.pack(">I", 100)) == []
    with pytest.raises(PipeError, match="101 bytes"):
        FrameReader(bytes_max=100).feed(struct.pack(">I", 101))


def at_most(section: Any, name: str) -> int:
    """What a setting may be."""
    (field,) = [each for each in dataclasses.fields(section) if each.name == name]
    limit: int = field.metadata["at_most"]
    return limit


def test_whatever_a_body_may_hold_fits_a_frame() -> None:
    """One control character a byte, the worst that there is, with all that can come of it."""
    assert at_most(Settings().server, "body_bytes_max") == BODY_BYTES_LIMIT
    per_byte = (
        len(encode(Count(1, "\x1b" * 1_000, None))) - len(encode(Count(1, "", None)))
    ) / 1_000
    tokens_bytes = at_most(Settings().model, "context_tokens") * len("1048576,")
    assert per_byte * BODY_BYTES_LIMIT + tokens_bytes < TO_ENGINE_BYTES_MAX
    assert TO_ENGINE_BYTES_MAX < 2**32, "the length has four bytes"
    assert FROM_ENGINE_BYTES_MAX < 2**32


def test_each_direction_has_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "TO_ENGINE_BYTES_MAX", 5)
    monkeypatch.setattr(messages, "FROM_ENGINE_BYTES_MAX", 10_000)
    with pytest.raises(FrameTooLarge):
        encode(Ping(1))
    encode(Pong(1, 1))
    monkeypatch.setattr(messages, "FROM_ENGINE_BYTES_MAX", 5)
    with pytest.raises(FrameTooLarge):
        encode(Pong(1, 1))


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        ["Ping"],
        ["Ping", [], 1],
        ["Ping", []],
        ["Ping", ["1"]],
        ["Ping", [True]],
        ["Ping", [[1]]],
        ["Nothing", [1]],
        [["Ping"], [1]],
        ["Rejected", [{}, "code", "why", False]],
        ["Ready", [1] * 10],
        ["Counted", [1, 2.5, 3]],
        ["Step", [1, [[1]], [], [], 1, 1, 1, 1]],
        ["Step", [1, [], [["1", 1, [], "", []]], [], 1, 1, 1, 1]],
        ["Step", [1, [], [[[1], 1, [], "", []]], [], 1, 1, 1, 1]],
        ["Step", [1, [], [[]], [], 1, 1, 1, 1]],
        ["Step", [1, [], [5], [], 1, 1, 1, 1]],
        ["Generate", [1, None, [["user"]], [], [], 0, ""]],
    ],
)
def test_what_is_no_message_is_a_pipe_error(value: Any) -> None:
    with pytest.raises(PipeError):
        decode(orjson.dumps(value))


@given(st.binary(max_size=40))
def test_any_bytes_are_messages_or_a_pipe_error(data: bytes) -> None:
    try:
        FrameReader(bytes_max=1_000).feed(struct.pack(">I", len(data)) + data)
    except PipeError:
        return


def test_text_that_is_none_is_a_pipe_error() -> None:
    with pytest.raises(PipeError):
        encode(Count(1, "\ud800", None))
