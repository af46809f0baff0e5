from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.answers.begins import Begins, Found, Lookout
from edge.answers.calls import Mark
from edge.answers.dialects import THINK

CALL = Mark("<tool_call>", "call")
ANSWER = Mark('{"name":', "rest", answer=True)


def found(begins: Begins, *pieces: str) -> tuple[int, Found] | None:
    """In which piece, and what."""
    lookout = Lookout(begins)
    for number, piece in enumerate(pieces):
        mark = lookout.look(piece.encode())
        assert lookout.look(piece.encode()) == mark, "to look changes nothing"
        if mark is not None:
            return number, mark
        lookout.take(piece.encode())
    return None


@pytest.mark.parametrize(
    ("begins", "pieces", "expected"),
    [
        (Begins(marks=(CALL,)), ["Hi <", "tool", "_call", '>{"'], (3, Found("call", ">"))),
        (Begins(marks=(CALL,)), ["x<tool_call>"], (0, Found("call", "x<tool_call>"))),
        (Begins(marks=(CALL,)), ["<tool_ca", "ll", "x>"], None),
        (Begins(marks=(ANSWER,)), [" ", '{"name"', ": "], (2, Found("rest", ":"))),
        (Begins(marks=(ANSWER,)), ["a ", '{"name":'], None),
        (Begins(marks=(ANSWER, CALL)), ["", "{<tool_call>"], (1, Found("call", "{<tool_call>"))),
        (Begins(marks=(CALL,), think=THINK), ["<think>", "<tool_call>", "</think>", "<tool_call>"],
         (3, Found("call", "<tool_call>"))),
        (Begins(marks=(CALL,), think=THINK), ["<thi", "nk<tool_call>"],
         (1, Found("call", "nk<tool_call>"))),
        (Begins(marks=(CALL,), think=THINK, within=True), ["<tool_call>", "</thi", "nk>",
          "<tool_call>"],
         (3, Found("call", "<tool_call>"))),
        (Begins(marks=(ANSWER,), think=THINK, within=True), ["x</think>\n", '{"name":'],
         (1, Found("rest", '{"name":'))),
    ],
)  # fmt: skip
def test_where_the_grammar_begins(begins: Begins, pieces: list[str], expected: Any) -> None:
    assert found(begins, *pieces) == expected


@given(
    st.lists(st.sampled_from(["<", "tool_call>", "<think>", "</think>", '{"name":', " ", "é"])),
    st.booleans(), st.data(),
)  # fmt: skip
def test_it_begins_at_the_same_place_however_the_text_is_cut(
    parts: list[str], within: bool, data: Any
) -> None:
    text = "".join(parts)
    begins = Begins(marks=(CALL, ANSWER), think=THINK, within=within)
    places = []
    for size in (1, data.draw(st.integers(2, 20))):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        mark = found(begins, *pieces)
        places.append(mark and (mark[0] * size + len(mark[1].end), mark[1].rule))
    assert places[0] == places[1]


def test_a_mark_is_found_in_bytes() -> None:
    lookout = Lookout(Begins(marks=(CALL,)))
    lookout.take("é".encode()[:1])
    assert lookout.look("é".encode()[1:] + b"<tool_call>") is None, "a piece that is no text"
    assert lookout.look(b"<tool_call>") == Found("call", "<tool_call>")
