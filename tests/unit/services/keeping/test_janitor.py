from __future__ import annotations

import asyncio

import pytest

from edge.actors import Crash, System
from edge.clock import NS_PER_MS, ManualClock
from edge.errors import StorageError
from edge.services.keeping.janitor import ROWS_BETWEEN, Janitor, Written
from edge.storage import Pruned
from tests.support.rows import Heard

EVERY_MS = 1_000


class House:
    """A janitor whose prunings end when the test says so."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.heard = Heard()
        self.system = System(self.clock, lambda _pump: None)
        self.prunings: list[asyncio.Future[Pruned]] = []
        janitor = Janitor(self.prune, self.heard.telemetry, EVERY_MS)
        self.ref = self.system.spawn(janitor)

    async def prune(self) -> Pruned:
        future: asyncio.Future[Pruned] = asyncio.get_running_loop().create_future()
        self.prunings.append(future)
        return await future

    async def settle(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
            self.system.run_pending()

    async def advance(self, ms: int) -> None:
        self.clock.advance(ms * NS_PER_MS)
        self.system.run_pending()
        await self.settle()


@pytest.fixture
async def house() -> House:
    return House()


async def test_it_prunes_in_its_turn_and_says_what_went(house: House) -> None:
    await house.advance(EVERY_MS - 1)
    assert house.prunings == []
    await house.advance(1)
    house.prunings[0].set_result(Pruned(3, 4))
    await house.settle()
    assert house.heard.of("store.pruned")[0].fields == {"tasks": 3, "versions": 4}
    await house.advance(EVERY_MS)
    assert len(house.prunings) == 2


async def test_many_new_rows_are_reason_enough(house: House) -> None:
    house.ref.send(Written(ROWS_BETWEEN - 1))
    await house.settle()
    assert house.prunings == []
    house.ref.send(Written(1))
    await house.settle()
    assert len(house.prunings) == 1


async def test_one_at_a_time(house: House) -> None:
    await house.advance(EVERY_MS)
    await house.advance(EVERY_MS)
    assert len(house.prunings) == 1


async def test_a_disk_that_refuses_is_said_and_tried_again(house: House) -> None:
    await house.advance(EVERY_MS)
    refused = StorageError("no space")
    house.prunings[0].set_exception(refused)
    await house.settle()
    assert house.heard.of("store.prune_failed")[0].fields == {"error": refused}
    await house.advance(EVERY_MS)
    assert len(house.prunings) == 2


async def test_a_defect_ends_the_actor_where_its_supervisor_hears_it(house: House) -> None:
    await house.advance(EVERY_MS)
    house.prunings[0].set_exception(ValueError("a defect"))
    await house.settle()
    assert isinstance(house.ref.reason, Crash)


async def test_its_end_ends_the_pruning(house: House) -> None:
    await house.advance(EVERY_MS)
    house.ref.kill()
    await house.settle()
    assert house.prunings[0].cancelled()
    house.ref.send(Written(ROWS_BETWEEN))
    await house.settle()
    assert len(house.prunings) == 1
