"""Text out of bytes: whole characters, stop strings, nothing said twice."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.engine.text import TextStream

PIECES = st.lists(
    st.one_of(st.binary(max_size=3), st.text("abcé😀", max_size=4).map(str.encode)), max_size=20
)
STOPS = st.lists(st.text("abcé😀", min_size=1, max_size=3), max_size=3)


def run(stream: TextStream, pieces: list[bytes]) -> str:
    return "".join(map(stream.feed, pieces)) + stream.flush()


def test_half_a_character_is_held_back() -> None:
    stream = TextStream()
    assert [stream.feed(bytes([byte])) for byte in "a😀".encode()] == ["a", "", "", "", "😀"]
    assert stream.feed(b"\xf0\x9f") == ""
    assert stream.flush() == "\ufffd"


@pytest.mark.parametrize("pieces", [[b"one END two"], [b"one E", b"N", b"D two"], [b"one END"]])
def test_a_stop_string_across_tokens_is_never_said(pieces: list[bytes]) -> None:
    stream = TextStream(["END"])
    assert run(stream, pieces) == "one "
    assert stream.stopped
    assert stream.feed(b"more") == ""


def test_what_only_looked_like_a_stop_string_is_said() -> None:
    stream = TextStream(["END"])
    assert [stream.feed(b"EN"), stream.feed(b"O"), stream.feed(b"E"), stream.flush()] == [
        "", "ENO", "", "E",
    ]  # fmt: skip
    assert not stream.stopped


def test_an_empty_stop_string_stops_nothing() -> None:
    assert run(TextStream([""]), [b"ab"]) == "ab"


@settings(deadline=None, max_examples=200)
@given(pieces=PIECES, stops=STOPS, cut=st.integers(0, 20))
def test_a_replay_says_exactly_the_rest(pieces: list[bytes], stops: list[str], cut: int) -> None:
    first = TextStream(stops)
    told = "".join(map(first.feed, pieces[:cut]))
    rest = "".join(map(first.feed, pieces[cut:])) + first.flush()
    assert run(TextStream(stops, skip_chars=len(told)), pieces) == rest


@settings(deadline=None, max_examples=200)
@given(pieces=PIECES, stops=STOPS)
def test_the_text_is_a_beginning_of_the_whole_without_a_stop_string(
    pieces: list[bytes], stops: list[str]
) -> None:
    stream = TextStream(stops)
    text = run(stream, pieces)
    whole = b"".join(pieces).decode("utf-8", "replace")
    assert whole.startswith(text)
    assert stream.stopped or text == whole
    # The decoder's mark for what is no UTF-8 is in no stop string here.
    assert not any(stop in text for stop in stops)
