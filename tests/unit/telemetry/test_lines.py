from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.telemetry import context
from edge.telemetry.context import Asked
from edge.telemetry.lines import JsonLines, Lines, is_journal, priority, without_directories


def record_of(
    message: str = "it works", level: int = logging.WARNING, error: bool = False, **extra: Any
) -> logging.LogRecord:
    found = None
    if error:
        try:
            raise ValueError("two\nlines")
        except ValueError:
            found = sys.exc_info()
    record = logging.LogRecord("elwift", level, "here.py", 1, "%s", (message,), found)
    record.__dict__.update(extra)
    return record


def test_a_line_for_people() -> None:
    assert Lines().format(record_of()) == "WARNING elwift: it works"
    line = Lines().format(record_of(event="task.accepted", fields={"task_id": "t1", "client": "a"}))
    assert line == "WARNING elwift: it works [t1]"


def test_the_request_is_named_while_it_lasts() -> None:
    asked = Asked("mine")
    asked.task_id = "t1"
    begun = context.begin(asked)
    try:
        assert Lines().format(record_of()) == "WARNING elwift: it works [mine t1]"
        said = json.loads(JsonLines().format(record_of()))
    finally:
        context.end(begun)
    assert (said["request_id"], said["task_id"]) == ("mine", "t1")
    assert "mine" not in Lines().format(record_of())


def test_an_object_for_machines() -> None:
    record = record_of(
        "gone", logging.ERROR, error=True, event="store.failed",
        fields={"error": ValueError("no"), "rows_waiting": 3, "durable": False, "why": None},
    )  # fmt: skip
    record.created = 1_700_000_000.25
    line = JsonLines().format(record)
    assert "\n" not in line
    said = json.loads(line)
    assert said.pop("traceback").startswith("Traceback")
    assert said == {
        "at": "2023-11-14T22:13:20.250000Z", "level": "error", "logger": "elwift",
        "message": "gone", "event": "store.failed",
        "fields": {"error": "no", "rows_waiting": 3, "durable": False, "why": None},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("level", "number"),
    [
        (logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6),
        (logging.DEBUG, 7),
    ],
)  # fmt: skip
def test_the_journal_has_the_priority_of_each_line(level: int, number: int) -> None:
    assert priority(level) == number
    text = Lines(journal=True).format(record_of(level=level, error=True))
    lines = text.split("\n")
    assert len(lines) > 2
    assert all(line.startswith(f"<{number}>") for line in lines)
    assert json.loads(JsonLines(journal=True).format(record_of(level=level))[3:])


@given(st.text())
def test_a_record_is_one_line_whatever_is_in_it(message: str) -> None:
    for kind in (Lines, JsonLines):
        text = kind(paths=True).format(record_of(message.replace("\ud800", "")))
        assert "\n" not in text
        assert "\r" not in text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/var/lib/elwift/edge.duckdb could not be read", "edge.duckdb could not be read"),
        ("IO Error: '/home/ada/a b/x.wal'", "IO Error: 'a b/x.wal'"),
        ("kept as /var/lib/x.1 (was /var/lib/x)", "kept as x.1 (was x)"),
        ("~/models/tiny.gguf", "tiny.gguf"),
        ("http://127.0.0.1:4000/tasks/1/events", "http://127.0.0.1:4000/tasks/1/events"),
        ("3/4 of them, and/or more", "3/4 of them, and/or more"),
        ("/", "/"),
    ],
)
def test_of_a_path_the_last_part_is_told(text: str, told: str) -> None:
    assert without_directories(text) == told


def test_a_setting_has_paths_told() -> None:
    record = record_of("/var/lib/edge.duckdb", event="store.opened", fields={"path": "/var/lib/x"})
    assert "edge.duckdb" in Lines().format(record)
    assert "/var" not in Lines().format(record) + JsonLines().format(record)
    assert "/var/lib/edge.duckdb" in Lines(paths=True).format(record)
    assert json.loads(JsonLines(paths=True).format(record))["fields"] == {"path": "/var/lib/x"}


def test_a_route_is_no_path_of_the_machine() -> None:
    record = record_of("GET /tasks/{task_id}/audit", event="request.stop", fields={})
    assert "/tasks/{task_id}/audit" in Lines().format(record)


def test_the_journal_is_known_by_its_stream(tmp_path: Path) -> None:
    with (tmp_path / "stream").open("w") as stream:
        found = (tmp_path / "stream").stat()
        assert is_journal(stream, {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
        assert not is_journal(stream, {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + 1}"})
        assert not is_journal(stream, {})
    assert not is_journal(None, {"JOURNAL_STREAM": "1:2"})
    assert not is_journal(io.StringIO(), {"JOURNAL_STREAM": "1:2"})
