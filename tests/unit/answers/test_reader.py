"""An answer says the same however its text is cut into pieces, and nothing of it is lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.answers.deltas import Answer
from edge.answers.dialects import (
    DEEPSEEK,
    DEEPSEEK_FENCED,
    DEEPSEEK_NAME,
    DIALECTS,
    HARMONY,
    HARMONY_MARKS,
    HERMES,
    LLAMA,
    MISTRAL,
    MISTRAL_NAMED,
    THINK,
    Form,
)
from edge.answers.reader import read, reader

HERMES_CALL = '<tool_call>\n{"name": "look", "arguments": {"at": "}<"}}\n</tool_call>'
FENCED = (
    "<\uff5ctool▁calls▁begin\uff5c><\uff5ctool▁call▁begin\uff5c>function<\uff5ctool▁sep\uff5c>look\n```json\n{}\n```"
    "<\uff5ctool▁call▁end\uff5c>\n<\uff5ctool▁call▁begin\uff5c>function<\uff5ctool▁sep\uff5c>go\n```json\n{}\n```"
    "<\uff5ctool▁call▁end\uff5c><\uff5ctool▁calls▁end\uff5c>"
)
DEEP = (
    "<\uff5ctool▁calls▁begin\uff5c><\uff5ctool▁call▁begin\uff5c>look<\uff5ctool▁sep\uff5c>{}<\uff5ctool▁call▁end\uff5c>"
    "<\uff5ctool▁calls▁end\uff5c>"
)
SAID = "<|start|>assistant<|channel|>final<|message|>"

CASES: list[tuple[Form, str, tuple[str, str, list[tuple[str, str]]]]] = [
    (Form(HERMES, True), "Hi <b> there ", ("", "Hi <b> there ", [])),
    (Form(HERMES, True), f" Let me see.\n\n{HERMES_CALL}\n",
     ("", " Let me see.", [("look", '{"at": "}<"}')])),
    (Form(HERMES, True), HERMES_CALL + HERMES_CALL.replace("look", "go"),
     ("", "", [("look", '{"at": "}<"}'), ("go", '{"at": "}<"}')])),
    (Form(HERMES, True), '<tool_call>{"name":"look","arguments":{"a":[1',
     ("", "", [("look", '{"a":[1')])),
    (Form(HERMES, True), "a\n<tool_call> is a mark", ("", "a\n<tool_call> is a mark", [])),
    (Form(HERMES, True), "<tool_call>{}</tool_call>!", ("", "<tool_call>{}</tool_call>!", [])),
    (Form(HERMES, True), HERMES_CALL + " and more", ("", "and more", [("look", '{"at": "}<"}')])),
    (Form(HERMES, False), HERMES_CALL, ("", HERMES_CALL, [])),
    (Form(HERMES, False, THINK), "<think>\nHm <x>.\n</think>\n\nYes. ", ("Hm <x>.", "Yes. ", [])),
    (Form(HERMES, False, THINK), "Yes.", ("", "Yes.", [])),
    (Form(HERMES, False, THINK), " \n<think>Hm</thi", ("Hm</thi", "", [])),
    (Form(HERMES, True, THINK, within=True), f"Hm.</think>\n{HERMES_CALL}",
     ("Hm.", "", [("look", '{"at": "}<"}')])),
    (Form(HERMES, True, THINK, within=True), f"<think>\n{HERMES_CALL}", (HERMES_CALL, "", [])),
    (Form(LLAMA, True), ' {"name": "look", "parameters": {}}', ("", "", [("look", "{}")])),
    (Form(LLAMA, True), '<|python_tag|>{"type": "function", "name": "look", "parameters": {}}',
     ("", "", [("look", "{}")])),
    (Form(LLAMA, True), '{"nam": 1} {"name":', ("", '{"nam": 1} {"name":', [])),
    (Form(LLAMA, True), '{"name": 1}', ("", '{"name": 1}', [])),
    (Form(MISTRAL, True),
     '[TOOL_CALLS] [{"name": "look", "arguments": {}}, {"name": "go", "arguments": {"a": 1}}]',
     ("", "", [("look", "{}"), ("go", '{"a": 1}')])),
    (Form(MISTRAL_NAMED, True), "Ok[TOOL_CALLS]look[ARGS]{}[TOOL_CALLS]go[CALL_ID]x1[ARGS] {}",
     ("", "Ok", [("look", "{}"), ("go", "{}")])),
    (Form(DEEPSEEK_FENCED, True), FENCED, ("", "", [("look", "{}"), ("go", "{}")])),
    (Form(DEEPSEEK, True, THINK), f"<think>Hm</think>Ok{DEEP}", ("Hm", "Ok", [("look", "{}")])),
    (Form(HARMONY, True), f"<|channel|>analysis<|message|>Hm<|end|>{SAID}Yes <b>",
     ("Hm", "Yes <b>", [])),
    (Form(HARMONY, True),
     "<|channel|>commentary<|message|>Wait.<|end|><|start|>assistant<|channel|>commentary"
     ' to=functions.look <|constrain|>json<|message|>{"a": 1}<|call|>',
     ("", "Wait.", [("look", '{"a": 1}')])),
    (Form(HARMONY, True),
     '<|start|>assistant to=functions.look<|channel|>commentary json<|message|>{"a": 1}',
     ("", "", [("look", '{"a": 1}')])),
    (Form(HARMONY, False), "<|channel|>commentary to=functions.look<|message|>{}", ("", "{}", [])),
    (Form(HARMONY, True), " {} <|x", ("", " {} <|x", [])),
    (Form(HARMONY, True), "<|channel|>anal", ("", "", [])),
]  # fmt: skip


def said(answer: Answer) -> tuple[str, str, list[tuple[str, str]]]:
    calls = [(call.name, call.arguments) for call in answer.calls("t")]
    return answer.reasoning, answer.content, calls


@pytest.mark.parametrize(("form", "text", "expected"), CASES)
def test_what_an_answer_says(form: Form, text: str, expected: Any) -> None:
    assert said(read(form.written(), text)) == expected
    by_chars = reader(form)
    answer = Answer()
    for char in text:
        answer.add(by_chars.feed(char))
    answer.add(by_chars.end())
    assert said(answer) == expected


def test_a_call_is_told_as_soon_as_it_is_known() -> None:
    reads = reader(Form(HERMES, True))
    answer = Answer(reads.feed('So: <tool_call>{"name": "look", "arguments": {"a'))
    assert said(answer) == ("", "So:", [("look", '{"a')])
    answer.add(reads.feed('": 1}'))
    assert answer.calls_whole


def test_whether_it_thinks_is_known() -> None:
    assert not reader(Form(HERMES, False, THINK)).thinks
    reads = reader(Form(HERMES, False, THINK, within=True))
    assert reads.thinks
    reads.feed("Hm")
    assert reads.thinks
    reads.feed("</think>")
    assert not reads.thinks
    reads = reader(Form(HARMONY, False))
    assert not reads.thinks
    reads.feed("<|channel|>analysis<|message|>")
    assert reads.thinks


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
