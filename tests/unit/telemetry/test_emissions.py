"""Every emission in the product has exactly the fields that the table has for it."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import pytest

from edge.engine.messages import CacheUse
from edge.telemetry import EVENTS

EDGE = Path(__file__).parents[3] / "edge"


class Emission(NamedTuple):
    where: str
    how: str
    name: str
    fields: frozenset[str]


def called(node: ast.AST) -> str:
    """How telemetry is called here; empty where it is not."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        first = node.args[0]
        if node.func.attr in {"emit", "span"} and isinstance(first, ast.Constant):
            return node.func.attr if isinstance(first.value, str) else ""
    return ""


def emissions() -> list[Emission]:
    found = []
    for file in sorted(EDGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            how = called(node)
            if not how:
                continue
            assert isinstance(node, ast.Call)
            assert isinstance(node.args[0], ast.Constant)
            names: set[str] = set()
            for keyword in node.keywords:
                if keyword.arg is None:
                    # Of what is given as a whole there is this alone.
                    assert ast.unparse(keyword.value) == "asdict(message)", file
                    names |= {each.name for each in fields(CacheUse)}
                else:
                    names.add(keyword.arg)
            where = f"{file.relative_to(EDGE)}:{node.lineno}"
            found.append(Emission(where, how, str(node.args[0].value), frozenset(names)))
    return found


EMISSIONS = emissions()


@pytest.mark.parametrize("emission", EMISSIONS, ids=lambda each: each.where)
def test_what_is_emitted_is_in_the_table(emission: Emission) -> None:
    name = f"{emission.name}.start" if emission.how == "span" else emission.name
    assert emission.fields == EVENTS[name].fields.keys()


def test_what_is_in_the_table_is_emitted() -> None:
    emitted = {each.name for each in EMISSIONS if each.how == "emit"} | {"telemetry.detached"}
    for each in EMISSIONS:
        if each.how == "span":
            emitted |= {f"{each.name}.{end}" for end in ("start", "stop", "exception")}
    assert emitted == EVENTS.keys()
