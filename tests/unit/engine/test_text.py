from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.engine.text import Characters, TextStream

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
@given(TEXT, st.sets(st.integers(1, 80)), st.integers(0, 20))
def test_what_has_come_is_counted_in_whole_characters(text: str, cuts: set[int], had: int) -> None:
    """Whatever of it is held back, or known already."""
    stream = TextStream(("a long way off",), skip_chars=had)
    data = text.encode()
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    for start, end in pairwise(edges):
        stream.feed(data[start:end])
        assert stream.chars == len(data[:end].decode(errors="ignore"))


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


@settings(deadline=None)
@given(st.text(max_size=20), st.sets(st.integers(1, 80)), st.integers(0, 80), st.integers(0, 20))
def test_a_text_that_is_cut_anywhere_is_a_prefix_of_itself(
    text: str, cuts: set[int], end: int, had: int
) -> None:
    """As at max_tokens, at the context's end, or where an engine died and another goes on."""
    whole = text.encode()
    got = said(TextStream(skip_chars=had), whole[:end], cuts)
    shown = text[: len(whole[:end].decode(errors="ignore"))]
    assert got == shown[had:]


@settings(deadline=None)
@given(st.text(max_size=20), st.sets(st.integers(1, 80)), st.integers(0, 80), TEXT)
def test_a_cut_text_with_a_stop_string_is_a_prefix_too(
    text: str, cuts: set[int], end: int, stop: str
) -> None:
    cut = said(TextStream((stop,)), text.encode()[:end], cuts)
    assert text.startswith(cut)


@settings(deadline=None)
@given(st.text(max_size=10), st.text(max_size=10), st.sets(st.integers(1, 80)))
def test_bytes_that_are_no_text_are_told_from_half_a_character(
    before: str, after: str, cuts: set[int]
) -> None:
    """0xff begins no character, and half a character that goes on with another is none."""
    for wrong in (b"\xff", b"\xf0\x9f"):
        data = before.encode() + wrong + b"!" + after.encode()
        assert said(TextStream(), data, cuts) == f"{before}\ufffd!{after}"
    assert said(TextStream(), before.encode() + b"\xff", cuts) == before + "\ufffd"


def test_half_a_character_at_the_end_is_left_out() -> None:
    stream = TextStream()
    assert stream.feed(b"a\xf0\x9f") == "a"
    assert stream.flush() == ""


def test_pieces_that_are_well_formed_and_such_as_are_not() -> None:
    characters = Characters()
    for piece, fits in (
        (b"a", True), (b"\xff", False), (b"\xe4", True), (b"a", False), (b"\xb8", True),
        (b"\xad\xe0", True), (b"\x82", False), (b"\xa4\xb9", True), (b"", True),
    ):  # fmt: skip
        assert characters.fit(piece) == fits
        if fits:
            characters.take(piece)
    characters.take(b"\xff")
    assert characters.fit("é".encode())
