"""A floor imports only lower floors, and the pure rooms neither time nor IO."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "edge").rglob("*.py"))
FLOORS = {
    "edge.errors": 0, "edge.clock": 0, "edge.json_values": 0, "edge.phoenix": 1, "edge.tasks": 1,
    "edge.engine.messages": 1, "edge.engine.batcher": 1, "edge.engine.seams": 1,
    "edge.settings": 2, "edge.telemetry": 2, "edge.actors": 2, "edge.engine": 2,
    "edge.inference": 3, "edge.storage": 3,
    "edge.services": 4, "edge.gateway": 5, "edge.fallback_branch": 5, "edge.upkeep_branch": 5,
    "edge.parts": 6, "edge.node": 7, "edge.cli": 7,
}  # fmt: skip
PURE = (
    "edge.phoenix",
    "edge.tasks",
    "edge.engine.messages",
    "edge.engine.batcher",
    "edge.engine.seams",
)
IMPURE = {"asyncio", "time", "threading", "socket"}


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(name: str) -> str | None:
    fitting = [each for each in FLOORS if f"{name}.".startswith(f"{each}.")]
    return max(fitting, key=len, default=None)


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_imports(file: Path) -> None:
    module = module_of(file)
    here = room(module)
    names = imports(file)
    if here is not None:
        for name in names:
            there = room(name)
            if there is None or there == here or here == "edge.cli":
                continue
            assert FLOORS[there] < FLOORS[here], f"{module} imports {name}"
            assert there != "edge.engine" or here == "edge.engine", f"{module} imports {name}"
    tops = {name.partition(".")[0] for name in names}
    assert "llama_cpp" not in tops or here == "edge.engine"
    if here in PURE:
        assert not tops & IMPURE
        assert {name for name in names if name.startswith("random")} <= {"random.Random"}
