"""Any JSON that the rules allow is read by every reader as the same."""

from __future__ import annotations

import json
import re
from random import Random

import orjson

from edge.structured.grammar import ANY_CHAR, Rule, gbnf
from edge.structured.json_rules import INDENT_MAX, escaped, json_object, listed, rule
from tests.support.drawn import Drawer


def test_any_object() -> None:
    drawer = Drawer(gbnf(json_object()), Random(9))
    for _ in range(400):
        text = drawer.text()
        # What orjson refuses, such as half of a surrogate pair, is no JSON for many.
        assert orjson.loads(text) == json.loads(text)
        assert isinstance(json.loads(text), dict)
        assert not re.search(f"[ \n]{{{INDENT_MAX + 2}}}", re.sub(r'"(\\.|[^"])*"', "s", text))


def test_lists_have_as_many_items_as_they_may() -> None:
    for least, most in ((0, 0), (0, 1), (0, 3), (1, 3), (2, 2)):
        grammar = {"root": listed(Rule("item"), least, most), "item": rule("char")}
        drawer = Drawer(
            gbnf(grammar | {"space": rule("space")}).replace("item ::= ", 'item ::= "i" #'),
            Random(1),
        )
        counts = {drawer.text().count("i") for _ in range(200)}
        assert counts == set(range(least, most + 1))


def test_every_character_has_its_escape() -> None:
    drawer = Drawer(gbnf({"root": escaped(ANY_CHAR)}), Random(2))
    found = [json.loads(f'"{drawer.text()}"') for _ in range(3_000)]
    assert all(len(text) == 1 for text in found)
    assert {'"', "\\", "\n", "\x00", "\x1f"} <= set(found)
