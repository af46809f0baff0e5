"""Whose question is next, on threads that the test holds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clock import NS_PER_MS, ManualClock
from edge.errors import Overloaded, StorageError
from edge.storage.lane import INTERRUPT_AGAIN_MS, Lane, Turns


def test_askers_have_turns() -> None:
    turns: Turns[str] = Turns(waiting_max=10, per_asker_max=3)
    for entry in ("a1", "a2", "a3", "b1", "c1"):
        assert turns.add(entry[0], entry)
    turns.remove("c", "c1")
    turns.remove("c", "c1")
    assert len(turns) == 4
    assert [turns.take() for _ in range(5)] == ["a1", "b1", "a2", "a3", None]


def test_who_is_served_stands_behind_the_others() -> None:
    turns: Turns[str] = Turns(waiting_max=10, per_asker_max=3)
    turns.add("a", "a1")
    assert turns.take() == "a1"
    for entry in ("a2", "b1", "a3"):
        turns.add(entry[0], entry)
    turns.remove("a", "a2")
    assert [turns.take() for _ in range(3)] == ["b1", "a3", None]
    assert len(turns) == 0
    assert not turns._askers


def test_too_many_are_refused() -> None:
    turns: Turns[int] = Turns(waiting_max=4, per_asker_max=3)
    assert [turns.add("a", number) for number in range(4)] == [True, True, True, False]
    assert [turns.add("b", number) for number in range(2)] == [True, False]
    turns.take()
    assert turns.add("b", 1)


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_turns_go_round(askers: list[str]) -> None:
    turns: Turns[tuple[str, int]] = Turns(waiting_max=30, per_asker_max=30)
    rounds: list[tuple[int, int, tuple[str, int]]] = []
    for number, asker in enumerate(askers):
        assert turns.add(asker, (asker, number))
        rounds.append((askers[:number].count(asker), askers.index(asker), (asker, number)))
    taken = [turns.take() for _ in askers]
    assert taken == [entry for _, _, entry in sorted(rounds)]
    assert turns.take() is None


class Statement:
    """What a thread runs until the test, or an interrupt, ends it."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.interrupted = False

    def __call__(self) -> str:
        self.begun.set()
        assert self.go_on.wait(20)
        if self.interrupted:
            raise StorageError("interrupted")
        return "read"

    async def running(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, 20)


class Desk:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.interrupts = 0
        self.deaf = 0  # interrupts that come before the statement
        self.statement = Statement()
        self.lane = Lane("test", self.clock, self.interrupt, waiting_max=3, per_asker_max=2)
        self.order: list[str] = []

    def interrupt(self) -> None:
        self.interrupts += 1
        if self.interrupts > self.deaf:
            self.statement.interrupted = True
            self.statement.go_on.set()

    def ask(self, asker: str, call: Callable[[], object] | None = None) -> asyncio.Task[object]:
        return asyncio.ensure_future(
            self.lane.run(asker, call or (lambda: self.order.append(asker)))
        )

    async def hold(self) -> asyncio.Task[object]:
        """Somebody's statement is under way."""
        asked = self.ask("holder", self.statement)
        await self.statement.running()
        return asked


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    yield desk
    desk.statement.go_on.set()
    desk.lane.close()


async def test_turns_are_given_in_order_and_errors_are_the_askers_own(desk: Desk) -> None:
    holder = await desk.hold()
    asked = [desk.ask("a"), desk.ask("a"), desk.ask("b")]
    await asyncio.sleep(0)
    desk.statement.go_on.set()
    assert await holder == "read"
    await asyncio.gather(*asked)
    assert desk.order == ["a", "b", "a"]
    with pytest.raises(ZeroDivisionError):
        await desk.ask("a", lambda: 1 // 0)
    assert await desk.ask("a", lambda: 1) == 1


async def test_a_full_lane_refuses(desk: Desk) -> None:
    holder = await desk.hold()
    waiting = [desk.ask("a"), desk.ask("a")]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="wait for the database"):
        await desk.ask("a")
    waiting.append(desk.ask("b"))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="wait for the database"):
        await desk.ask("c")
    desk.statement.go_on.set()
    await asyncio.gather(holder, *waiting)
    assert await desk.ask("c", lambda: 3) == 3


async def test_who_leaves_the_line_leaves_its_place(desk: Desk) -> None:
    holder = await desk.hold()
    first, second, third = desk.ask("a"), desk.ask("a"), desk.ask("b")
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    fourth = desk.ask("a")
    await asyncio.sleep(0)
    # Its turn comes in the very moment in which it leaves.
    assert desk.lane._running is not None
    desk.lane._running.add_done_callback(lambda _: second.cancel())
    desk.statement.go_on.set()
    await holder
    await asyncio.gather(third, fourth)
    assert second.cancelled()
    assert desk.order == ["b", "a"]


async def test_a_statement_that_nobody_waits_for_is_interrupted(desk: Desk) -> None:
    desk.deaf = 2
    holder = await desk.hold()
    next_one = desk.ask("a", lambda: "next")
    await asyncio.sleep(0)
    # An interrupt that the database forgot is followed by others until the statement is over.
    for _ in range(2):
        holder.cancel()
        await asyncio.sleep(0)
        assert not next_one.done()
        assert not holder.done(), "its call still uses what is its own"
        desk.clock.advance(INTERRUPT_AGAIN_MS * NS_PER_MS)
    assert await next_one == "next"
    await asyncio.wait([holder])
    assert holder.cancelled()
    assert desk.interrupts == 3
    desk.clock.advance(INTERRUPT_AGAIN_MS * NS_PER_MS)
    assert desk.interrupts == 3


async def test_a_statement_has_its_time(desk: Desk) -> None:
    asked = asyncio.ensure_future(desk.lane.run("a", desk.statement, limit_ms=500))
    await desk.statement.running()
    desk.clock.advance(499 * NS_PER_MS)
    assert desk.interrupts == 0
    desk.clock.advance(NS_PER_MS)
    with pytest.raises(StorageError, match="longer than 500 ms"):
        await asked
    assert await desk.lane.run("a", lambda: 1, limit_ms=500) == 1
    assert desk.clock.timers_pending() <= 1, "only the last repeat, which finds nothing to do"


async def test_a_closed_lane_interrupts_and_refuses(desk: Desk) -> None:
    holder = await desk.hold()
    waiting = desk.ask("a")
    await asyncio.sleep(0)
    desk.lane.close()
    with pytest.raises(StorageError, match="interrupted"):
        await holder
    for late in (waiting, desk.ask("b")):
        with pytest.raises(StorageError, match="closed"):
            await late
    assert desk.order == []
