"""Whose turn it is where there are several models: lines of their own, one account a client."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.actors import ChildSpec, Ref, Supervisor
from edge.engine.messages import Ready
from edge.errors import InvalidRequest
from edge.inference import (
    Abort,
    EngineDown,
    EngineGivenUp,
    EngineLoading,
    EngineUp,
    Subscribe,
)
from edge.inference.model_file import ModelFile
from edge.inference.pool import ENGINE_NAME, SUPERVISOR_NAME, Limits, Loadable, Pool
from edge.services.task.forecast import UNLOADED, Owner
from edge.services.task.messages import ModelRefused
from edge.services.task.queue_page import QueuePages, read_cursor
from edge.services.task.turns import EngineFollower, Turn, Turns
from edge.services.task.wire import QueuePosition
from edge.tasks.line import Entry
from edge.tasks.task import Options, Request, State, Task
from tests.support.ears import Ear, Quiet

SHARE_MS = 1_000
PUSH_MS = 500


def loadable(name: str, needs_bytes: int) -> Loadable:
    model = ModelFile(name, Path(f"/m/{name}.gguf"), needs_bytes, 512)
    return Loadable(model, lambda _safe: (name,), needs_bytes, 512)


ALL = {each.name: each for each in (loadable("own", 4), loadable("a", 4), loadable("b", 6))}


def up(slots: int, model: str) -> EngineUp:
    ready = Ready(model, 0, 0, 100, 4_096, slots, False, "a script", False)
    return EngineUp(ready, 7, engine=Pool.other_engine(model) if model != "own" else ENGINE_NAME)


class Desk(Quiet):
    """Turns of three models that hardly fit beside each other, whose engines only listen."""

    def __init__(self) -> None:
        super().__init__()
        self.engine, self.engine_ref = self.ear(ENGINE_NAME)
        self.engines: dict[str, Ear] = {}
        self.system.spawn(Supervisor(budget="child"), name=SUPERVISOR_NAME)
        self.pool = Pool(
            ALL["own"], self.system, Limits(10, SHARE_MS, 60_000), find=self._find, spec=self._spec
        )
        self.turns = Turns(
            self.system, waiting_max=100, step_ms=0, fallback_slots=1, pool=self.pool
        )
        self.follower = self.system.spawn(EngineFollower(self.turns), name="follower")
        self.ears: dict[str, Ear] = {}
        self.tasks: dict[str, Task] = {}
        self.work()

    async def _find(self, wanted: str | None) -> Loadable:
        if wanted not in ALL:
            raise InvalidRequest(f"there is no {wanted}")
        return ALL[wanted]

    def _spec(self, wanted: Loadable, name: str) -> ChildSpec:
        def start() -> Ear:
            self.engines[wanted.name] = Ear()
            return self.engines[wanted.name]

        return ChildSpec(name, start)

    async def wait(
        self, name: str, model: str | None = None, client: str = "ada", *, most: int = 10,
        may_fall_back: bool = False,
    ) -> None:  # fmt: skip
        """A task of this model stands in line."""
        if model is not None:
            await self.pool.look_up(model)
        self.ears[name], ref = self.ear()
        options = Options(max_tokens=most, ignore_eos=True)
        request = Request(name, client, "hello", None, model, options)
        task = self.tasks[name] = Task(request, State.AVAILABLE, 0)
        self.turns.enqueue(
            Entry(name, client, 0, 1, most, Owner(task, ref), model=model,
                  may_fall_back=may_fall_back)
        )  # fmt: skip
        self.work()

    def hears(self, news: EngineUp | EngineDown | EngineGivenUp) -> None:
        """The follower of the engines is told."""
        self.follower.send(news)
        self.work()

    def turn(self, name: str) -> Turn | None:
        turns = self.ears[name].of(Turn)
        return turns[-1] if turns else None

    def end(self, name: str) -> None:
        """The task is answered."""
        turn = self.turn(name)
        assert turn is not None
        self.tasks[name].state = State.COMPLETED
        self.turns.done(turn.key, self.tasks[name])
        self.work()

    def ref(self, engine: str) -> Ref | None:
        return self.system.registry.whereis(engine)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_each_model_has_slots_of_its_own_and_its_own_engine(desk: Desk) -> None:
    desk.hears(up(1, "own"))
    await desk.wait("one")
    await desk.wait("two")
    await desk.wait("other", "a")
    assert desk.turn("two") is None
    assert desk.turn("other") is None, "its model is not loaded yet"
    assert len(desk.engines["a"].of(Subscribe)) == 1
    desk.hears(up(2, "a"))
    first, other = desk.turn("one"), desk.turn("other")
    assert first is not None
    assert other is not None
    assert (first.engine, other.engine) == (ENGINE_NAME, Pool.other_engine("a"))
    assert first.key != other.key
    assert (desk.turns.slots, desk.turns.on_engine, desk.turns.waiting) == (3, 2, 1)
    assert {each.model: each.running for each in desk.turns.models()} == {"own": 1, "a": 1}


async def test_a_client_has_one_account_for_all_models(desk: Desk) -> None:
    desk.hears(up(0, "own"))
    for number in range(5):
        await desk.wait(f"many {number}", "a", "ada", most=100)
    await desk.wait("ada's", None, "ada")
    await desk.wait("bob's", None, "bob")
    order = [entry.task_id for entry in desk.turns.lane(None).line.in_order()]
    assert order == ["bob's", "ada's"]


async def test_a_place_is_told_among_those_of_the_same_model(desk: Desk) -> None:
    desk.hears(up(0, "own"))
    for name in ("own 1", "own 2"):
        await desk.wait(name)
    await desk.wait("a 1", "a")
    places = {name: desk.turns.position(name) for name in desk.ears}
    assert [place.position for place in places.values() if place] == [1, 2, 1]
    assert desk.turns.position("nobody") is None


async def test_estimates_know_that_a_model_has_to_be_loaded(desk: Desk) -> None:
    desk.hears(up(1, "own"))
    await desk.wait("own")
    await desk.wait("a", "a")
    desk.hears(EngineDown("the engine is loading its model", 0, Pool.other_engine("a")))
    place = desk.turns.position("a")
    assert place is not None
    assert place.eta_ms is not None
    assert place.eta_ms >= 3_000
    assert place.waits_for == "the engine is loading its model"


async def test_one_for_which_there_is_no_room_yet_says_so(desk: Desk) -> None:
    desk.hears(up(1, "own"))
    await desk.wait("own")
    await desk.wait("a", "a")
    desk.hears(up(1, "a"))
    await desk.wait("b", "b")
    place = desk.turns.position("b")
    assert place is not None
    assert place.eta_ms is None
    assert "no room" in str(place.waits_for)


async def test_those_that_do_not_fit_take_turns_and_nobody_is_lost(desk: Desk) -> None:
    desk.hears(up(1, "own"))
    await desk.wait("own 1")
    await desk.wait("own 2")
    await desk.wait("a 1", "a")
    desk.hears(up(1, "a"))
    await desk.wait("b 1", "b")
    desk.end("a 1")
    assert desk.ref(Pool.other_engine("a")) is None, "it is idle, and there is room without it"
    desk.hears(up(1, "b"))
    assert desk.turn("b 1") is not None
    await desk.wait("a 2", "a")
    desk.advance(SHARE_MS + 1)
    assert desk.turns.models()[0].state == "held", "the own was used longest ago"
    desk.end("own 1")
    assert desk.turn("own 2") is None
    desk.hears(EngineDown("the engine was stopped", None, ENGINE_NAME))
    desk.hears(up(1, "a"))
    assert desk.turn("a 2") is not None
    desk.end("b 1")
    assert desk.ref(Pool.other_engine("b")) is None
    desk.hears(up(1, "own"))
    assert desk.turn("own 2") is not None


async def test_one_that_cannot_be_loaded_is_refused_to_its_own_tasks_alone(desk: Desk) -> None:
    desk.hears(up(0, "own"))
    await desk.wait("own")
    await desk.wait("a 1", "a")
    await desk.wait("a 2", "a")
    desk.hears(EngineGivenUp("it is broken", engine=Pool.other_engine("a")))
    for name in ("a 1", "a 2"):
        assert desk.ears[name].of(ModelRefused) == [ModelRefused("it is broken")]
    assert not desk.ears["own"].heard
    assert desk.turns.waiting == 1
    assert desk.ref(Pool.other_engine("a")) is None
    assert desk.turns.lane("a").forecast.engine.why == UNLOADED
    await desk.wait("a 3", "a")
    assert desk.ref(Pool.other_engine("a")) is not None, "the next who wants it may be luckier"


async def test_a_dead_engine_stops_no_other(desk: Desk) -> None:
    desk.hears(up(1, "own"))
    await desk.wait("a 1", "a")
    desk.hears(up(1, "a"))
    desk.hears(EngineDown("it died", 100, Pool.other_engine("a")))
    assert (desk.turns.lane("a").line.slots, desk.turns.slots) == (0, 1)
    assert desk.turns.engine == "ready"
    await desk.wait("own")
    assert desk.turn("own") is not None


async def test_who_dies_with_its_turn_has_it_aborted_on_its_own_engine(desk: Desk) -> None:
    desk.hears(up(1, "own"))
    await desk.wait("a 1", "a")
    desk.hears(up(1, "a"))
    turn = desk.turn("a 1")
    assert turn is not None
    desk.ears["a 1"].ref.kill()
    desk.work()
    assert desk.engines["a"].of(Abort) == [Abort(turn.key)]
    assert not desk.engine.of(Abort)


async def test_an_own_model_that_has_made_room_is_well(desk: Desk) -> None:
    desk.hears(up(1, "own"))
    desk.advance(1)
    await desk.wait("a", "a")
    desk.hears(up(1, "a"))
    await desk.wait("b", "b")
    desk.hears(EngineDown("the engine was stopped", None, ENGINE_NAME))
    assert desk.turns.engine == UNLOADED
    assert desk.turns.engine_is_well
    assert not desk.turns.outage
    desk.hears(up(1, "b"))
    desk.end("a")
    await desk.wait("own")
    desk.hears(EngineDown("the engine is loading its model", 0, ENGINE_NAME))
    assert desk.turns.engine_is_well, "it is loaded because somebody wants it"


async def test_a_new_follower_follows_all_engines(desk: Desk) -> None:
    desk.hears(up(1, "own"))
    await desk.wait("a", "a")
    desk.follower.kill()
    desk.work()
    desk.follower = desk.system.spawn(EngineFollower(desk.turns), name="follower")
    desk.work()
    assert [each.engine for each in desk.engines["a"].of(Subscribe)] == [Pool.other_engine("a")] * 2


async def test_pages_of_the_queue_have_those_of_all_models(desk: Desk) -> None:
    desk.hears(up(1, "own"))
    for number in range(3):
        await desk.wait(f"own {number}")
    await desk.wait("a 0", "a")
    desk.hears(up(1, "a"))
    for number in range(1, 4):
        await desk.wait(f"a {number}", "a")
    pages, found, after = QueuePages(desk.turns, desk.clock), [], None
    while True:
        page = pages.page("ada", None if after is None else read_cursor(after), 2)
        found += [(row["task_id"], row["position"]) for row in page.rows]
        after = page.next
        if after is None:
            break
    assert found == [
        ("own 0", None), ("a 0", None), ("own 1", 1), ("own 2", 2), ("a 1", 1), ("a 2", 2),
        ("a 3", 3),
    ]  # fmt: skip


async def test_a_pause_is_for_all_models(desk: Desk) -> None:
    desk.hears(up(1, "own"))
    desk.turns.pause()
    await desk.wait("a", "a")
    desk.hears(up(1, "a"))
    assert desk.turn("a") is None
    desk.turns.resume()
    desk.work()
    assert desk.turn("a") is not None


async def test_the_places_of_the_fallback_are_for_all(desk: Desk) -> None:
    desk.turns.set_outage(True)
    await desk.wait("own", may_fall_back=True)
    await desk.wait("a", "a", may_fall_back=True)
    desk.turns.lane("a").line.outage = True
    desk.turns.enqueue(desk.turns.lane("a").line.entry("a"))  # type: ignore[arg-type]  # it waits
    desk.work()
    assert desk.turns.on_fallback == 1
    assert desk.turn("a") is None


async def test_who_waits_for_a_model_hears_how_far_it_is_loaded(desk: Desk) -> None:
    desk.hears(up(1, "own"))
    await desk.wait("a", "a")
    engine = Pool.other_engine("a")
    desk.hears(EngineDown("the engine is loading its model", 0, engine))
    desk.turns.watch(desk.tasks["a"])
    for percent in (10, 60):
        desk.follower.send(EngineLoading(percent, engine))
        desk.advance(PUSH_MS)
    told = [each.told() for each in desk.ears["a"].of(QueuePosition)]
    assert [(each.get("phase"), each.get("loaded")) for each in told] == [
        ("loading", 0.1), ("loading", 0.6)
    ]  # fmt: skip
    desk.hears(up(0, "a"))
    place = desk.turns.position("a")
    assert place is not None
    assert "phase" not in place.told()


async def test_a_new_follower_follows_an_own_engine_that_is_stopped(desk: Desk) -> None:
    desk.hears(up(1, "own"))
    await desk.wait("a", "a")
    desk.hears(up(1, "a"))
    await desk.wait("b", "b")
    desk.hears(EngineDown("the engine was stopped", None, ENGINE_NAME))
    heard = len(desk.engine.of(Subscribe))
    desk.follower.kill()
    desk.work()
    desk.system.spawn(EngineFollower(desk.turns), name="follower")
    desk.work()
    assert len(desk.engine.of(Subscribe)) == heard + 1
