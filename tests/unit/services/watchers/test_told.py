"""What brings a client up to its task: any text, pages of any size, whatever happened meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.services.task import wire
from edge.services.task.messages import TaskEvent, Watching
from edge.services.task.wire import SHORT_CHARS, ProgressUpdate
from edge.services.watchers.told import Told
from edge.tasks.task import Fallback, Options, Request, State, Task
from tests.support.reader import Reader
from tests.support.rows import with_text

REQUEST = Request("t", "c", "hi", None, None, Options())


def task(text: str, seq: int, **more: Any) -> Task:
    state = more.pop("state", State.EXECUTING)
    return with_text(Task(REQUEST, state, 1, seq=seq, **more), text)


def shown(task: Task, offset: int, page_chars: int = 100, *, exact: bool = False) -> Watching:
    offset = offset if exact else task.resume_offset(offset)
    page = task.text[offset : offset + page_chars]
    document = wire.document(task)
    return Watching("t", document, page, offset, len(task.text), task.terminal)


def joined(task: Task, chars: int) -> tuple[Told, Reader]:
    """A client that has joined and has so many characters of the text."""
    reader, document = Reader(), wire.document(task)
    response = {"task": document, "delta": task.text[:chars], "offset": 0}
    reader.hear("phx_reply", {"status": "ok", "response": response})
    return Told.of(document, chars), reader


def bring(told: Told, reader: Reader, shown: Watching, chars_max: int) -> list[str]:
    """What the client hears; it finds nothing odd."""
    heard = [*told.rewind(shown), *told.catch_up(shown, chars_max)]
    for event, payload in heard:
        reader.hear(event, payload)
    assert reader.oddities == []
    assert told.offset == len(reader.text)
    return [event for event, _ in heard]


def test_a_page_stands_for_the_events_in_between() -> None:
    before = task("one", 1)
    told, reader = joined(before, 3)
    later = shown(task("one two three", 5), told.offset)
    assert bring(told, reader, later, 4) == ["progress"]
    (page,) = [payload for _, payload in told.catch_up(later, 100)]
    assert (page["seq"], page["delta"], page.get("from_seq")) == (5, " three", None)
    assert told.seq == 5


def test_who_has_all_the_text_still_hears_how_far_the_events_are() -> None:
    told, reader = joined(task("one", 1), 3)
    assert bring(told, reader, shown(task("one", 4), 3), 10) == ["progress"]
    assert bring(told, reader, shown(task("one", 4), 3), 10) == []


def test_text_that_is_not_the_tasks_any_more_is_taken_back() -> None:
    told, reader = joined(task("one two", 2), 7)
    cut = task("one 2", 6, text_floor=4)
    assert bring(told, reader, shown(cut, told.offset), 10) == ["rewind", "progress"]
    assert reader.text == "one 2"


def test_that_another_goes_on_is_told_with_the_next_text() -> None:
    told, reader = joined(task("one", 1), 3)
    other = task("one two", 3, fallback=Fallback("history", 3, 1))
    events = [*told.catch_up(shown(other, 3), 2)]
    assert [event for event, _ in events] == ["fallback", "progress"]
    assert events[0][1] == {"seq": 3, "from_seq": 2, "source": "history", "offset": 3}
    for event, payload in events:
        reader.hear(event, payload)
    assert bring(told, reader, shown(other, told.offset), 10) == ["progress"]
    # Cut back to before that, and handed over again.
    again = task("o?", 5, text_floor=1, fallback=Fallback("history", 1, 1))
    assert bring(told, reader, shown(again, told.offset), 10) == ["rewind", "fallback", "progress"]


def test_what_was_heard_as_it_happened_is_not_told_again() -> None:
    told, reader = joined(task("", 0), 0)
    happened: list[tuple[str, dict[str, Any]]] = [
        ("progress", {"seq": 1, "offset": 0, "delta": "one two"}),
        ("rewind", {"seq": 2, "offset": 3}),
        ("fallback", {"seq": 3, "source": "notice", "offset": 3}),
    ]
    for event, payload in happened:
        reader.hear(event, payload)
    told.progressed(ProgressUpdate(task("one two", 1), "decode", "one two", 0, lambda _: 0))
    for event, payload in happened[1:]:
        told.heard(TaskEvent("t", event, payload, False))
    now = task("one.", 4, fallback=Fallback("notice", 3, 1))
    assert bring(told, reader, shown(now, told.offset), 10) == ["progress"]
    assert reader.text == "one."


@pytest.mark.parametrize("joined_after", [False, True])
def test_the_end_comes_behind_all_of_the_text(joined_after: bool) -> None:
    ended = task("one two", 7, state=State.COMPLETED, source="model")
    told, reader = joined(ended if joined_after else task("one", 1), 3)
    assert told.missing_chars(shown(ended, 3)) == 4 + 7
    assert bring(told, reader, shown(ended, 3), 3) == ["progress"]
    assert bring(told, reader, shown(ended, told.offset), 10) == ["progress", "completed"]
    assert reader.ends == ["completed"]
    assert told.missing_chars(shown(ended, told.offset)) == 0
    assert bring(told, reader, shown(ended, told.offset), 10) == []


def test_an_end_that_is_known_is_not_told() -> None:
    ended = task("one", 7, state=State.COMPLETED, source="model")
    told = Told.of(wire.document(ended), 1)
    told.ended = True
    assert [event for event, _ in told.catch_up(shown(ended, 1), 10)] == ["progress"]
    assert told.missing_chars(shown(ended, 3)) == 0


def test_who_is_behind_is_told_what_is_taken_back_and_nothing_else() -> None:
    told, reader = joined(task("one two", 1), 7)
    passing = [
        TaskEvent("t", "queued", {"seq": 2}, False),
        TaskEvent("t", "rewind", {"seq": 3, "offset": 7}, False),
        TaskEvent("t", "rewind", {"seq": 4, "offset": 3}, False),
    ]
    events = [each for message in passing for each in told.missed(message)]
    assert events == [("rewind", {"seq": 4, "from_seq": 2, "offset": 3})]
    reader.hear(*events[0])
    now = task("one 2", 6, text_floor=3)
    # It knows that its three characters hold, though the text was cut back as far once.
    assert bring(told, reader, shown(now, told.offset, exact=True), 1) == ["progress"]
    assert bring(told, reader, shown(now, told.offset, exact=True), 9) == ["progress"]
    assert reader.text == "one 2"


steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.text(max_size=9)),
        st.tuples(st.just("cut"), st.integers(0, 30)),
        st.tuples(st.just("crash"), st.integers(0, 30)),
        st.tuples(st.just("hand over"), st.just(0)),
        st.tuples(st.just("event"), st.just(0)),
        st.tuples(st.just("read"), st.integers(1, 12)),
    ),
    max_size=40,
)


@given(steps, st.booleans())
def test_whatever_happens_nothing_is_odd(script: list[tuple[str, Any]], completes: bool) -> None:
    now = task("", 0)
    told, reader = joined(now, 0)
    exact = True
    for kind, value in script:
        if kind == "read":
            bring(told, reader, shown(now, told.offset, 5, exact=exact), value)
            exact = True
            continue
        now = replace(now, seq=now.seq + 1)
        if kind == "write":
            with_text(now, now.text + value)
        elif kind in ("cut", "crash"):
            with_text(now, now.text[:value])
            floor = len(now.text) if now.text_floor is None else now.text_floor
            now.text_floor = min(len(now.text), floor)
            now.fallback = None
            exact = exact and kind == "cut"
            rewind = TaskEvent("t", "rewind", {"seq": now.seq, "offset": len(now.text)}, False)
            # Of a crash a channel does not hear in this way.
            for event, payload in told.missed(rewind) if kind == "cut" else ():
                reader.hear(event, payload)
        elif kind == "hand over" and now.fallback is None:
            now.fallback = Fallback("history", len(now.text), 0)
    now = replace(now, seq=now.seq + 1, source="model")
    now.state = State.COMPLETED if completes else State.CANCELLED
    while not told.ended:
        bring(told, reader, shown(now, told.offset, 5, exact=exact), SHORT_CHARS)
        exact = True
    assert reader.text == now.text
    assert reader.ends == [str(now.state)]
