"""An answer says the same however its text is cut into pieces, and nothing of it is lost."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge.answers.deltas import Answer
from edge.answers.dialects import (
    DEEPSEEK,
    DEEPSEEK_NAME,
    DIALECTS,
    HARMONY_MARKS,
    HERMES,
    THINK,
    Form,
)
from edge.answers.reader import read, reader
from tests.unit.answers.cases import said


def test_whether_it_thinks_is_known() -> None:
    assert not reader(Form(HERMES, False, THINK)).thinks
    reads = reader(Form(HERMES, False, THINK, within=True))
    assert reads.thinks
    reads.feed("Hm")
    assert reads.thinks
    reads.feed("</think>")
    assert not reads.thinks


PIECES = [
    *HARMONY_MARKS, *THINK, "<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]", "[", "]", ",",
    "<|python_tag|>", '{"name":', ' "look"', ', "arguments":', ', "parameters": ', "{", "}", " ",
    "\n", "look", "analysis", " to=functions.", "assistant", "```json", "```", "function",
    *DEEPSEEK.opens, DEEPSEEK_NAME, *DEEPSEEK.closes, *DEEPSEEK.ignored,
    '"', "\\", "é", "x" * 200, "<",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=24).map("".join)
FORMS = st.builds(
    Form,
    st.sampled_from(list(DIALECTS.values())),
    st.booleans(),
    st.sampled_from([None, THINK]),
).flatmap(lambda form: st.sampled_from([form, form._replace(within=form.think is not None)]))


@given(FORMS, TEXTS, st.data())
def test_read_in_pieces_it_says_what_it_says_as_a_whole(form: Form, text: str, data: Any) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    reads, answer = reader(form), Answer()
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        answer.add(reads.feed(text[start:end]))
    answer.add(reads.end())
    whole = read(form.written(), text)
    assert said(answer) == said(whole)
    assert answer.calls_whole == whole.calls_whole
    assert reads.end() == []


@given(FORMS, TEXTS)
def test_all_that_it_says_is_of_its_text(form: Form, text: str) -> None:
    answer = read(form.written(), text)
    for part in (*answer.reasoning.split(), *(call.arguments for call in answer.calls("t"))):
        assert part in text
