"""A floor imports only lower floors, no module another in a circle, and the pure rooms neither time
nor IO. An import for the type checker alone counts like any other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "edge").rglob("*.py"))
FLOORS = {
    "edge.errors": 0, "edge.clock": 0, "edge.collector": 0, "edge.json_values": 0,
    "edge.conversation": 0,
    "edge.phoenix": 1, "edge.tasks": 1, "edge.structured": 1,
    "edge.answers": 2,
    "edge.engine.messages": 1, "edge.engine.batching": 1, "edge.engine.seams": 1,
    "edge.settings": 2, "edge.telemetry": 2, "edge.actors": 2, "edge.engine": 3,
    "edge.metrics": 3, "edge.inference": 3, "edge.storage": 3,
    "edge.services.task": 4, "edge.services.watchers": 5, "edge.services.keeping": 6,
    "edge.services.health": 6, "edge.services.fallback": 6,
    "edge.services.embedding": 6,
    "edge.gateway": 7, "edge.fallback_branch": 7, "edge.upkeep_branch": 7,
    "edge.embedding_branch": 7,
    "edge.models_branch": 7,
    "edge.parts": 8, "edge.node": 9, "edge.cli": 9,
}  # fmt: skip
PURE = (
    "edge.conversation",
    "edge.phoenix",
    "edge.tasks",
    "edge.structured",
    "edge.answers",
    "edge.engine.messages",
    "edge.engine.batching",
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


def modules_imported(files: dict[str, Path]) -> dict[str, set[str]]:
    """For each module the others of these that it imports; a name out of a package is the package,
    unless it is a module."""
    return {
        module: {
            name if name in files else name.rpartition(".")[0] for name in imports(file)
        }.intersection(files)
        for module, file in files.items()
    }


def circles(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """What is left of the graph when those go that import no other any more, or that no other
    imports, again and again."""
    left = graph
    while True:
        imported = set[str]().union(*left.values())
        inside = {module: names & left.keys() for module, names in left.items()}
        kept = {module: names for module, names in inside.items() if names and module in imported}
        if kept == left:
            return kept
        left = kept


def test_no_circles() -> None:
    files = {module_of(file): file for file in FILES}
    graph = modules_imported(files)
    assert "edge.actors.ref" in graph["edge.actors.actor"]
    assert circles(graph) == {}


def test_a_circle_is_found(tmp_path: Path) -> None:
    texts = {
        "a": "import b\nimport c\n",
        "above": "import a\n",
        "b": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from a import A\n",
        "c": "import d\n",
        "d": "",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    graph = modules_imported({name: tmp_path / f"{name}.py" for name in texts})
    assert circles(graph) == {"a": {"b"}, "b": {"a"}}


def test_every_module_has_a_floor() -> None:
    without = [module for module in map(module_of, FILES) if room(module) is None]
    assert without == ["edge", "edge.services"], "packages that hold others, and nothing else"


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
