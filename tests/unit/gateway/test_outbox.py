"""The outbox on a clock that stands still and a wire that says how full it is."""

from __future__ import annotations

import struct
from typing import NamedTuple

import pytest

from edge.clock import NS_PER_MS, ManualClock
from edge.gateway.budget import Budget
from edge.gateway.outbox import (
    BUSY_BYTES,
    LOOKS_MAX,
    REST_MS,
    ROOM_BYTES_MAX,
    ROOM_SHARE,
    Counters,
    Outbox,
    ws_frame,
)
from edge.phoenix import V2, Encoded, Frame, MergeablePush

WINDOW_NS = 8 * NS_PER_MS
STALL_NS = 10_000 * NS_PER_MS


class Text(NamedTuple):
    """An update that merges by concatenation, unless it is the other's opposite in case."""

    text: str

    @property
    def size_bytes(self) -> int:
        return len(self.text)

    def merge(self, later: Text) -> Text | None:
        if self.text.isupper() != later.text.isupper():
            return None
        return Text(self.text + later.text)

    def encode(self) -> Encoded:
        return Encoded.of({"t": self.text})


class Broken:
    size_bytes = 1

    def merge(self, later: Broken) -> Broken:
        return later

    def encode(self) -> Encoded:
        raise ValueError("not today")


