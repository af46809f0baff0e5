"""One word means one thing: no effect of the task's machine has the name of a message."""

from __future__ import annotations

import ast
from pathlib import Path

EDGE = Path(__file__).parents[2] / "edge"
MESSAGES = [
    EDGE / "engine" / "messages.py",
    EDGE / "inference" / "protocol.py",
    *sorted((EDGE / "services").rglob("*.py")),
]


def classes(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.ClassDef)}


def test_no_message_has_the_name_of_an_effect() -> None:
    effects = classes(EDGE / "tasks" / "effects.py")
    assert "Enqueue" in effects
    messages = set[str]().union(*map(classes, MESSAGES))
    assert {"Run", "Turn", "Generate"} <= messages
    assert not effects & messages


def test_no_event_has_the_name_of_an_effect() -> None:
    assert not classes(EDGE / "tasks" / "effects.py") & classes(EDGE / "tasks" / "events.py")
