"""Accepting tasks on a disk that refuses, is full or is slow; reading them from one that fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import pytest

from edge.clock import NS_PER_MS
from edge.conversation import Message
from edge.errors import LimitReached, Overloaded, StorageError
from edge.services.task import tasks
from edge.services.task.turns import UNKNOWN_MS
from edge.storage import StoredTask
from edge.tasks.task import Options, Request
from tests.support.rows import uid
from tests.support.workshop import KEEP_MS, Workshop
from tests.unit.services.task.test_end_commit import HeldShelf


def request(number: int, key: str | None = None) -> Request:
    return Request(uid(number), "ada", str(number), None, None, Options(), idempotency_key=key)


async def submit(shop: Workshop, number: int, key: str | None = None) -> dict[str, Any]:
    return await shop.tasks.submit(request(number, key), own_id=False)


async def let_run() -> None:
    """Whatever waits for nothing runs."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_disk_that_takes_no_more_is_no_room() -> None:
    shelf = HeldShelf()
    shop = Workshop(shelf=shelf)
    shelf.mode = "full"
    with pytest.raises(Overloaded):
        await submit(shop, 1, "key")
    assert shop.tasks.live(uid(1)) is None
    shelf.mode = "works"
    assert (await submit(shop, 2, "key"))["task_id"] == uid(2)


@pytest.mark.parametrize("refusal", [None, StorageError("the disk is full")])
async def test_an_answer_says_what_became_of_its_own_commit(refusal: StorageError | None) -> None:
    """Whatever the disk does by the time of the answer."""
    shop = Workshop()
    shop.shelf.refusal = refusal
    assert (await submit(shop, 1))["durable"] is (refusal is None)


async def test_who_waited_for_a_submission_that_failed_is_accepted_itself() -> None:
    class Moody(HeldShelf):
        async def find_idempotent(self, client: str, key: str) -> str | None:
            await asyncio.sleep(0)
            return None

    shelf = Moody()
    shop = Workshop(shelf=shelf)
    shelf.mode = "waits"
    first = asyncio.create_task(submit(shop, 1, "key"))
    await let_run()
    second = asyncio.create_task(submit(shop, 2, "key"))
    await let_run()
    first.cancel()
    await asyncio.wait([first])
    shelf.commit()
    assert (await second)["task_id"] == uid(2)


async def test_a_task_that_cannot_be_read_is_not_one_that_is_missing() -> None:
    class Unreadable(HeldShelf):
        async def get(self, task_id: str, *, asker: str = "") -> StoredTask | None:
            raise StorageError("cannot be read")

    shop = Workshop(shelf=Unreadable())
    socket = shop.socket(f"task:{uid(1)}")
    socket.send("1", "phx_join", {})
    socket.run()
    await let_run()
    ((*_, event, payload),) = [json.loads(frame) for frame in socket.run()]
    assert event == "phx_reply"
    assert payload == {"status": "error", "response": {"reason": "join crashed"}}


async def test_a_task_without_actor_and_row_is_not_said_to_be_missing() -> None:
    shelf = HeldShelf()
    shop = Workshop(shelf=shelf)
    shelf.refuse()
    await submit(shop, 1)
    node = shop.system.registry.whereis("node")
    assert node is not None
    node.kill()
    shop.work()
    with pytest.raises(StorageError, match="not written down yet"):
        await shop.tasks.document(uid(1), "ada")


def asking(number: int, chars: int) -> Request:
    return Request(uid(number), "ada", "x" * chars, None, None, Options())


async def test_requests_in_memory_have_so_many_bytes() -> None:
    one = asking(1, 1_000).size_bytes
    shop = Workshop(held_bytes_max=2 * one)
    shop.work()
    for number in (1, 2):
        await shop.tasks.submit(asking(number, 1_000), own_id=True)
    with pytest.raises(Overloaded, match=f"{2 * one} bytes of requests are in memory"):
        await shop.tasks.submit(asking(3, 1), own_id=True)
    # Who was refused has taken nothing, and who ends gives its place back in time.
    shop.work()
    shop.ask("cancel", 1)
    shop.clock.advance(KEEP_MS * NS_PER_MS)
    shop.work()
    await shop.tasks.submit(asking(3, 1_000), own_id=True)


