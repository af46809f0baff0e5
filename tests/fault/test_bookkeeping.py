"""The harness can fail: what clients must never see is found, and so is what got lost."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.ledger import COUNT, Entry, Ledger
from tests.support.reader import Reader


def reply(
    delta: str = "", offset: int = 0, seq: int = 1, state: str = "executing"
) -> dict[str, Any]:
    task = {"seq": seq, "state": state}
    return {"status": "ok", "response": {"task": task, "delta": delta, "offset": offset}}


def progress(delta: str, offset: int, seq: int, from_seq: int | None = None) -> dict[str, Any]:
    merged = {} if from_seq is None else {"from_seq": from_seq}
    return {"delta": delta, "offset": offset, "seq": seq, **merged}


def test_a_good_story() -> None:
    reader = Reader()
    reader.hear("phx_reply", reply("0:1 "))
    reader.hear("progress", progress("1:1 2:1 ", 4, 3, from_seq=2))
    # The node is killed; half of that survived.
    reader.hear("phx_reply", reply("", 8, seq=2))
    reader.hear("rewind", {"offset": 8, "seq": 2})
    reader.hear("progress", progress("2:2 ", 8, 3))
    reader.hear("completed", {"seq": 4})
    reader.hear("phx_close", {})
    assert (reader.text, reader.ends, reader.done) == ("0:1 1:1 2:2 ", ["completed"], True)
    assert reader.oddities == []


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("progress", progress("x", 5, 2)),
        ("progress", progress("x", 3, 2)),
        ("progress", progress("x", 4, 3)),
        ("progress", progress("x", 4, 1)),
        ("rewind", {"offset": 5, "seq": 2}),
        ("phx_reply", reply("x", 3)),
        ("phx_error", {}),
    ],
)
def test_what_no_client_should_see(event: str, payload: dict[str, Any]) -> None:
    reader = Reader()
    reader.hear("phx_reply", reply("0:1 "))
    reader.hear(event, payload)
    assert len(reader.oddities) == 1


def test_an_end_that_does_not_last() -> None:
    reader = Reader()
    reader.hear("phx_reply", reply())
    reader.hear("completed", {"seq": 2})
    reader.hear("phx_reply", reply())
    assert reader.oddities == ["the task was completed and is executing"]


def served() -> tuple[Ledger, Entry]:
    """A ledger with one submission that went well."""
    ledger = Ledger()
    entry = ledger.add({"prompt": "x"}, key="k")
    entry.task_ids, entry.durable = {"a"}, True
    entry.kept, entry.recorded_ends = {"a": "completed"}, 1
    entry.reader.text, entry.reader.ends = "0:1 1:2 ", ["completed"]
    entry.document = {
        "state": "completed",
        "prompt": COUNT,
        "options": {"max_tokens": 2},
        "result": {"text": "0:1 1:2 ", "usage": {"completion_tokens": 2}},
    }
    return ledger, entry


def test_a_good_verdict() -> None:
    ledger, _ = served()
    verdict = ledger.judge()
    assert verdict.good
    assert (verdict.accepted, verdict.completed) == (1, 1)


def test_what_is_lost() -> None:
    ledger, entry = served()
    entry.kept = {"a": "executing"}
    assert ledger.judge().lost == 1
    ledger, entry = served()
    entry.kept = {}
    assert ledger.judge().lost == 1
    ledger, entry = served()
    entry.reader.ends = []
    assert ledger.judge().lost == 1
    ledger, entry = served()
    entry.document = None
    assert ledger.judge().lost == 1
    entry.durable = False
    assert ledger.judge().lost == 0, "nothing had been promised"


def test_what_is_there_twice() -> None:
    ledger, entry = served()
    entry.kept["b"] = "completed"
    assert ledger.judge().duplicated == 1
    ledger, entry = served()
    entry.recorded_ends = 2
    assert ledger.judge().duplicated == 1
    ledger, entry = served()
    entry.reader.ends.append("completed")
    assert ledger.judge().duplicated == 1


@pytest.mark.parametrize("text", ["0:1 ", "0:1 1:1 ", "0:1 2:2 ", "0:1 0:1 1:2 "])
def test_texts_that_differ(text: str) -> None:
    ledger, entry = served()
    entry.reader.text = text
    assert ledger.judge().text_mismatches == 1


@pytest.mark.parametrize("text", ["0:1 ", "0:1 2:2 ", "0:1 0:1 1:2 "])
def test_texts_with_a_gap_or_a_repetition(text: str) -> None:
    ledger, entry = served()
    assert entry.document is not None
    entry.reader.text = entry.document["result"]["text"] = text
    assert ledger.judge().text_mismatches == 1
