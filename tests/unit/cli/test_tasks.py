"""How tasks look on a terminal."""

from __future__ import annotations

import re
from typing import Any

from edge.cli.tasks import _audit_line, _line, task_lines

HOSTILE = "\x1b[2J\x9b1A new\nline\tand \u202e more"
TASK: dict[str, Any] = {
    "task_id": "6f0c", "state": "completed", "prompt": HOSTILE, "created_at": "2026-01-31",
    "started_at": "2026-01-31", "finished_at": None, "attempt": 1, "max_attempts": 5,
    "position": None, "errors": [{"at": "2026-01-31", "message": HOSTILE}],
    "result": {"text": "a\n" + HOSTILE},
}  # fmt: skip


def test_a_prompt_is_one_harmless_line() -> None:
    line = _line(TASK)
    assert line.isprintable()
    assert line.endswith(r"\x1b[2J\x9b1A new line and \u202e more")


def test_a_long_prompt_is_cut() -> None:
    assert _line(TASK | {"prompt": "word " * 100}).endswith("word wo…")


def test_messages_are_shown_by_the_last() -> None:
    messages = [{"role": "system", "content": "x"}, {"role": "user", "content": "hello"}]
    assert _line(TASK | {"prompt": None, "messages": messages}).endswith("  hello")


def test_causes_are_harmless() -> None:
    row = {"at": "t", "event": "failed", "from_state": "", "to_state": "x", "cause": HOSTILE}
    assert _audit_line(row).isprintable()


def test_a_task_is_shown_with_what_there_is_of_it() -> None:
    lines = task_lines(TASK)
    assert lines[0] == "task      6f0c"
    assert not any(line.startswith("finished") for line in lines)
    assert all(part.isprintable() for line in lines for part in re.split("[\n\t]", line))
    assert lines[-1].startswith("a\n")