class Desk:
    def __init__(
        self,
        bytes_max: int = 1000 + BUSY_BYTES,
        window_ns: int = WINDOW_NS,
        budget: Budget | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.buffered = 0
        self.full = False  # nothing more goes into the kernel
        self.broken = False
        self.writes: list[bytes] = []
        self.failures: list[int] = []
        self.counters = Counters()
        self.outbox = Outbox(
            self,
            self.clock,
            around=V2.around,
            fail=lambda code, reason: self.failures.append(code),
            window_ns=window_ns,
            bytes_max=bytes_max,
            stall_ns=STALL_NS,
            counters=self.counters,
            budget=budget,
        )

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        if self.full:
            self.buffered += len(data)

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def is_closing(self) -> bool:
        return self.broken

    def frames(self) -> list[list[str]]:
        """What was written since the last time: the frames of each write."""
        written, self.writes = self.writes, []
        return [read_frames(data) for data in written]

    def update(self, text: str, topic: str = "a", event: str = "progress") -> None:
        self.outbox.send_mergeable(MergeablePush("1", topic, event, Text(text)))

    def state(self, text: str, topic: str = "a") -> None:
        self.outbox.send(topic, Frame(False, text.encode()))


def read_frames(data: bytes) -> list[str]:
    frames = []
    while data:
        assert data[0] == 0x81
        if data[1] < 126:
            start, size = 2, data[1]
        elif data[1] == 126:
            start, size = 4, struct.unpack("!H", data[2:4])[0]
        else:
            start, size = 10, struct.unpack("!Q", data[2:10])[0]
        frames.append(data[start : start + size].decode())
        data = data[start + size :]
    return frames


def progress(text: str, topic: str = "a", event: str = "progress") -> str:
    return f'["1",null,"{topic}","{event}",{{"t":"{text}"}}]'


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_frame_header_follows_the_size(size: int) -> None:
    data = ws_frame(0x1, b"x" * size)
    assert read_frames(data) == (["x" * size])


def test_frame_bytes() -> None:
    assert ws_frame(0x1, b"hi") == b"\x81\x02hi"
    assert ws_frame(0x2, b"\x00" * 200)[:4] == b"\x82\x7e\x00\xc8"
    assert ws_frame(0xA, b"") == b"\x8a\x00"


class TestIdle:
    def test_first_update_leaves_at_once_without_a_timer(self, desk: Desk) -> None:
        desk.update("one")
        assert desk.frames() == [[progress("one")]]
        assert desk.clock.timers_pending() == 0

    def test_update_after_the_window_leaves_at_once(self, desk: Desk) -> None:
        desk.update("one")
        desk.clock.advance(WINDOW_NS)
        desk.update("two")
        assert desk.frames() == [[progress("one")], [progress("two")]]

    def test_each_topic_has_its_own_first_update(self, desk: Desk) -> None:
        desk.update("one", "a")
        desk.update("one", "b")
        assert desk.frames() == [[progress("one", "a")], [progress("one", "b")]]

    def test_without_a_window_nothing_waits(self) -> None:
        desk = Desk(window_ns=0)
        desk.update("one")
        desk.update("two")
        assert desk.frames() == [[progress("one")], [progress("two")]]

    def test_how_long_text_took_since_its_step_is_counted(self, desk: Desk) -> None:
        ages = desk.counters.step_to_frame
        desk.counters.step_ns = desk.clock.now_ns()
        desk.clock.advance(30_000)
        desk.update("one")
        assert (ages.count, ages.sum_ns) == (1, 30_000)
        desk.counters.step_ns = desk.clock.now_ns()
        desk.update("two")
        desk.clock.advance(WINDOW_NS // 2)
        desk.counters.step_ns = desk.clock.now_ns()
        desk.update("three")
        assert ages.count == 1
        desk.clock.advance(WINDOW_NS)
        # Merged, it counts from the step whose text waited for longest.
        assert (ages.count, ages.sum_ns) == (2, 30_000 + WINDOW_NS)

    def test_what_no_step_has_said_is_not_counted(self, desk: Desk) -> None:
        desk.update("one", event="position")
        desk.state("s1")
        assert desk.counters.step_to_frame.count == 0

    def test_state_leaves_at_once(self, desk: Desk) -> None:
        desk.state("s1")
        desk.state("s2")
        assert desk.frames() == [["s1"], ["s2"]]
        assert (desk.counters.frames, desk.counters.writes) == (2, 2)


class TestWithinTheWindow:
    def test_updates_merge(self, desk: Desk) -> None:
        for text in ("a", "b", "c", "d"):
            desk.update(text)
        assert desk.frames() == [[progress("a")]]
        desk.clock.advance(WINDOW_NS - 1)
        assert desk.frames() == []
        desk.clock.advance(1)
        assert desk.frames() == [[progress("bcd")]]
        assert desk.counters.merges == 2
        assert desk.clock.timers_pending() == 0
        assert desk.outbox.waiting_bytes == 0

    def test_topics_share_a_write_and_keep_their_order(self, desk: Desk) -> None:
        for topic in ("a", "b"):
            desk.update("1", topic)
        desk.frames()
        for text in ("2", "3"):
            desk.update(text, "b")
            desk.update(text, "a")
        desk.clock.advance(WINDOW_NS)
        assert desk.frames() == [[progress("23", "b"), progress("23", "a")]]

    def test_state_takes_what_waits_with_it_and_goes_behind(self, desk: Desk) -> None:
        desk.update("one")
        desk.update("three", "b")
        desk.update("two")
        desk.update("four", "b")
        desk.frames()
        desk.state("done")
        assert desk.frames() == [[progress("two"), progress("four", "b"), "done"]]
        assert desk.clock.timers_pending() == 0

    def test_first_update_after_a_state_leaves_at_once(self, desk: Desk) -> None:
        desk.update("one")
        desk.state("rewind")
        desk.update("two")
        assert desk.frames() == [[progress("one")], ["rewind"], [progress("two")]]

    def test_updates_that_do_not_merge_stay_apart_in_order(self, desk: Desk) -> None:
        desk.update("a")
        for text in ("b", "c", "D", "E", "f"):
            desk.update(text)
        desk.update("g", event="other")
        desk.frames()
        desk.clock.advance(WINDOW_NS)
        assert desk.frames() == [
            [progress("bc"), progress("DE"), progress("f"), progress("g", event="other")]
        ]

    def test_another_topics_first_update_takes_all_along(self, desk: Desk) -> None:
        desk.update("1", "a")
        desk.update("2", "a")
        desk.frames()
        desk.update("1", "b")
        assert desk.frames() == [[progress("2", "a"), progress("1", "b")]]


class TestSlowClient:
    def test_updates_merge_while_the_wire_is_busy(self, desk: Desk) -> None:
        desk.buffered = BUSY_BYTES + 1
        desk.update("a")
        desk.clock.advance(10 * WINDOW_NS)
        desk.update("b")
        assert desk.frames() == []
        desk.buffered = 0
        desk.clock.advance(WINDOW_NS)
        assert desk.frames() == [[progress("ab")]]
        assert desk.clock.timers_pending() == 0

    def test_states_keep_their_place(self, desk: Desk) -> None:
        desk.buffered = BUSY_BYTES + 1
        desk.update("a")
        desk.update("b", "b")
        desk.state("paused")
        desk.update("c")
        desk.update("d")
        desk.update("e", "b")
        desk.buffered = 0
        desk.clock.advance(WINDOW_NS)
        assert desk.frames() == [[progress("a"), progress("be", "b"), "paused", progress("cd")]]

    @pytest.mark.parametrize("kind", ["state", "update"])
    def test_is_given_up_at_the_limit(self, desk: Desk, kind: str) -> None:
        desk.buffered = BUSY_BYTES + 1
        send = getattr(desk, kind)
        for _ in range(9):
            send("x" * 100)
        assert desk.failures == []
        for _ in range(9):
            send("x" * 100)
        assert desk.failures == [1013]
        assert desk.counters.overflows == 1
        assert desk.outbox.waiting_bytes == 0
        assert desk.clock.timers_pending() == 0

    def test_a_frame_larger_than_the_limit_reaches_an_idle_client(self, desk: Desk) -> None:
        desk.state("x" * 100_000)
        assert desk.frames() == [["x" * 100_000]]
        assert desk.failures == []

    def test_what_only_waits_for_its_window_is_no_reason_to_give_up(self, desk: Desk) -> None:
        for _ in range(9):
            desk.update("x" * 3_000)
        assert desk.failures == []
        desk.clock.advance(WINDOW_NS)
        assert "".join(text for frames in desk.frames() for text in frames).count("x") == 27_000

    def test_who_stops_reading_is_given_up_in_the_end(self) -> None:
        desk = Desk(bytes_max=4 * BUSY_BYTES)
        desk.buffered = 3 * BUSY_BYTES
        desk.update("a")
        desk.clock.advance(STALL_NS - NS_PER_MS)
        # A little is taken at the last moment: it has not stopped.
        desk.buffered -= 1
        desk.clock.advance(STALL_NS - 300 * NS_PER_MS)
        assert desk.failures == []
        desk.clock.advance(600 * NS_PER_MS)
        assert desk.failures == [1013]
        assert desk.clock.timers_pending() == 0

    def test_who_is_slow_for_long_is_looked_at_less_often(self, desk: Desk) -> None:
        desk.buffered = BUSY_BYTES + 1
        desk.update("a")
        for _ in range(LOOKS_MAX):
            due_ns = desk.clock.next_due_ns()
            assert due_ns is not None
            assert due_ns - desk.clock.now_ns() == WINDOW_NS
            desk.clock.advance(WINDOW_NS)
        desk.clock.advance(WINDOW_NS)
        due_ns = desk.clock.next_due_ns()
        assert due_ns == desk.clock.now_ns() + REST_MS * NS_PER_MS
        desk.buffered = 0
        desk.clock.advance(REST_MS * NS_PER_MS)
        assert desk.frames() == [[progress("a")]]


class Speaker:
    """Says pages of long text, one each time that it is called."""

    def __init__(self, desk: Desk, name: str, pages: int) -> None:
        self.desk = desk
        self.name = name
        self.pages = pages
        self.alive = True

    def ask(self, first: bool = False) -> None:
        self.desk.outbox.when_room(self, first=first)

    def __call__(self) -> bool:
        if self.alive:
            assert self.desk.outbox.room_bytes > 0
            self.desk.state(f"{self.name}{self.pages}", self.name)
            self.desk.buffered = BUSY_BYTES + 1
            self.pages -= 1
            if self.pages:
                self.ask(first=True)
        return self.alive


class TestRoom:
    def test_is_a_share_of_the_limit_and_no_more_than_a_message(self) -> None:
        assert Desk(bytes_max=1 << 30).outbox.room_bytes == ROOM_BYTES_MAX
        desk = Desk(bytes_max=40_000)
        assert desk.outbox.room_bytes == 40_000 // ROOM_SHARE

    def test_there_is_none_while_the_client_has_much_to_take(self, desk: Desk) -> None:
        desk.buffered = BUSY_BYTES
        assert desk.outbox.room_bytes > 0
        desk.update("a")
        desk.update("b")
        assert desk.outbox.room_bytes == 0, "what waits counts as well"
        desk.outbox.flush()
        desk.buffered = BUSY_BYTES + 1
        assert desk.outbox.room_bytes == 0

    def test_is_given_later_and_behind_what_waits(self, desk: Desk) -> None:
        desk.update("one")
        desk.update("two")
        Speaker(desk, "b", 1).ask()
        assert desk.frames() == [[progress("one")]]
        desk.clock.advance(WINDOW_NS)
        assert desk.frames() == [[progress("two")], ["b1"]]
        desk.buffered = 0
        desk.clock.advance(WINDOW_NS)
        assert desk.clock.timers_pending() == 0

    def test_who_has_begun_goes_on_and_each_waits_for_the_client(self, desk: Desk) -> None:
        Speaker(desk, "a", 2).ask()
        Speaker(desk, "b", 1).ask()
        said = []
        for _ in range(3):
            desk.clock.advance(WINDOW_NS)
            said += desk.frames()
            desk.clock.advance(WINDOW_NS)
            assert desk.frames() == [], "the client has not taken that yet"
            desk.buffered = 0
        assert said == [["a2"], ["a1"], ["b1"]]
        assert desk.clock.timers_pending() <= 1
        desk.clock.advance(WINDOW_NS)
        assert desk.clock.timers_pending() == 0

    def test_who_is_gone_gives_its_turn_to_the_next(self, desk: Desk) -> None:
        gone = Speaker(desk, "a", 1)
        gone.ask()
        gone.alive = False
        Speaker(desk, "b", 1).ask()
        desk.clock.advance(0)
        assert desk.frames() == [["b1"]]

    def test_is_not_given_any_more_when_it_is_closed(self, desk: Desk) -> None:
        Speaker(desk, "a", 1).ask()
        desk.outbox.close()
        desk.clock.advance(WINDOW_NS)
        assert desk.frames() == []

    def test_who_stops_reading_long_text_is_given_up(self, desk: Desk) -> None:
        Speaker(desk, "a", 2).ask()
        desk.clock.advance(0)
        desk.clock.advance(STALL_NS + REST_MS * NS_PER_MS)
        assert desk.failures == [1013]

    def test_who_stops_reading_what_was_written_is_given_up(self, desk: Desk) -> None:
        desk.full = True
        desk.state("x" * (BUSY_BYTES + 1))  # and nothing follows
        desk.clock.advance(STALL_NS + REST_MS * NS_PER_MS)
        assert desk.failures == [1013]
        assert desk.clock.timers_pending() == 0

    def test_who_reads_it_is_not(self, desk: Desk) -> None:
        desk.full = True
        desk.state("x" * (BUSY_BYTES + 1))
        desk.clock.advance(STALL_NS // 2)
        desk.buffered = 0
        desk.clock.advance(STALL_NS)
        assert desk.failures == []
        assert desk.clock.timers_pending() == 0


class TestEnd:
    def test_closed_takes_nothing(self, desk: Desk) -> None:
        desk.update("one")
        desk.update("two")
        desk.frames()
        desk.outbox.close()
        desk.update("three")
        desk.state("four")
        desk.outbox.flush()
        desk.clock.advance(WINDOW_NS)
        assert desk.frames() == []
        assert desk.clock.timers_pending() == 0

    @pytest.mark.parametrize("after", ["update", "state", "timer"])
    def test_broken_connection_is_not_written_to(self, desk: Desk, after: str) -> None:
        desk.update("one")
        desk.update("two")
        desk.frames()
        desk.broken = True
        if after != "timer":
            getattr(desk, after)("three")
        desk.clock.advance(WINDOW_NS)
        assert desk.frames() == []
        assert desk.failures == []
        assert desk.clock.timers_pending() == 0

    def test_payload_that_cannot_be_encoded_closes_the_socket(
        self, desk: Desk, caplog: pytest.LogCaptureFixture
    ) -> None:
        desk.outbox.send_mergeable(MergeablePush("1", "a", "progress", Broken()))
        assert desk.failures == [1011]
        assert desk.frames() == []
        assert "could not be encoded" in caplog.text


def test_a_topic_that_ended_while_the_client_was_slow_leaves_nothing() -> None:
    desk = Desk()
    desk.buffered = BUSY_BYTES + 1
    desk.outbox.send_mergeable(MergeablePush("1", "a", "progress", Text("x")))
    desk.outbox.send("a", Frame(False, b"the end"))
    desk.buffered = 0
    desk.outbox.flush()
    assert not desk.outbox._streams


def test_of_many_slow_clients_the_one_that_holds_most_is_cut_off_and_no_good_one() -> None:
    budget = Budget(100_000)
    slow = [Desk(bytes_max=90_000, budget=budget) for _ in range(4)]
    good = Desk(bytes_max=90_000, budget=budget)
    for number, each in enumerate(slow):
        each.buffered = BUSY_BYTES + 1
        each.state("x" * 3_000 * (number + 1))
        good.state("x" * 60_000)  # it reads as it is written to
    assert budget.held_bytes <= 100_000
    assert [each.failures for each in slow] == [[], [], [], []]
    slow[0].state("x" * 6_000)
    assert [each.failures for each in slow] == [[], [], [], [1013]]
    assert good.failures == []
    assert len(good.frames()) == 4
    assert budget.held_bytes <= 100_000
    for each in (*slow, good):
        each.outbox.close()
    assert budget.held_bytes == 0
