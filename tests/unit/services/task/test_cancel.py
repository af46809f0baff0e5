"""A cancel is answered with what became of it, on a disk that the test holds back."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from edge.clock import NS_PER_MS
from edge.errors import Conflict, Overloaded
from edge.services.task.actor import CANCEL_MS
from edge.services.task.end_commit import WRITE_AGAIN_MS
from edge.services.task.tasks import CALL_MS, COMMAND_TRIES
from edge.tasks.task import Options, Request
from tests.support.rows import uid
from tests.support.sockets import Client
from tests.support.workshop import Workshop
from tests.unit.services.task.test_end_commit import HeldShelf

# A disk that was behind has one more try, and who called still hears of it.
assert WRITE_AGAIN_MS < CANCEL_MS < CALL_MS

Answer = asyncio.Task[dict[str, Any]]


@pytest.fixture
def shelf() -> HeldShelf:
    return HeldShelf()


@pytest.fixture
async def shop(shelf: HeldShelf) -> Workshop:
    return Workshop(pumped=True, shelf=shelf)


async def settle(shop: Workshop, span_ms: int = 0) -> None:
    """The clock goes on by that much, and whatever can run does."""
    shop.clock.advance(span_ms * NS_PER_MS)
    for _ in range(10):
        shop.work()
        await asyncio.sleep(0)


async def cancelling(shop: Workshop, number: int = 1) -> Answer:
    """A cancel that is under way."""
    answer = asyncio.create_task(shop.tasks.cancel(uid(number), "ada"))
    await settle(shop)
    return answer


async def bring_to(shop: Workshop, state: str) -> None:
    """Task 1, in this state."""
    if state == "scheduled":
        request = Request(uid(1), "ada", "1", None, None, Options())
        await shop.tasks.submit(request, own_id=True, schedule_in_ms=60_000)
    else:
        for number in (10, 11, 12, 13) if state == "available" else ():
            await shop.submit(number)
        await shop.submit(1)
    await settle(shop)
    assert (await shop.tasks.document(uid(1), "ada"))["state"] == state


STATES = ("scheduled", "available", "executing")


@pytest.mark.parametrize("state", STATES)
async def test_it_is_cancelled_once_that_is_committed(
    shop: Workshop, shelf: HeldShelf, state: str
) -> None:
    await bring_to(shop, state)
    shelf.mode = "waits"
    first, second = await cancelling(shop), await cancelling(shop)
    assert not first.done()
    shown = await shop.tasks.document(uid(1), "ada")
    assert (shown["state"], shown["result"], shown["finished_at"]) == (state, None, None)
    shelf.commit()
    for answer in (first, second):
        document = await answer
        assert (document["state"], document["durable"]) == ("cancelled", True)
        assert document["result"]["finish_reason"] == "cancelled"
    with pytest.raises(Conflict, match="is cancelled"):
        await shop.tasks.cancel(uid(1), "ada")


@pytest.mark.parametrize("state", STATES)
async def test_on_a_disk_that_is_slow_it_is_being_cancelled(
    shop: Workshop, shelf: HeldShelf, state: str
) -> None:
    await bring_to(shop, state)
    shelf.mode = "waits"
    first = await cancelling(shop)
    await settle(shop, CANCEL_MS - 1)
    second = await cancelling(shop)
    assert not first.done()
    await settle(shop, 1)
    for answer in (first, second):
        document = await answer
        assert (document["state"], document["result"]) == ("cancelling", None)
    assert (await shop.tasks.document(uid(1), "ada"))["state"] == state
    third = await cancelling(shop)
    shelf.commit()
    assert (await third)["state"] == "cancelled"


async def test_on_a_disk_that_refuses_it_is_cancelled_and_says_so(
    shop: Workshop, shelf: HeldShelf
) -> None:
    await bring_to(shop, "executing")
    shelf.refuse()
    document = await (await cancelling(shop))
    assert (document["state"], document["durable"]) == ("cancelled", False)


async def test_on_a_disk_that_is_behind_it_is_being_cancelled_until_it_has_caught_up(
    shop: Workshop, shelf: HeldShelf
) -> None:
    await bring_to(shop, "executing")
    shelf.mode = "full"
    first = await cancelling(shop)
    await settle(shop, CANCEL_MS)
    assert (await first)["state"] == "cancelling"
    second = await cancelling(shop)
    shelf.commit()
    await settle(shop, WRITE_AGAIN_MS)
    assert (await second)["state"] == "cancelled"


async def test_of_a_task_that_is_just_ending_the_end_decides(
    shop: Workshop, shelf: HeldShelf
) -> None:
    await bring_to(shop, "executing")
    shelf.mode = "waits"
    shop.finish(1)
    early = await cancelling(shop)
    await settle(shop, CANCEL_MS)
    with pytest.raises(Conflict, match="just ending"):
        await early
    late = await cancelling(shop)
    shelf.commit()
    with pytest.raises(Conflict, match="is completed"):
        await late


async def test_a_crash_meanwhile_changes_nothing_for_who_waits(
    shop: Workshop, shelf: HeldShelf
) -> None:
    await bring_to(shop, "executing")
    shelf.mode = "waits"
    answer = await cancelling(shop)
    shop.crash(1)
    await settle(shop)
    assert not answer.done()
    shelf.commit()
    assert (await answer)["state"] == "cancelled"


async def test_a_task_that_breaks_at_every_command_is_no_defect_of_the_request(
    shop: Workshop, shelf: HeldShelf
) -> None:
    await bring_to(shop, "executing")
    shelf.mode = "waits"
    answer = await cancelling(shop)
    for _ in range(COMMAND_TRIES):
        shop.crash(1)
        await settle(shop)
    with pytest.raises(Overloaded):
        await answer


async def test_a_retry_that_the_disk_keeps_waiting_is_answered_in_time(
    shop: Workshop, shelf: HeldShelf
) -> None:
    await bring_to(shop, "executing")
    shop.finish(1)
    await settle(shop)
    shelf.mode = "waits"
    answer = asyncio.create_task(shop.tasks.retry(uid(1), "ada"))
    await settle(shop)
    await settle(shop, CALL_MS)
    with pytest.raises(Overloaded, match="ask again"):
        await answer


def heard(socket: Client) -> list[tuple[str, Any]]:
    frames = [json.loads(frame) for frame in socket.run()]
    return [
        (payload["status"], payload["response"]["task"]["state"])
        if event == "phx_reply"
        else (event, None)
        for *_, event, payload in frames
    ]


async def test_a_push_is_answered_before_the_channel_closes(
    shop: Workshop, shelf: HeldShelf
) -> None:
    await bring_to(shop, "executing")
    socket = shop.socket(f"task:{uid(1)}")
    socket.send("1", "phx_join", {})
    assert heard(socket) == [("ok", "executing")]
    shelf.mode = "waits"
    socket.send("2", "cancel", {})
    assert heard(socket) == []
    await settle(shop, CANCEL_MS)
    assert heard(socket) == [("ok", "cancelling")]
    socket.send("3", "cancel", {})
    assert heard(socket) == []
    shelf.commit()
    assert heard(socket) == [("ok", "cancelled"), ("cancelled", None), ("phx_close", None)]
