"""The table of bounds in ``DEVELOPING.md`` is that of the code.

Every bound is in it, with the value that it has, in the relation to others that it is said to have.
"""

from __future__ import annotations

import ast
import importlib
import operator
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from edge.settings import keys

ROOT: Final = Path(__file__).parents[2]
HEADING: Final = "## The bounds"
SETTINGS: Final = {key.path: key.default for key in keys()}

_LIMIT: Final = re.compile(r"`([\w.]+)` = ([\d,]+)")
_RELATION: Final = re.compile(r"`(=|≤|≥) ([^`]+)`")
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "≤": operator.le,
    "≥": operator.ge,
}


class Row(NamedTuple):
    """One bound: its name, its value as told, and what the table says that it follows from."""

    name: str
    told: int
    reason: str


def rows() -> Iterator[Row]:
    text = (ROOT / "DEVELOPING.md").read_text(encoding="utf-8")
    section = text.partition(f"\n{HEADING}\n")[2].partition("\n## ")[0]
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|") or cells[0] in ("what", "---") or set(cells[0]) <= {"-"}:
            continue
        assert len(cells) == 4, line
        found = _LIMIT.fullmatch(cells[1])
        assert found is not None, f"the limit has to look like `name` = 1,000, not {cells[1]}"
        assert all(cells), f"a cell is empty in {line}"
        yield Row(found[1], int(found[2].replace(",", "")), cells[2])


ROWS: Final = list(rows())


def value_of(name: str) -> int:
    """The value of a setting, ``section.key``, or of a constant, ``room.module.NAME``."""
    if name in SETTINGS:
        return int(SETTINGS[name])
    module, _, constant = name.rpartition(".")
    return int(getattr(importlib.import_module(f"edge.{module}"), constant))


def evaluate(node: ast.expr) -> float:
    """An expression over names, numbers and the four operations."""
    operations: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
        ast.Add: operator.add,
        ast.Sub: operator.sub,
        ast.Mult: operator.mul,
        ast.Div: operator.truediv,
    }
    if isinstance(node, ast.Constant):
        return float(node.value)  # type: ignore[arg-type]  # anything else is no bound
    if isinstance(node, ast.BinOp):
        return operations[type(node.op)](evaluate(node.left), evaluate(node.right))  # type: ignore[no-any-return]  # numbers
    return value_of(ast.unparse(node))


def constants() -> Iterator[str]:
    """All public constants of the code that are bounds by their name."""
    for file in sorted((ROOT / "edge").rglob("*.py")):
        module = ".".join(file.relative_to(ROOT / "edge").with_suffix("").parts)
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            targets: list[ast.expr] = []
            if isinstance(node, ast.AnnAssign):
                targets = [node.target]
            elif isinstance(node, ast.Assign):
                targets = node.targets
            for target in targets:
                name = target.id if isinstance(target, ast.Name) else ""
                if re.fullmatch(r"[A-Z]\w*_MAX", name):
                    yield f"{module}.{name}"


def test_every_bound_is_in_the_table_once() -> None:
    named = [row.name for row in ROWS]
    assert len(named) == len(set(named))
    settings = {path for path in SETTINGS if path.endswith("_max") or "_max_" in path}
    assert {name for name in named if name in SETTINGS} >= settings
    assert {name for name in named if name not in SETTINGS} >= set(constants())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_bound_is_as_told(row: Row) -> None:
    value = value_of(row.name)
    assert value == row.told
    for relation, expression in _RELATION.findall(row.reason):
        other = evaluate(ast.parse(expression, mode="eval").body)
        assert _COMPARE[relation](value, other), f"{row.name} {relation} {expression}"
