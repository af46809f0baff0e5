"""Answers in harmony."""

from __future__ import annotations

import pytest

from edge.answers.dialects import HARMONY, Form
from edge.answers.harmony import HEADER_CHARS_MAX, HarmonyReader
from tests.unit.answers.cases import Case, Said, check

SAID = "<|start|>assistant<|channel|>final<|message|>"
LONG = f"<|channel|>{'x' * HEADER_CHARS_MAX}<|message|>"
LONG_START = f"<|start|>{'x' * HEADER_CHARS_MAX}"
CASES: list[Case] = [
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
    (Form(HARMONY, True), LONG, ("", LONG, [])),
    (Form(HARMONY, True), LONG_START, ("", LONG_START, [])),
    (Form(HARMONY, True), f"{SAID}a{LONG_START}", ("", f"a{LONG_START}", [])),
]  # fmt: skip


@pytest.mark.parametrize(("form", "text", "expected"), CASES)
def test_what_an_answer_says(form: Form, text: str, expected: Said) -> None:
    check(form, text, expected)


def test_whether_it_thinks_is_known() -> None:
    reads = HarmonyReader(Form(HARMONY, False))
    assert not reads.thinks
    reads.feed("<|channel|>analysis<|message|>")
    assert reads.thinks
