"""What a channel's events make of a task on the screen."""

from __future__ import annotations

from typing import Any

import pytest

from edge.cli.view import TaskView


def progress(delta: str, offset: int, phase: str = "decode") -> dict[str, Any]:
    return {
        "state": "executing", "phase": phase, "progress": 0.5, "tokens": 1, "offset": offset,
        "delta": delta,
    }  # fmt: skip


@pytest.fixture
def view() -> TaskView:
    view = TaskView()
    view.fold("progress", progress("Once ", 0))
    return view


def test_what_is_not_the_models_is_said_for_as_long_as_it_is_there(view: TaskView) -> None:
    assert view.note == ""
    view.fold("fallback", {"source": "fallback_model", "offset": 5})
    assert view.note == "degraded: answered by fallback_model"
    view.fold("progress", progress("upon", 5))
    assert (view.text, view.note) == ("Once upon", "degraded: answered by fallback_model")
    view.fold("rewind", {"offset": 5})
    view.fold("progress", progress("there", 5))
    assert (view.text, view.note) == ("Once there", "")


def test_who_comes_later_is_told_too(view: TaskView) -> None:
    document: dict[str, Any] = {
        "state": "executing", "result": None, "errors": [],
        "fallback": {"source": "history", "offset": 0},
    }  # fmt: skip
    view.fold("joined", {"task": document, "delta": "Once upon", "offset": 0})
    view.fold("progress", progress(" a time", 9))
    assert view.note == "degraded: answered by history"