async def test_a_single_request_always_has_room() -> None:
    shop = Workshop(held_bytes_max=1)
    await shop.tasks.submit(asking(1, 1_000), own_id=True)


async def test_a_request_that_cannot_be_written_takes_no_room() -> None:
    shelf = HeldShelf()
    shop = Workshop(shelf=shelf, held_bytes_max=1)
    shelf.mode = "full"
    with pytest.raises(Overloaded, match="more waits for the disk"):
        await shop.tasks.submit(asking(1, 1_000), own_id=True)
    shelf.mode = "works"
    await shop.tasks.submit(asking(2, 1_000), own_id=True)


async def test_what_was_accepted_before_comes_back_whatever_the_bytes() -> None:
    shop = Workshop()
    for number in range(4):
        await shop.submit(number)
    again = Workshop(held_bytes_max=1)
    again.shelf.left_behind = [
        StoredTask(
            row.task_id, row.version, row.state, 0, shop.shelf.specs[row.task_id], row.snapshot,
            row.client,
        )
        for row in shop.shelf.rows.values()
    ]  # fmt: skip
    assert await again.tasks.recover() == 4
    with pytest.raises(Overloaded, match="bytes of requests"):
        await again.submit(5)


def test_a_requests_bytes_are_those_of_its_texts() -> None:
    options = Options(stop=("stop" * 1_000,))
    small = Request(uid(1), "ada", None, (Message("user", "x"),), None, Options())
    large = Request(uid(1), "ada", None, (Message("user", "🦊" * 1_000),), None, options)
    assert 8_000 <= large.size_bytes - small.size_bytes < 9_000


# ---- places and limits


async def test_whom_one_commit_is_about_are_told_places_of_their_own() -> None:
    """Whoever of them goes before whom."""
    shelf = HeldShelf()
    shop = Workshop(shelf=shelf)
    shop.turns.pause()
    shelf.mode = "waits"
    submitted = [
        asyncio.create_task(shop.tasks.submit(sized(number, priority=9 - number), own_id=True))
        for number in range(10)
    ]
    await let_run()
    shelf.commit()
    answers = await asyncio.gather(*submitted)
    assert [each["position"] for each in answers] == list(range(10, 0, -1))


def sized(number: int, max_tokens: int = 100, **more: Any) -> Request:
    return Request(uid(number), "ada", "hi", None, None, Options(max_tokens=max_tokens), **more)


async def refusal(shop: Workshop, request: Request) -> Overloaded:
    with pytest.raises(Overloaded) as caught:
        await shop.tasks.submit(request, own_id=True)
    return caught.value


async def test_who_has_all_it_may_is_told_when_the_first_of_its_own_ends() -> None:
    shop = Workshop(queue_per_client_max=2)
    shop.work()
    await shop.tasks.submit(sized(1), own_id=True, schedule_in_ms=60_000)
    await shop.tasks.submit(sized(2, 300), own_id=True, schedule_in_ms=90_000)
    refused = await refusal(shop, sized(3))
    assert isinstance(refused, LimitReached)
    assert 60_000 <= refused.retry_after_ms < 90_000
    # Another client is not concerned.
    await shop.submit(4, client="bob")
    shop.ask("cancel", 1)
    await shop.tasks.submit(sized(5), own_id=True)
    shop.work()
    live = shop.tasks._live_tasks[uid(5)]
    assert (await refusal(shop, sized(6))).retry_after_ms == shop.turns.left_ms(live.task)


