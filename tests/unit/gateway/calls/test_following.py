"""A task followed for a call, with a real channel, on a manual clock."""

from __future__ import annotations

import asyncio

import pytest

from edge.errors import NotFound, Overloaded
from edge.gateway.budget import Budget
from edge.gateway.calls.errors import TaskFailed
from edge.gateway.calls.following import Following, SlowReader, Surroundings, Wake
from edge.gateway.outbox import BUSY_BYTES, ROOM_BYTES_MAX
from edge.services.watchers.task_channel import TaskChannel
from tests.support.rows import uid
from tests.support.workshop import Workshop

BYTES_MAX = 1 << 20


class Call:
    """Follows task 1 of the workshop."""

    def __init__(
        self,
        shop: Workshop,
        *,
        text: bool = True,
        budget: Budget | None = None,
        client: str = "ada",
    ) -> None:
        self.woken = 0
        around = Surroundings.of(lambda: TaskChannel(shop.tasks), shop.channels, BYTES_MAX, budget)
        self.following = Following(client, uid(1), around, self.wake, text=text)
        self.following.begin()

    def wake(self) -> None:
        self.woken += 1

    def take(self) -> str:
        return self.following.take()[0]


@pytest.fixture
async def shop() -> Workshop:
    shop = Workshop(pumped=True)
    await shop.submit(1)
    return shop


async def test_text_as_it_comes_and_the_end(shop: Workshop) -> None:
    call = Call(shop)
    shop.work()
    shop.output(1, "Once")
    assert call.woken
    assert call.take() == "Once"
    assert call.take() == ""
    shop.output(1, " upon")
    shop.finish(1)
    shop.work()
    assert call.take() == " upon"
    assert (call.following.over, call.following.error) == (True, None)


async def test_text_that_is_written_again_comes_once(shop: Workshop) -> None:
    call = Call(shop)
    shop.work()
    shop.output(1, "Once upon")
    text = call.take()
    shop.crash(1)
    shop.work()
    shop.output(1, "Once upon a time")
    shop.finish(1)
    shop.work()
    text += call.take()
    task = await shop.tasks.document(uid(1), "ada")
    assert text == task["result"]["text"]


async def test_who_wants_no_text_hears_the_end_alone(shop: Workshop) -> None:
    call = Call(shop, text=False)
    shop.work()
    shop.output(1, "Once")
    assert (call.take(), call.following.held_bytes()) == ("", 0)
    shop.finish(1)
    shop.work()
    assert call.following.over


async def test_a_cancelled_task_is_an_error(shop: Workshop) -> None:
    call = Call(shop)
    shop.work()
    shop.ask("cancel", 1)
    shop.work()
    assert isinstance(call.following.error, TaskFailed)
    assert call.following.error.reason == "cancelled"


async def test_a_foreign_task_is_not_there(shop: Workshop) -> None:
    call = Call(shop, client="bob")
    shop.work()
    await shop.fetch()
    assert isinstance(call.following.error, NotFound)


async def test_who_is_done_is_told_nothing_and_holds_nothing(shop: Workshop) -> None:
    budget = Budget(BYTES_MAX)
    call = Call(shop, budget=budget)
    shop.work()
    shop.output(1, "Once")
    assert budget.held_bytes > 0
    call.following.close()
    assert budget.held_bytes == 0
    woken = call.woken
    shop.output(1, " upon")
    shop.work()
    assert call.woken == woken


async def test_who_holds_most_is_cut_off(shop: Workshop) -> None:
    call = Call(shop, budget=Budget(1_000))
    shop.work()
    shop.output(1, "x" * 10_000)
    shop.work()
    assert isinstance(call.following.error, SlowReader)
    assert (call.take(), call.following.held_bytes()) == ("", 0)


async def test_no_more_is_kept_than_a_full_connection_may_be_owed(shop: Workshop) -> None:
    call = Call(shop)
    shop.work()
    for _ in range(400):
        shop.output(1, "x" * 1_000)
    assert call.following.held_bytes() < ROOM_BYTES_MAX + BUSY_BYTES
    text = ""
    while piece := call.take():
        text += piece
        shop.work()
    assert text == "x" * 400_000


async def test_the_first_reason_to_give_up_is_told(shop: Workshop) -> None:
    call = Call(shop)
    first = Overloaded("no room", retry_after_ms=1)
    call.following.give_up(first)
    call.following.give_up(NotFound("gone"))
    assert call.following.error is first
    assert call.woken == 1


async def test_several_wakes_are_one() -> None:
    wake = Wake()
    wake()
    wake()
    await wake.wait()
    waiting = asyncio.ensure_future(wake.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    wake()
    await waiting
