"""How a task looks to clients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from edge.clock import NS_PER_S
from edge.services import wire
from edge.services.wire import PAGE_CHARS, ProgressUpdate
from edge.tasks.task import Options, Request, State, Task, TaskError, request_from_json

REQUEST = Request("t", "c", "hi", None, None, Options())


def update(seq: int, offset: int, delta: str) -> ProgressUpdate:
    return ProgressUpdate("t", seq, seq, "executing", "decode", 0.5, 3, 7, offset, delta)


def pages(text: str, offset: int = 0) -> list[ProgressUpdate]:
    task = Task(REQUEST, State.EXECUTING, 1, seq=4, text=text)
    return list(wire.catch_up(wire.document(task), text, offset))


def test_updates_that_follow_each_other_merge() -> None:
    merged = update(1, 0, "one ").merge(update(2, 4, "two"))
    assert merged is not None
    assert (merged.from_seq, merged.seq, merged.offset, merged.delta) == (1, 2, 0, "one two")
    assert merged.payload()["from_seq"] == 1
    assert "from_seq" not in update(1, 0, "one").payload()


@pytest.mark.parametrize(
    "later", [update(3, 4, "two"), update(2, 5, "two"), update(2, 4, "x" * PAGE_CHARS)]
)
def test_others_do_not(later: ProgressUpdate) -> None:
    assert update(1, 0, "one ").merge(later) is None


def test_text_that_catches_up_comes_in_pages() -> None:
    first, second = pages("x" * PAGE_CHARS + "y", 3)
    assert (first.offset, len(first.delta)) == (3, PAGE_CHARS)
    assert (second.offset, second.delta, second.seq) == (3 + PAGE_CHARS, "y", 4)
    assert first.merge(second) is None


def test_text_that_catches_up_is_no_event_of_its_own() -> None:
    """It carries the number of the event before; merged, that would be told twice."""
    (page,) = pages("one ")
    merged = page.merge(update(5, 4, "two"))
    assert merged is not None
    assert (merged.from_seq, merged.seq, merged.offset, merged.delta) == (5, 5, 0, "one two")


def ended(state: State, **more: Any) -> tuple[str, dict[str, Any]]:
    return wire.end_event(wire.document(Task(REQUEST, state, 1, **more)))


def test_the_last_event() -> None:
    event, payload = ended(State.COMPLETED, text="The end.")
    assert (event, payload["result"]["text"]) == ("completed", "The end.")
    assert ended(State.COMPLETED, text="x" * (PAGE_CHARS + 1))[1]["result"]["text"] is None
    errors = (TaskError(1, 2, "first", "x"), TaskError(2, 3, "last", "y"))
    event, payload = ended(State.DISCARDED, errors=errors)
    assert (event, payload["error"]["code"]) == ("failed", "last")
    assert ended(State.CANCELLED) == ("cancelled", {})


def test_metadata_that_an_earlier_version_took_too_deep_is_shown() -> None:
    deep = b"[" * 254 + b"]" * 254
    request = replace(REQUEST, metadata=deep.decode())
    document = wire.document(Task(request, State.EXECUTING, 1))
    reply = orjson.dumps([1, 1, "t", "phx_reply", {"response": {"task": document}}])
    assert b'"metadata":' + deep in reply


def test_what_is_kept_as_json_and_is_none_is_not_read_back() -> None:
    """A document has it unread."""
    request_from_json(replace(REQUEST, metadata="{}").to_json())
    with pytest.raises(ValueError, match="unexpected"):
        request_from_json(replace(REQUEST, metadata="{").to_json())


@pytest.mark.parametrize(
    ("at_ns", "shown"),
    [
        (None, None),
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_750_000_000_123_999_999, "2025-06-15T15:06:40.123Z"),
        (4_102_444_800 * NS_PER_S, "2100-01-01T00:00:00.000Z"),
        (253_402_300_800 * NS_PER_S - 1, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800 * NS_PER_S, "9999-12-31T23:59:59.999Z"),
        (10**40, "9999-12-31T23:59:59.999Z"),
        (-62_135_596_800 * NS_PER_S, "0001-01-01T00:00:00.000Z"),
        (-(10**40), "0001-01-01T00:00:00.000Z"),
    ],
)
def test_every_time_can_be_shown(at_ns: int | None, shown: str | None) -> None:
    assert wire.rfc3339(at_ns) == shown
