from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.engine.text import TextStream

TEXT = st.text(alphabet="abé🙂", max_size=20)


def said(stream: TextStream, data: bytes, cuts: set[int]) -> str:
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [data[a:b] for a, b in pairwise(edges)]
    return "".join(stream.feed(piece) for piece in pieces) + stream.flush()


@settings(deadline=None)
@given(TEXT, st.sets(st.integers(1, 80)))
def test_any_split_gives_the_same_text(text: str, cuts: set[int]) -> None:
    assert said(TextStream(), text.encode(), cuts) == text


@settings(deadline=None)
@given(TEXT, st.sets(st.integers(1, 80)), st.sampled_from(["ab", "aab", "é🙂", "b"]))
def test_a_stop_string_ends_the_text_wherever_it_is_cut(
    text: str, cuts: set[int], stop: str
) -> None:
    stream = TextStream((stop,))
    assert said(stream, text.encode(), cuts) == text.partition(stop)[0]
    assert stream.stopped == (stop in text)


@settings(deadline=None)
@given(TEXT, st.sets(st.integers(1, 80)), st.integers(0, 20))
def test_a_resumed_stream_says_nothing_twice(text: str, cuts: set[int], had: int) -> None:
    assert said(TextStream(skip_chars=had), text.encode(), cuts) == text[had:]


@pytest.mark.parametrize(("pieces", "ready"), [((b"\xf0\x9f",), ""), ((b"x<e",), "x")])
def test_what_may_become_something_else_is_held_back(pieces: tuple[bytes, ...], ready: str) -> None:
    stream = TextStream(("<end>",))
    assert "".join(map(stream.feed, pieces)) == ready


def test_half_a_character_at_the_end_is_a_replacement_character() -> None:
    stream = TextStream()
    assert stream.feed(b"a\xf0\x9f") == "a"
    assert stream.flush() == "\ufffd"
