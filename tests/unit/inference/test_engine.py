"""What the engine's actor sends to its process, which is played."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from random import Random

import pytest

from edge.actors import Actor, CallTimeout, Ref, System
from edge.clock import SystemClock
from edge.engine.messages import (
    BACKEND_BROKEN_STATUS,
    CacheUse,
    Cancel,
    Count,
    Counted,
    Generate,
    Pong,
    Ready,
    Sampling,
)
from edge.inference import CountTokens, EngineActor, EngineLost, LifecyclePolicy, Run
from edge.telemetry import Event, Telemetry
from tests.support.played_process import Played

TICK_MS = 10


async def started(
    played: Played,
    policy: LifecyclePolicy | None = None,
    on_threads: Callable[[int], object] | None = None,
    on_cache_use: Callable[[CacheUse], object] | None = None,
    telemetry: Telemetry | None = None,
) -> tuple[System, Ref]:
    """An engine's actor whose process is played, and is ready."""
    loop = asyncio.get_running_loop()
    system = System(SystemClock(loop), loop.call_soon)
    engine = system.spawn(
        EngineActor(
            lambda _safe: (),
            telemetry=telemetry or Telemetry(),
            policy=policy or LifecyclePolicy(),
            rng=Random(0),
            start_process=played.start,
            on_threads=on_threads,
            on_cache_use=on_cache_use,
        )
    )
    # It has been started in its first turn.
    await asyncio.sleep(0)
    played.say(Ready("m", 1, 1, 1, 1, 1, False, "", False))
    return system, engine


async def test_a_count_that_nobody_waits_for_any_more_is_taken_back() -> None:
    played = Played()
    policy = LifecyclePolicy(stall_report_ms=4 * TICK_MS, stall_kill_ms=1_000_000)
    _, engine = await started(played, policy)
    asked = CountTokens("a prompt", None)
    with pytest.raises(CallTimeout):
        await engine.call(asked, deadline_ms=1)
    assert await played.hears() == Count(-1, "a prompt", None)
    # At the next tick at the latest, whether somebody else asks or not.
    assert await played.hears() == Cancel(-1)
    waiting = asyncio.ensure_future(engine.call(asked, deadline_ms=60_000))
    assert await played.hears() == Count(-2, "a prompt", None)
    played.say(Counted(-2, 3, 10))
    assert await waiting == Counted(-2, 3, 10)
    engine.kill()


class Listener(Actor):
    """Whoever runs."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[object] = asyncio.Queue()

    def handle(self, message: object) -> None:
        self.heard.put_nowait(message)


@pytest.mark.parametrize(("code", "charged"), [(BACKEND_BROKEN_STATUS, False), (1, True)])
async def test_nobody_pays_for_a_backend_that_is_broken(code: int, charged: bool) -> None:
    played, listener = Played(), Listener()
    system, engine = await started(played)
    request = Generate(1, "a prompt", None, Sampling())
    engine.send(Run(request, system.spawn(listener)))
    assert await played.hears() == request
    played.exit(code, "the engine is gone")
    lost = await listener.heard.get()
    assert isinstance(lost, EngineLost)
    assert (lost.caused, lost.may_have_caused) == (charged, False)
    engine.kill()


async def test_the_engines_threads_are_told_but_not_from_within_a_step() -> None:
    played, told = Played(), list[int]()
    _, engine = await started(played, on_threads=told.append)
    for threads in (2, 0, 1):
        played.say(Pong(1, 1, threads))
    assert told == [2, 1]
    engine.kill()


async def test_what_came_of_caches_is_told_and_emitted() -> None:
    played, told, telemetry = Played(), list[CacheUse](), Telemetry()
    emitted: list[Event] = []
    telemetry.attach(emitted.append)
    _, engine = await started(played, on_cache_use=told.append, telemetry=telemetry)
    use = CacheUse(in_place=3, reused_tokens=70, shelf_bytes=9)
    played.say(use)
    assert told == [use]
    (event,) = [each for each in emitted if each.name == "engine.cache"]
    assert event.fields == asdict(use)
    engine.kill()
