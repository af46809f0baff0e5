"""What an answer says, in any pieces."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge.answers.ids import call_id
from edge.answers.reader import read
from edge.gateway.calls.forms import Ended
from edge.gateway.ollama.said import Call, Pieces, Said

DIALECT = "hermes calls </think>"
TEXT = (
    "<think>hm, so</think>I look."
    '<tool_call>{"name": "look", "arguments": {"n": 1}}</tool_call>'
    '<tool_call>{"name": "go", "arguments": {}}</tool_call>'
)
CALLS = (Call(0, call_id("t", 0), "look", {"n": 1}), Call(1, call_id("t", 1), "go", {}))
USAGE: dict[str, int] = {}


def in_pieces(pieces: Sequence[str]) -> Said:
    reads = Pieces("t")
    reads.speaks(DIALECT)
    said = [*map(reads.feed, pieces), reads.end()]
    return Said(
        "".join(each.content for each in said),
        "".join(each.thinking for each in said),
        tuple(call for each in said for call in each.calls),
    )


def ended(text: str) -> Ended:
    message: Any = read(DIALECT, text).message("t")
    return Ended(text, "stop", USAGE, None, message=message)


def test_a_text_without_a_dialect_is_content() -> None:
    reads = Pieces("t")
    assert reads.feed("<think>") == Said("<think>")
    assert reads.end() == Said()
    assert Said.of(Ended("<think>", "stop", USAGE, None)) == Said("<think>")


@given(st.lists(st.integers(0, len(TEXT)), max_size=12))
def test_calls_come_when_they_are_whole_however_the_text_is_cut(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(TEXT)]
    pieces = [TEXT[start:end] for start, end in pairwise(ends)]
    assert in_pieces(pieces) == Said("I look.", "hm, so", CALLS) == Said.of(ended(TEXT))


def test_a_call_that_is_cut_short_is_none() -> None:
    cut = TEXT[:-20]
    assert in_pieces([cut]).calls == Said.of(ended(cut)).calls == CALLS[:1]


def test_a_call_has_an_object() -> None:
    assert CALLS[0].document() == {
        "id": call_id("t", 0), "function": {"index": 0, "name": "look", "arguments": {"n": 1}},
    }  # fmt: skip
