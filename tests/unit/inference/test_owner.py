"""What all owners of an engine process have in common, on a process that is played."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest

from edge.actors import Crash, Ref, System
from edge.clock import NS_PER_MS, ManualClock
from edge.engine.messages import FromEngine, LoadFailed, Ping, Pong, Shutdown
from edge.inference import LifecyclePolicy
from edge.inference import lifecycle as life
from edge.inference.owner import EngineOwner, TimeUp
from edge.telemetry import Telemetry
from tests.support.played_process import Played
from tests.support.rows import Heard


class Owner(EngineOwner):
    """Writes down what it hears."""

    def __init__(self, played: Played, telemetry: Telemetry) -> None:
        super().__init__(
            lambda safe: ("safe",) if safe else ("fast",),
            telemetry=telemetry,
            policy=LifecyclePolicy(backoff_base_ms=10, jitter=0.0),
            rng=Random(0),
            start_process=played.start,
        )
        self.log: list[object] = []

    def started(self) -> None:
        self.apply(life.Start())

    def handle(self, message: object) -> None:
        if isinstance(message, TimeUp):
            self.time_up(message)

    def received(self, message: FromEngine) -> None:
        if isinstance(message, Pong) and message.nonce < 0:
            raise ValueError("a defect of the owner's")
        self.log.append(message)

    def lost(self, reason: str, *, own_fault: bool) -> None:
        self.log.append(("lost", reason, own_fault))

    def at_work(self) -> str:
        return ", at work"

    def loading(self) -> None:
        self.log.append("loading")

    def backing_off(self, reason: str, delay_ms: int) -> None:
        self.log.append(("backing off", delay_ms))

    def gave_up(self, reason: str, *, refused: bool) -> None:
        self.log.append(("gave up", reason, refused))

    def has_stopped(self) -> None:
        self.log.append("stopped")


class World:
    def __init__(self) -> None:
        self.clock, self.played, self.heard = ManualClock(), Played(), Heard()
        self.system = System(self.clock, asyncio.get_running_loop().call_soon)
        self.owner = Owner(self.played, self.heard.telemetry)
        self.ref: Ref = self.system.spawn(self.owner)

    async def pass_ms(self, ms: int) -> None:
        self.clock.advance(ms * NS_PER_MS)
        await asyncio.sleep(0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    made.ref.kill()


async def test_a_process_that_dies_is_started_again(world: World) -> None:
    assert world.owner.came_up("m", 1)
    world.played.exit(-11, "it crashed")
    assert world.owner.log == [
        "loading", ("lost", "it crashed, at work", True), ("backing off", 10),
    ]  # fmt: skip
    await world.pass_ms(10)
    assert world.owner.log[-1] == "loading"
    assert world.owner.deaths == 1
    (died,) = world.heard.of("engine.died")
    assert died.fields["reason"] == "it crashed, at work"


async def test_what_comes_too_late_is_not_up(world: World) -> None:
    world.owner.stop_engine()
    assert not world.owner.came_up("m", 1)


async def test_a_model_that_cannot_be_used_is_given_up_with_its_sentence(world: World) -> None:
    world.played.say(LoadFailed("no tensors"))
    world.played.exit(1, "it exited")
    assert world.owner.log[1:] == [("lost", "no tensors", False), ("gave up", "no tensors", True)]
    world.owner.start_again()
    assert world.owner.log[-1] == "loading"


async def test_it_is_asked_for_signs_of_life(world: World) -> None:
    world.owner.came_up("m", 1)
    await world.pass_ms(world.owner.life.policy.tick_ms)
    assert world.played.heard.get_nowait() == Ping(1)
    world.played.say(Pong(1, 0, 1))
    assert world.owner.log[-1] == Pong(1, 0, 1)


async def test_a_defect_in_what_is_done_with_a_message_is_the_actors_end(world: World) -> None:
    world.owner.came_up("m", 1)
    world.played.say(Pong(-1, 0, 1))
    assert not world.ref.alive
    assert isinstance(world.ref.reason, Crash)


async def test_an_orderly_end_waits_for_the_process(world: World) -> None:
    world.owner.came_up("m", 1)
    world.ref.stop()
    await asyncio.sleep(0)
    assert world.played.heard.get_nowait() == Shutdown()
    assert world.ref.alive
    world.played.exit(0, "told to")
    assert world.owner.log[-1] == "stopped"
    assert not world.ref.alive
