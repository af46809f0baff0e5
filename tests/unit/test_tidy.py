"""Files and functions stay small, and tests do not sleep."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(file for top in ("edge", "tests") for file in (ROOT / top).rglob("*.py"))
LINES_MAX = 700
FUNCTION_LINES_MAX = 70


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_tidy(file: Path) -> None:
    name = name_of(file)
    source = file.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= LINES_MAX
    assert "FIX" + "ME" not in source
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, node.name
        if isinstance(node, ast.Call) and name.startswith("tests/") and "/fault/" not in name:
            called = ast.unparse(node.func)
            pause = called in {"asyncio.sleep", "time.sleep"}
            # A sleep of zero only lets the others run.
            assert not pause or ast.unparse(node.args[0]) == "0", f"{name}:{node.lineno} sleeps"
