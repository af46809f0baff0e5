"""Grammars as values, and how they are written."""

from __future__ import annotations

import re
from random import Random

import pytest

from edge.structured.grammar import (
    EMPTY,
    NOTHING,
    Chars,
    Node,
    Rule,
    Text,
    chars,
    choice,
    gbnf,
    inverted,
    merged,
    one_of,
    optional,
    repeat,
    sequence,
)
from tests.support.drawn import Drawer

A = Text("a")


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (sequence(A, Text("b")), '"ab"'),
        (sequence(A, choice(A, Rule("x"))), '"a" ("a" | x)'),
        (choice(sequence(A, Rule("x")), EMPTY), '"a" x | ""'),
        (repeat(sequence(A, Rule("x")), 0, None), '("a" x)*'),
        (repeat(repeat(A, 0, 1), 2, 3), '"a"?{2,3}'),
        (repeat(A, 1, None), '"a"+'),
        (repeat(A, 2, None), '"a"{2,}'),
        (optional(choice(A, A)), '("a" | "a")?'),
        (chars("a-z0-9_-"), "[\\x2D0-9_a-z]"),
        (Text('"\\\n(é中😀)'), '"\\x22\\x5C\\x0A\\x28\\xE9\\u4E2D\\U0001F600\\x29"'),
        (repeat(A, 0, 2_050), '("a"{100}){0,19} "a"{0,150}'),
        (optional(repeat(A, 2_001, 2_001)), '(("a"{100}){20} "a"{1})?'),
        (repeat(A, 2_150, None), '("a"{100}){21} "a"{50} "a"*'),
    ],
)
def test_nodes_are_written(node: Node, text: str) -> None:
    assert gbnf({"root": node}) == f"root ::= {text}\n"


@pytest.mark.parametrize(("least", "most"), [(0, 2_050), (3, 2_345), (2_100, 2_200), (0, 4_000)])
def test_a_long_repetition_has_every_length_that_it_may(least: int, most: int) -> None:
    text = gbnf({"root": repeat(A, least, most)}).removeprefix("root ::= ")
    pattern = re.compile(text.replace('"', "").replace(" ", "").strip())
    found = [size for size in range(most + 200) if pattern.fullmatch("a" * size)]
    assert found == list(range(least, most + 1))


def test_names_have_the_prefix() -> None:
    text = gbnf({"root": repeat(choice(A, Rule("other-one")), 0, 5_000), "other-one": A}, "p-")
    assert [line.partition(" ")[0] for line in text.splitlines()] == [
        "p-root", "p-other-one", "p-long-0",
    ]  # fmt: skip


def test_nothing_takes_what_needs_it_along() -> None:
    assert sequence(A, NOTHING) is NOTHING
    assert choice(NOTHING, A) is A
    assert repeat(NOTHING, 1, 2) is NOTHING
    assert repeat(NOTHING, 0, 2) is EMPTY
    assert choice() is NOTHING


def test_ranges() -> None:
    assert merged([(5, 9), (1, 2), (3, 4), (7, 12)]) == ((1, 12),)
    assert inverted([(0, 9), (20, 0x10FFFF)]) == ((10, 19),)
    assert isinstance(chars("x"), Chars)


@pytest.mark.parametrize("count", [3, 40])
def test_one_of_many_texts(count: int) -> None:
    texts = ["", "a", *(f"prefix {at}" for at in range(count))]
    drawer = Drawer(gbnf({"root": one_of(texts)}), Random(4))
    assert {drawer.text() for _ in range(2_000)} == set(texts)


def test_texts_that_only_get_longer() -> None:
    assert gbnf({"root": one_of(["a" * size for size in range(200)])}).count("(") < 100
