"""Answers, and what they say."""

from __future__ import annotations

from edge.answers.deltas import Answer
from edge.answers.dialects import Form
from edge.answers.reader import read, reader

Said = tuple[str, str, list[tuple[str, str]]]
"""What was thought, the content, and the calls with their arguments."""
Case = tuple[Form, str, Said]


def said(answer: Answer) -> Said:
    calls = [(call.name, call.arguments) for call in answer.calls("t")]
    return answer.reasoning, answer.content, calls


def check(form: Form, text: str, expected: Said) -> None:
    """As a whole, and character by character."""
    assert said(read(form.written(), text)) == expected
    by_chars, answer = reader(form), Answer()
    for char in text:
        answer.add(by_chars.feed(char))
    answer.add(by_chars.end())
    assert said(answer) == expected
