"""Answers with marks around calls and around what was thought."""

from __future__ import annotations

import pytest

from edge.answers.deltas import Answer
from edge.answers.dialects import (
    DEEPSEEK,
    DEEPSEEK_FENCED,
    DEEPSEEK_NAME,
    HERMES,
    LLAMA,
    MISTRAL,
    MISTRAL_NAMED,
    THINK,
    Form,
)
from edge.answers.marked import HEAD_CHARS_MAX, MarkedReader
from tests.unit.answers.cases import Case, Said, check, said

HERMES_CALL = '<tool_call>\n{"name": "look", "arguments": {"at": "}<"}}\n</tool_call>'
FIRST, EACH = DEEPSEEK.opens
(CLOSE,), (LAST,) = DEEPSEEK.closes, DEEPSEEK.ignored
FENCED = (
    f"{FIRST}function{DEEPSEEK_NAME}look\n```json\n{{}}\n```{CLOSE}\n"
    f"{EACH}function{DEEPSEEK_NAME}go\n```json\n{{}}\n```{CLOSE}{LAST}"
)
DEEP = f"{FIRST}look{DEEPSEEK_NAME}{{}}{CLOSE}{LAST}"

CASES: list[Case] = [
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
    (Form(HERMES, True), f"<tool_call>{'x' * HEAD_CHARS_MAX} y",
     ("", f"<tool_call>{'x' * HEAD_CHARS_MAX} y", [])),
]  # fmt: skip


@pytest.mark.parametrize(("form", "text", "expected"), CASES)
def test_what_an_answer_says(form: Form, text: str, expected: Said) -> None:
    check(form, text, expected)


def test_a_call_is_told_as_soon_as_it_is_known() -> None:
    reads = MarkedReader(Form(HERMES, True))
    answer = Answer(reads.feed('So: <tool_call>{"name": "look", "arguments": {"a'))
    assert said(answer) == ("", "So:", [("look", '{"a')])
    answer.add(reads.feed('": 1}'))
    assert answer.calls_whole
