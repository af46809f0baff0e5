"""How a task looks to clients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from edge.clock import NS_PER_S
from edge.gateway.outbox import ROOM_BYTES_MAX
from edge.services.task import wire
from edge.services.task.wire import PAGE_CHARS, ProgressUpdate
from edge.tasks.task import Options, Request, State, Task, TaskError, request_from_json
from tests.support.rows import with_text

REQUEST = Request("t", "c", "hi", None, None, Options())


def update(seq: int, offset: int, delta: str) -> ProgressUpdate:
    task = Task(REQUEST, State.EXECUTING, 1, seq=seq, tokens=[1] * 128)
    return ProgressUpdate(task, "decode", delta, offset, lambda _: 7)


def test_updates_that_follow_each_other_merge() -> None:
    merged = update(1, 0, "one ").merge(update(2, 4, "two"))
    assert merged is not None
    assert (merged.from_seq, merged.seq, merged.offset, merged.delta) == (1, 2, 0, "one two")
    assert merged.payload()["from_seq"] == 1
    assert "from_seq" not in update(1, 0, "one").payload()


def test_of_many_that_merge_none_changes_what_others_have() -> None:
    """The first is what all who watch have; from then on it is one's own."""
    first, second, third = update(1, 0, "a"), update(2, 1, "b"), update(3, 2, "c")
    one, other = first.merge(second), first.merge(second)
    assert one is not None
    assert other is not None
    longer = one.merge(third)
    assert longer is not None
    assert (longer.delta, longer.from_seq, longer.seq) == ("abc", 1, 3)
    assert (first.delta, second.delta, third.delta, other.delta) == ("a", "b", "c", "ab")


def test_all_who_watch_get_one_json_and_what_it_takes_is_asked_when_it_is_written() -> None:
    asked: list[State] = []
    task = Task(REQUEST, State.EXECUTING, 1, seq=9, tokens=[1] * 128)

    def left_ms(task: Task) -> int:
        asked.append(task.state)
        return 40

    told = ProgressUpdate(task, "decode", "word", 3, left_ms)
    assert asked == []
    assert told.encode() is told.encode()
    assert asked == [State.EXECUTING]
    assert orjson.loads(told.encode().json) == {
        "seq": 9, "state": "executing", "phase": "decode", "progress": 0.5, "tokens": 128,
        "eta_ms": 40, "offset": 3, "delta": "word",
    }  # fmt: skip


def test_progress_does_not_tell_that_the_task_has_ended() -> None:
    """Its end is not on disk yet: it is told after that, by an event of its own."""
    told = update(1, 0, "the end")
    told._task.state = State.COMPLETED
    payload = told.payload()
    assert (payload["state"], payload["progress"], payload["eta_ms"]) == ("executing", 0.5, 0)


@pytest.mark.parametrize(
    "later", [update(3, 4, "two"), update(2, 5, "two"), update(2, 4, "x" * PAGE_CHARS)]
)
def test_others_do_not(later: ProgressUpdate) -> None:
    assert update(1, 0, "one ").merge(later) is None


def test_text_that_catches_up_stands_for_the_events_in_between_or_for_none() -> None:
    document = wire.document(with_text(Task(REQUEST, State.EXECUTING, 1, seq=9), "one two"))
    page = wire.caught_up(document, "two", 4, 5, 9)
    assert (page["from_seq"], page["seq"], page["offset"], page["phase"]) == (5, 9, 4, "catch_up")
    repeated = wire.caught_up(document, "two", 4, 10, 9)
    assert (repeated["seq"], "from_seq" in repeated) == (9, False)


def test_what_fits() -> None:
    assert wire.chars_in(0) == wire.chars_in(5) == 0
    assert wire.chars_in(6) == 1
    assert wire.chars_in(1 << 30) == PAGE_CHARS
    worst = "\x01" * PAGE_CHARS
    assert len(orjson.dumps(worst)) < ROOM_BYTES_MAX


def ended(state: State, **more: Any) -> tuple[str, dict[str, Any]]:
    text = more.pop("text", "")
    return wire.end_event(wire.document(with_text(Task(REQUEST, state, 1, **more), text)))


def test_the_last_event() -> None:
    event, payload = ended(State.COMPLETED, text="The end.")
    assert (event, payload["result"]["text"]) == ("completed", "The end.")
    assert ended(State.COMPLETED, text="x" * (PAGE_CHARS + 1))[1]["result"]["text"] is None
    document = wire.document(with_text(Task(REQUEST, State.COMPLETED, 1), "abc"))
    assert wire.end_event(document, 2)[1]["result"]["text"] is None
    assert wire.for_channels(document, 2)["result"]["text"] is None
    assert wire.for_channels(document, 3)["result"]["text"] == "abc"
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


def asked_for_logprobs() -> Task:
    request = replace(REQUEST, options=Options(logprobs=1))
    task = with_text(Task(request, State.COMPLETED, 1, seq=1), "ab")
    task.logprobs = tuple(f'["{text}",-1.0,{at},[["z",-0.5]]]' for at, text in enumerate("abc"))
    return task


def test_logprobs_are_shown_of_the_text_where_they_are_wanted() -> None:
    """The last token was of a stop string."""
    task = asked_for_logprobs()
    result = wire.document(task, logprobs=True)["result"]
    assert [each["token"] for each in result["logprobs"]] == ["a", "b"]
    assert wire.document(task)["result"]["logprobs"] is None
    task.request = REQUEST
    assert wire.document(task, logprobs=True)["result"]["logprobs"] is None


def test_who_is_in_the_node_reads_an_updates_logprobs() -> None:
    task = asked_for_logprobs()
    told = ProgressUpdate(task, "decode", "b", 1, lambda _: 7)
    assert [each.token for each in told.logprobs] == [b"b"]
    assert "logprobs" not in told.payload()


def test_a_long_form_of_an_answer_is_not_sent_on_channels() -> None:
    for size, sent in ((10, True), (3_000, False)):
        form = orjson.dumps({"type": "choice", "choices": ["x" * size]}).decode()
        request = replace(REQUEST, options=Options(response_format=form))
        document = wire.document(Task(request, State.AVAILABLE, 1))
        shown = orjson.loads(orjson.dumps(wire.for_channels(document, 2)))
        assert (shown["options"]["response_format"] is not None) == sent
        assert orjson.loads(orjson.dumps(document))["options"]["response_format"]["choices"]