async def test_tokens_in_flight_are_given_back_by_as_many_tasks_as_it_takes() -> None:
    each = Workshop().turns.expected_tokens(sized(0, 100))
    shop = Workshop(tokens_per_client_max=2 * each)
    for number, schedule_in_ms in ((1, 60_000), (2, 90_000)):
        await shop.tasks.submit(sized(number), own_id=True, schedule_in_ms=schedule_in_ms)
    one = await refusal(shop, sized(3))
    assert isinstance(one, LimitReached)
    assert 60_000 <= one.retry_after_ms < 90_000
    assert (await refusal(shop, sized(3, 250))).retry_after_ms >= 90_000


async def test_who_submits_too_fast_is_told_when_the_next_may_come() -> None:
    shop = Workshop(submissions_per_second_max=4, submissions_burst_max=2)
    for number in range(2):
        await shop.submit(number)
    refused = await refusal(shop, sized(2))
    assert (isinstance(refused, LimitReached), refused.retry_after_ms) == (True, 250)
    shop.clock.advance(249 * NS_PER_MS)
    assert (await refusal(shop, sized(2))).retry_after_ms == 1
    shop.clock.advance(NS_PER_MS)
    await shop.submit(2)


async def test_a_line_that_is_full_says_when_a_place_is_free() -> None:
    shop = Workshop(waiting_max=2)
    shop.work()
    for number in range(6):  # of which four run
        await shop.submit(number)
    refused = await refusal(shop, sized(7))
    assert not isinstance(refused, LimitReached)
    assert "as many as this node takes" in str(refused)
    place = shop.turns.position(uid(4))
    assert place is not None
    assert (place.position, place.eta_ms) == (1, refused.retry_after_ms)
    shop.turns.pause()
    assert (await refusal(shop, sized(7))).retry_after_ms == UNKNOWN_MS
    shop.finish(0)
    assert isinstance(await refusal(shop, sized(7)), Overloaded), "nobody's turn has come"
    shop.turns.resume()
    await shop.submit(7)


async def test_what_is_in_memory_besides_grows_with_the_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "HELD_BEYOND_QUEUE_MAX", 1)
    for waiting_max, held_max in ((1, 2), (3, 6)):
        shop = Workshop(waiting_max=waiting_max)
        for number in range(held_max):
            await shop.tasks.submit(sized(number), own_id=True, schedule_in_ms=60_000)
        refused = await refusal(shop, sized(100))
        assert "in memory" in str(refused)
        assert refused.retry_after_ms >= KEEP_MS


async def working(shop: Workshop, question: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """What it comes to, while everybody works."""
    asked = asyncio.create_task(question)
    while not asked.done():
        shop.work()
        await asyncio.sleep(0)
    return await asked


async def test_who_runs_again_counts_and_is_refused_before_anything_happens() -> None:
    shop = Workshop(queue_per_client_max=5)
    shop.work()
    for number in range(4):
        await shop.submit(number)
        shop.finish(number)
    for number in range(4, 8):
        await shop.submit(number)
    assert (await working(shop, shop.tasks.retry(uid(0), "ada")))["state"] == "available"
    with pytest.raises(LimitReached, match="of yours"):
        await working(shop, shop.tasks.retry(uid(1), "ada"))
    shown = await working(shop, shop.tasks.document(uid(1), "ada"))
    assert shown["state"] == "completed"
    assert shop.tasks._quotas.tasks("ada") == 5


async def test_one_that_has_left_the_memory_takes_no_room_when_it_is_refused() -> None:
    shop = Workshop(queue_per_client_max=1)
    shop.work()
    await shop.submit(0)
    shop.finish(0)
    shop.clock.advance(KEEP_MS * NS_PER_MS)
    shop.work()
    await shop.submit(1)
    with pytest.raises(LimitReached, match="of yours"):
        await working(shop, shop.tasks.retry(uid(0), "ada"))
    assert shop.tasks.live(uid(0)) is None
