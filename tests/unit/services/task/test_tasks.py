"""Accepting tasks on a disk that refuses, is full or is slow; reading them from one that fails."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from edge.clock import NS_PER_MS
from edge.errors import Overloaded, StorageError
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
    small = Request(uid(1), "ada", None, (("user", "x"),), None, Options())
    large = Request(uid(1), "ada", None, (("user", "🦊" * 1_000),), None, options)
    assert 8_000 <= large.size_bytes - small.size_bytes < 9_000
