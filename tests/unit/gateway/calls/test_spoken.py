from __future__ import annotations

from edge.answers.deltas import CallEnded, Content, Reasoning
from edge.gateway.calls.spoken import Spoken, content_of


def test_the_content_among_what_is_said() -> None:
    assert content_of([Reasoning("a"), Content("b"), CallEnded(0), Content("c")]) == "bc"


def test_a_text_of_no_dialect_is_content() -> None:
    spoken = Spoken(None)
    assert spoken.feed("<think>") == [Content("<think>")]
    assert spoken.feed("") == spoken.end() == []


def test_a_text_is_read_in_its_dialect() -> None:
    spoken = Spoken("hermes </think> within")
    assert spoken.feed("a</think>b") == [Reasoning("a"), Content("b")]
    spoken = Spoken("hermes calls")
    assert spoken.feed("a ") == [Content("a")]
    assert spoken.end() == [Content(" ")]
