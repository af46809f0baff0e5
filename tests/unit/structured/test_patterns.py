"""Texts that come of a pattern are found by it, and have the lengths that were asked for."""

from __future__ import annotations

import json
import re
from random import Random

import pytest

from edge.structured import patterns
from edge.structured.grammar import gbnf, sequence
from edge.structured.json_rules import QUOTE, rule
from tests.support.drawn import Drawer

PATTERNS = [
    "^abc$", "abc", "^a|b$", "^(a|bc)*d?$", "^[a-c]{2,4}$", r"^\d+$", r"^\w+@\w+\.com$", r"^\S+$",
    r"^\D\W$", r"^[^a-z]{3}$", r"^[^\d\s]$", r"^[\w.-]+$", r"^[-a]$", r"^[a\]]+$", r"^\x41\u00e9$",
    r"^\t\n$", r"^(?:x|y){2}$", r"^(?<year>\d{4})$", r"^a+?b*?$", "^.{3}$", r"^\/\.\+$", "", "^$",
    r'^"\\$', r"^[\b]$", r"^[^\S]$", r"^[\d-]$",
]  # fmt: skip


def texts(pattern: str, least: int = 0, most: int | None = None) -> list[str]:
    node = patterns.fitted(patterns.read(pattern), least, most)
    assert node is not None
    root = sequence(QUOTE, patterns.in_json(node), QUOTE)
    drawer = Drawer(gbnf({"root": root, "char": rule("char")}), Random(3))
    return [json.loads(drawer.text()) for _ in range(60)]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_texts_are_found(pattern: str) -> None:
    for text in texts(pattern):
        assert re.search(pattern.replace("(?<", "(?P<"), text), text


@pytest.mark.parametrize(
    "pattern",
    [
        "(?=a)", "(?!a)", "(?<=a)", r"(a)\1", r"\bword", r"a\Bb", "a^b", "a$b", r"\p{L}", "a**",
        "*a", "a{3,2}", "a{3000}", "(a", "a)", "[a", "[]", "[z-a]", r"\q", "{", "a{x}", r"\01",
        r"[[:alpha:]]", r"\ud800", "(?i)a", "(" * 21 + ")" * 21, "a" * 2_001, r"[\w-z]", "\\",
        r"[^\S\s]",
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_refused(pattern: str) -> None:
    with pytest.raises(patterns.PatternError):
        patterns.read(pattern)


@pytest.mark.parametrize(
    ("pattern", "least", "most"),
    [
        ("^[a-z]+$", 3, 8), ("^[a-z]*[0-9]*$", 5, 9), ("^a|bcd$", 3, 3), (r"\d{3}", 0, 5),
        ("^[a-z]+(-[a-z]+)*$", 4, 12), ("^(ab)+$", 3, 9), ("^[a-z]+@[a-z]+$", 3, 10),
        ("^abc$", 2, 3), ("^a?b?c?$", 2, 3), ("^x{2,}$", 0, 5), ("^[a-z]{2,5}$", 3, None),
    ],
)  # fmt: skip
def test_lengths_are_kept(pattern: str, least: int, most: int | None) -> None:
    for text in texts(pattern, least, most):
        assert re.search(pattern, text)
        assert least <= len(text) <= (most or 99)


@pytest.mark.parametrize(
    ("pattern", "least", "most"), [("^abc$", 4, None), ("^abc$", 0, 2), ("^(a*)*$", 3, 4)]
)
def test_lengths_that_cannot_be(pattern: str, least: int, most: int | None) -> None:
    assert patterns.fitted(patterns.read(pattern), least, most) is None
