from __future__ import annotations

import logging
import string

import pytest

from edge.errors import StorageError
from edge.telemetry import EVENTS, Telemetry
from edge.telemetry.log import _SENTENCES, log_events


@pytest.mark.parametrize("name", _SENTENCES)
def test_sentences_use_the_fields_of_their_events(name: str) -> None:
    fields = EVENTS[name].fields.keys()
    _, sentence = _SENTENCES[name]
    assert {field for _, field, _, _ in string.Formatter().parse(sentence) if field} <= fields


def test_an_outage_is_one_line_and_its_end_another(caplog: pytest.LogCaptureFixture) -> None:
    telemetry = Telemetry()
    detach = log_events(telemetry)
    for rows in (1, 2, 3):
        telemetry.emit("store.failed", error=StorageError("no space"), rows_waiting=rows)
    telemetry.emit("store.recovered", rows=3)
    telemetry.emit("store.failed", error=StorageError("no space"), rows_waiting=1)
    telemetry.emit("engine.step", tokens=1)
    detach()
    telemetry.emit("engine.given_up", reason="unheard")
    assert [record.getMessage() for record in caplog.records] == [
        "no space; 1 rows are kept in memory",
        "the database works again; 3 rows had waited",
        "no space; 1 rows are kept in memory",
    ]


def test_a_crash_comes_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    telemetry = Telemetry()
    log_events(telemetry)
    try:
        raise ValueError("a defect")
    except ValueError as error:
        telemetry.emit("actor.crashed", name="task:1", error=error)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert "the actor task:1 crashed" in record.getMessage()
