from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clock import ManualClock
from edge.telemetry import EVENTS, Event, Telemetry, events
from edge.telemetry.table import Kind


class Ear:
    def __init__(self) -> None:
        self.heard: list[Event] = []

    def hear(self, event: Event) -> None:
        self.heard.append(event)

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.heard]


def raises(_event: Event) -> None:
    raise ValueError("a defect")


def test_what_is_measured_and_what_it_is_about_are_told_apart() -> None:
    telemetry, ear = Telemetry(), Ear()
    telemetry.attach(ear.hear)
    telemetry.emit("task.started", task_id="1", attempt=2, queued_ms=3.5)
    (event,) = ear.heard
    assert event == Event("task.started", {"attempt": 2, "queued_ms": 3.5}, {"task_id": "1"})
    assert event.fields == {"task_id": "1", "attempt": 2, "queued_ms": 3.5}


def test_a_handler_hears_what_it_wants() -> None:
    telemetry, some, everything = Telemetry(), Ear(), Ear()
    end = telemetry.attach(some.hear, ["queue.resumed", "fallback.closed"])
    telemetry.attach(everything.hear)
    telemetry.emit("queue.resumed", queued=1)
    telemetry.emit("queue.paused", running=0, queued=1)
    telemetry.emit("fallback.closed")
    end()
    end()
    telemetry.emit("fallback.closed")
    assert some.names == ["queue.resumed", "fallback.closed"]
    assert everything.names == [
        "queue.resumed", "queue.paused", "fallback.closed", "fallback.closed"
    ]  # fmt: skip


def test_the_same_handler_may_be_attached_twice() -> None:
    telemetry, ear = Telemetry(), Ear()
    end = telemetry.attach(ear.hear)
    telemetry.attach(ear.hear)
    telemetry.emit("fallback.closed")
    end()
    telemetry.emit("fallback.closed")
    assert len(ear.heard) == 3


@pytest.mark.parametrize("heard", [False, True])
def test_an_unknown_name_is_a_defect(heard: bool) -> None:
    telemetry = Telemetry()
    if heard:
        telemetry.attach(Ear().hear)
    with pytest.raises(KeyError, match="not in the table"):
        telemetry.emit("queue.vanished")
    with pytest.raises(KeyError, match="not in the table"):
        telemetry.attach(Ear().hear, ["queue.resumed", "queue.vanished"])


def test_who_raises_is_detached_and_the_others_hear_of_it(caplog: pytest.LogCaptureFixture) -> None:
    telemetry, before, behind = Telemetry(), Ear(), Ear()
    telemetry.attach(before.hear)
    telemetry.attach(raises)
    telemetry.attach(behind.hear)
    for queued in (1, 2):
        telemetry.emit("queue.resumed", queued=queued)
    assert before.names == ["queue.resumed", "telemetry.detached", "queue.resumed"]
    assert behind.names == ["telemetry.detached", "queue.resumed", "queue.resumed"]
    assert telemetry.detached == ("raises",)
    told = before.heard[1].metadata
    assert (told["handler"], told["event"]) == ("raises", "queue.resumed")
    assert isinstance(told["error"], ValueError)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("elwift.telemetry", logging.ERROR)


def test_nobody_is_left_who_raises_at_everything() -> None:
    telemetry = Telemetry()
    for _ in range(3):
        telemetry.attach(raises)
    telemetry.emit("fallback.closed")
    assert telemetry.detached == ("raises",) * 3


def test_a_handler_may_end_itself_while_it_hears() -> None:
    telemetry, ear = Telemetry(), Ear()

    def once(event: Event) -> None:
        end()
        ear.hear(event)

    end = telemetry.attach(once)
    telemetry.attach(ear.hear)
    telemetry.emit("fallback.closed")
    telemetry.emit("fallback.closed")
    assert len(ear.heard) == 3


@given(st.lists(st.sets(st.sampled_from(sorted(EVENTS))), max_size=4), st.data())
def test_each_hears_its_own_and_nothing_else(wanted: list[set[str]], data: st.DataObject) -> None:
    telemetry = Telemetry()
    ears = [Ear() for _ in wanted]
    for ear, names in zip(ears, wanted, strict=True):
        telemetry.attach(ear.hear, names)
    emitted = data.draw(st.lists(st.sampled_from(sorted(EVENTS)), max_size=20))
    for name in emitted:
        telemetry.emit(name, **dict.fromkeys(EVENTS[name].fields, 0))
    for ear, names in zip(ears, wanted, strict=True):
        assert ear.names == [name for name in emitted if name in names]


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Telemetry:
    rows = {
        "bake.start": Kind("It begins.", {}, {"cake": str}),
        "bake.stop": Kind("It is done.", {"duration_us": int, "eggs": int}, {"cake": str}),
        "bake.exception": Kind("It burns.", {"duration_us": int}, {"cake": str}),
    }
    monkeypatch.setattr(events, "EVENTS", rows)
    return Telemetry()


def test_a_span_tells_its_beginning_and_its_end(spans: Telemetry) -> None:
    clock, ear = ManualClock(), Ear()
    spans.attach(ear.hear, ["bake.start", "bake.stop"])
    with spans.span("bake", clock, cake="plum") as span:
        clock.advance(2_500_000)
        span.tell(eggs=3)
    assert ear.heard == [
        Event("bake.start", {}, {"cake": "plum"}),
        Event("bake.stop", {"duration_us": 2_500, "eggs": 3}, {"cake": "plum"}),
    ]


def test_a_span_that_fails_says_so_and_hides_nothing(spans: Telemetry) -> None:
    clock, ear = ManualClock(), Ear()
    spans.attach(ear.hear, ["bake.start", "bake.stop", "bake.exception"])
    with pytest.raises(ValueError, match="burnt"), spans.span("bake", clock, cake="plum"):
        raise ValueError("burnt")
    assert [event.name for event in ear.heard] == ["bake.start", "bake.exception"]
    assert isinstance(ear.heard[1].metadata["error"], ValueError)
