"""The engines of several models, as who gives turns and who follows engines see them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge.actors import ChildSpec, Supervisor
from edge.errors import InvalidRequest
from edge.inference.model_file import ModelFile
from edge.inference.pool import (
    ENGINE_NAME,
    FOLLOWER_NAME,
    FOR_EVER,
    SUPERVISOR_NAME,
    Limits,
    Loadable,
    Pool,
)
from edge.inference.protocol import FollowEngine, StartEngine, StopEngine
from edge.inference.residency import Place
from tests.support.ears import Ear, Quiet

SHARE_MS = 1_000
KEEP_MS = 5_000


def loadable(name: str, needs_bytes: int) -> Loadable:
    model = ModelFile(name, Path(f"/m/{name}.gguf"), needs_bytes, 512)
    return Loadable(model, lambda _safe: (name,), needs_bytes, 512)


OWN = loadable("own", 4)
ALL = {each.name: each for each in (OWN, loadable("a", 3), loadable("b", 5), loadable("huge", 99))}


class House(Quiet):
    """A pool of ten bytes, its engines, which only listen, and what it says."""

    def __init__(self, budget_bytes: int = 10) -> None:
        super().__init__()
        self.own, self.own_ref = self.ear(ENGINE_NAME)
        self.follower, _ = self.ear(FOLLOWER_NAME)
        self.engines: dict[str, Ear] = {}
        self.system.spawn(Supervisor(budget="child"), name=SUPERVISOR_NAME)
        self.turns: list[tuple[str, bool]] = []
        self.refused: list[tuple[str, str]] = []
        self.lookups: list[str | None] = []
        self.pool = Pool(
            OWN, self.system, Limits(budget_bytes, SHARE_MS, KEEP_MS), find=self._find,
            spec=self._spec,
        )  # fmt: skip
        self.pool.on_turns = lambda model: self.turns.append((model, self.pool.gives_turns(model)))
        self.pool.on_refused = lambda model, reason: self.refused.append((model, reason))
        self.work()

    async def _find(self, wanted: str | None) -> Loadable:
        self.lookups.append(wanted)
        if wanted not in ALL:
            raise InvalidRequest(f"there is no {wanted}")
        return ALL[wanted]

    def _spec(self, wanted: Loadable, name: str) -> ChildSpec:
        def start() -> Ear:
            self.engines[wanted.name] = Ear()
            return self.engines[wanted.name]

        return ChildSpec(name, start)

    async def want(self, model: str, keep_alive_ms: int | None = None) -> None:
        """Somebody names it, and then a task of it waits."""
        await self.pool.look_up(model)
        self.pool.wanted(model, keep_alive_ms)
        self.work()

    async def ready(self, model: str, keep_alive_ms: int | None = None) -> None:
        """In memory, and idle."""
        await self.want(model, keep_alive_ms)
        self.pool.up(model)
        self.pool.unwanted(model)

    def gone(self, model: str) -> bool:
        """Whether its engine was told to end, and has; then who follows it says so."""
        self.work()
        is_gone = self.system.registry.whereis(self.pool.engine_name(model)) is None
        if is_gone:
            self.pool.lost(model)
        return is_gone


@pytest.fixture
def house() -> House:
    return House()


async def test_the_own_model_is_there_from_the_start(house: House) -> None:
    assert house.pool.place("own") is Place.LOADING
    assert not house.own.heard, "its engine is started by the node"
    house.pool.up("own")
    assert house.pool.gives_turns("own")
    assert house.pool.engine_name("own") == ENGINE_NAME
    assert house.pool.model_of(house.pool.engine_name("a")) == "a"


async def test_another_is_loaded_when_a_task_of_it_waits(house: House) -> None:
    await house.want("a")
    assert house.follower.of(FollowEngine) == [FollowEngine(house.pool.engine_name("a"))]
    assert house.pool.place("a") is Place.LOADING
    assert not house.pool.gives_turns("a")
    house.pool.up("a")
    assert house.pool.gives_turns("a")
    assert [each.name for each in house.pool.residents()] == ["own", "a"]
    assert house.pool.used_bytes == 7


async def test_one_that_nobody_uses_goes_after_a_while(house: House) -> None:
    await house.ready("a")
    house.advance(KEEP_MS - 1)
    assert house.pool.gives_turns("a")
    house.advance(2)
    assert house.turns == [("a", False)]
    assert house.gone("a")
    assert house.pool.place("a") is None


@pytest.mark.parametrize("keep_alive_ms", [0, FOR_EVER])
async def test_a_task_says_for_how_long_its_model_stays(house: House, keep_alive_ms: int) -> None:
    await house.ready("a", keep_alive_ms)
    house.advance(100 * KEEP_MS if keep_alive_ms else 0)
    assert house.pool.gives_turns("a") is (keep_alive_ms == FOR_EVER)


async def test_the_own_one_stays_while_there_is_room_and_comes_back(house: House) -> None:
    house.pool.up("own")
    house.advance(100 * KEEP_MS)
    assert house.pool.gives_turns("own")
    await house.ready("b", FOR_EVER)
    house.advance(1)
    await house.want("a")
    assert house.own.heard == [StopEngine()]
    assert house.pool.place("own") is Place.LEAVING
    house.pool.stopped("own")
    house.work()
    house.pool.up("a")
    house.pool.unwanted("a")
    assert house.pool.place("own") is None
    house.pool.wanted("own", None)
    assert house.gone("b"), "it was used longest ago"
    house.work()
    assert house.own.heard == [StopEngine(), StartEngine()]


async def test_two_that_do_not_fit_take_turns() -> None:
    house = House(budget_bytes=7)
    house.pool.up("own")
    house.pool.wanted("own", None)
    house.pool.began("own")
    await house.want("b")
    assert house.pool.place("b") is None, "it does not fit beside the own, which has its share"
    house.advance(SHARE_MS)
    assert house.turns == [("own", False)]
    assert house.pool.place("own") is Place.HELD
    house.pool.ended("own")
    house.work()
    assert house.own.heard == [StopEngine()]
    house.pool.stopped("own")
    assert house.pool.place("b") is Place.LOADING


async def test_one_that_cannot_be_loaded_is_refused_and_may_be_tried_again(house: House) -> None:
    await house.want("a")
    house.pool.failed("a", "it is broken")
    assert house.refused == [("a", "it is broken")]
    assert house.gone("a")
    await house.want("a")
    assert house.pool.place("a") is Place.LOADING


async def test_one_that_is_too_large_is_refused_at_once(house: House) -> None:
    await house.want("huge")
    assert [model for model, _ in house.refused] == ["huge"]
    assert not house.engines


async def test_an_own_one_that_fails_is_refused_to_nobody(house: House) -> None:
    house.pool.wanted("own", None)
    house.pool.failed("own", "it is broken")
    assert not house.refused
    assert house.pool.place("own") is Place.LOADING


async def test_an_own_one_is_loaded_whatever_it_takes() -> None:
    house = House(budget_bytes=1)
    house.pool.wanted("own", None)
    assert not house.refused
    assert house.pool.budget_bytes == OWN.needs_bytes


async def test_an_engine_whose_actor_has_failed_for_good_is_gone(house: House) -> None:
    await house.want("a")
    supervisor = house.system.registry.whereis(SUPERVISOR_NAME)
    assert supervisor is not None
    Supervisor.of(supervisor).terminate_child(house.pool.engine_name("a"))
    house.work()
    house.pool.lost("a")
    assert [model for model, _ in house.refused] == ["a"]
    assert house.pool.place("a") is None


async def test_an_engine_that_comes_up_on_its_way_out_is_stopped_again(house: House) -> None:
    house.pool.up("own")
    await house.ready("b", FOR_EVER)
    house.advance(1)
    await house.want("a")
    house.pool.up("own")
    house.work()
    assert house.own.heard == [StopEngine(), StopEngine()]


async def test_a_model_of_an_earlier_life_is_looked_for(house: House) -> None:
    house.pool.wanted("a", None)
    house.pool.wanted("a", None)
    house.pool.wanted("nobody", None)
    house.pool.wanted("b", None)
    house.pool.unwanted("b")
    for _ in range(3):
        await asyncio.sleep(0)
    assert house.lookups == ["a", "nobody", "b"]
    assert house.pool.place("a") is Place.LOADING
    assert house.refused == [("nobody", "there is no nobody")]
    assert house.pool.place("b") is None, "nobody waits for it any more"


async def test_without_a_supervisor_nobody_waits_for_ever() -> None:
    house = House()
    supervisor = house.system.registry.whereis(SUPERVISOR_NAME)
    assert supervisor is not None
    supervisor.kill()
    house.work()
    await house.want("a")
    assert [model for model, _ in house.refused] == ["a"]
    assert house.pool.place("a") is None


async def test_a_node_that_ends_begins_nothing(house: House) -> None:
    await house.ready("a")
    house.pool.wanted("nobody", None)
    house.pool.close()
    house.pool.wanted("b", None)
    await asyncio.sleep(0)
    house.work()
    assert house.clock.timers_pending() == 0
    assert set(house.engines) == {"a"}
    assert not house.refused
