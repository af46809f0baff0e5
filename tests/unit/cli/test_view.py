"""What a channel's events make of a task on the screen."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from edge.cli.view import TaskView, last_lines


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


@pytest.mark.parametrize(
    ("text", "width", "lines_max", "shown"),
    [
        ("", 10, 3, [""]),
        ("one\ntwo\nthree", 10, 2, ["two", "three"]),
        ("0123456789abc", 10, 5, ["0123456789", "abc"]),
        ("狐狐狐", 5, 5, ["狐狐", "狐"]),
        ("a\tb", 20, 1, ["a       b"]),
        ("x" * 1_000, 10, 2, ["x" * 10, "x" * 10]),
    ],
)
def test_only_the_end_of_a_long_text_is_drawn(
    text: str, width: int, lines_max: int, shown: list[str]
) -> None:
    assert last_lines(text, width, lines_max) == shown


@given(st.text(), st.integers(1, 40), st.integers(1, 10))
def test_what_is_drawn_fits(text: str, width: int, lines_max: int) -> None:
    lines = last_lines(text, width, lines_max)
    assert len(lines) <= lines_max
    assert all(cell_len(line) <= max(2, width) for line in lines)
