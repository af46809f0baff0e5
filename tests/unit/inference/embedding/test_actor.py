"""The actor that owns an engine of embeddings, whose process is played."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from random import Random
from typing import Any

import pytest

from edge.actors import ActorDown, Ref, System
from edge.clock import NS_PER_MS, ManualClock
from edge.engine.messages import (
    Cancel,
    Embed,
    Embedded,
    EmbeddingReady,
    LoadFailed,
    Rejected,
    Shutdown,
    Unfit,
)
from edge.errors import EngineDead, EngineError, InvalidRequest, Overloaded, PromptTooLong
from edge.inference import LifecyclePolicy
from edge.inference.embedding.actor import EmbeddingActor
from edge.inference.embedding.protocol import Close, EmbedTexts, Vectors
from edge.inference.protocol import EngineStatus, Status
from edge.telemetry import Telemetry
from tests.support.played_process import Played

READY = EmbeddingReady("m", 1, 1, 2, 512, "mean", False, "")
KEEP_ALIVE_MS = 5_000
POLICY = LifecyclePolicy(backoff_base_ms=1, given_up_ms=60_000)


class World:
    """The actor and its processes."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.clock = ManualClock()
        self.system = System(self.clock, loop.call_soon)
        self.played = Played()
        self.starts: asyncio.Queue[None] = asyncio.Queue()
        self.room = ""
        self.engine: Ref = self.spawn()

    def spawn(self) -> Ref:
        return self.system.spawn(
            EmbeddingActor(
                lambda _safe: (),
                telemetry=Telemetry(),
                policy=POLICY,
                rng=Random(0),
                keep_alive_ms=KEEP_ALIVE_MS,
                lacks=lambda: self.room,
                start_process=self._start,
            )
        )

    def pass_ms(self, ms: int) -> None:
        self.clock.advance(ms * NS_PER_MS)

    def exit(self, code: int, reason: str) -> None:
        """The process ends; the next one is due."""
        self.played.exit(code, reason)
        self.pass_ms(10)

    def _start(self, command: Any, /, **how: Any) -> Played:
        self.starts.put_nowait(None)
        return self.played.start(command, **how)

    def ask(self, *texts: str, client: str = "c", **how: Any) -> asyncio.Task[object]:
        wanted = EmbedTexts(client, texts, **how)
        call: Coroutine[Any, Any, object] = self.engine.call(wanted, deadline_ms=20_000)
        return asyncio.get_running_loop().create_task(call)

    async def up(self) -> None:
        """A process is started, and says that it is ready."""
        await self.starts.get()
        self.played.say(READY)

    async def asked(self) -> Embed:
        message = await self.played.hears()
        assert isinstance(message, Embed), message
        return message

    def answer(self, piece: Embed) -> None:
        self.played.say(Embedded(piece.key, piece.texts, tuple(map(len, piece.texts))))

    async def state(self) -> str:
        status = await self.engine.call(Status(), deadline_ms=1_000)
        assert isinstance(status, EngineStatus)
        return status.state


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    made.engine.kill()


async def test_the_first_call_starts_the_engine(world: World) -> None:
    assert await world.state() == "stopped"
    call = world.ask("hi", "ho")
    await world.up()
    piece = await world.asked()
    assert piece.texts == ("hi", "ho")
    world.answer(piece)
    assert await call == Vectors(("hi", "ho"), (2, 2))
    assert await world.state() == "ready"


async def test_it_is_stopped_when_nobody_comes_and_started_by_who_comes_then(world: World) -> None:
    first = world.ask("hi")
    await world.up()
    world.answer(await world.asked())
    await first
    world.pass_ms(KEEP_ALIVE_MS)
    assert await world.played.hears() == Shutdown()
    # While it is about to end.
    second = world.ask("ho")
    assert await world.state() == "stopping"
    world.played.exit(0, "told to")
    await world.up()
    world.answer(await world.asked())
    assert await second == Vectors(("ho",), (2,))


async def test_who_asks_before_the_time_is_up_keeps_it(world: World) -> None:
    first = world.ask("hi")
    await world.up()
    world.answer(await world.asked())
    await first
    world.pass_ms(KEEP_ALIVE_MS - 1)
    second = world.ask("ho")
    piece = await world.asked()
    world.pass_ms(KEEP_ALIVE_MS)
    assert await world.state() == "ready"
    world.answer(piece)
    await second
    world.pass_ms(KEEP_ALIVE_MS - 1)
    assert await world.state() == "ready"


async def test_what_a_dead_engine_had_is_tried_again(world: World) -> None:
    calls = [world.ask(text) for text in ("hi", "ho")]
    await world.up()
    for _ in calls:
        await world.asked()
    world.exit(-9, "killed")
    await world.up()
    for _ in calls:
        world.answer(await world.asked())
    assert await calls[0] == Vectors(("hi",), (2,))
    assert await calls[1] == Vectors(("ho",), (2,))


async def test_a_text_that_kills_every_engine_is_refused_and_the_others_are_done(
    world: World,
) -> None:
    bad, good = world.ask("bad"), world.ask("good")
    await world.up()
    for _ in range(2):
        await world.asked()
    world.exit(-11, "it crashed")
    await world.up()
    assert (await world.asked()).texts == ("bad",)
    world.exit(-11, "it crashed")
    with pytest.raises(EngineDead, match="it crashed; these texts were alone"):
        await bad
    await world.up()
    world.answer(await world.asked())
    assert await good == Vectors(("good",), (4,))


async def test_a_text_that_does_not_fit_is_named(world: World) -> None:
    texts = [str(number) for number in range(40)]
    call = world.ask(*texts, field="documents")
    await world.up()
    await world.asked()
    second = await world.asked()
    world.played.say(Unfit(second.key, 3, 600, 512))
    with pytest.raises(PromptTooLong) as caught:
        await call
    index = texts.index(second.texts[3])
    assert caught.value.field == f"documents[{index}]"
    assert "600 tokens" in str(caught.value)
    # The rest of the call is not wanted any more.
    assert isinstance(await world.played.hears(), Cancel)


@pytest.mark.parametrize(
    ("say", "error"),
    [
        (lambda key: Unfit(key, 0, 0, 512), InvalidRequest),
        (lambda key: Rejected(key, "engine_error", "no", False), EngineError),
    ],
)
async def test_what_the_engine_refuses_is_refused(
    world: World, say: Callable[[int], Unfit | Rejected], error: type[Exception]
) -> None:
    call = world.ask("hi")
    await world.up()
    world.played.say(say((await world.asked()).key))
    with pytest.raises(error):
        await call


async def test_a_text_that_cannot_cross_the_pipe_is_refused(world: World) -> None:
    call = world.ask("\ud800")
    await world.up()
    with pytest.raises(InvalidRequest):
        await call
    good = world.ask("hi")
    world.answer(await world.asked())
    await good


async def test_nothing_is_done_for_who_has_gone(world: World) -> None:
    gone, stays = world.ask("gone"), world.ask("stays")
    await world.starts.get()
    gone.cancel()
    await asyncio.wait([gone])
    world.played.say(READY)
    piece = await world.asked()
    if piece.texts == ("gone",):
        raise AssertionError("nobody waits for that")
    world.answer(piece)
    await stays


async def test_a_model_that_cannot_be_loaded_is_not_tried_by_every_call(world: World) -> None:
    call = world.ask("hi")
    await world.starts.get()
    world.played.say(LoadFailed("no such tensor"))
    world.played.exit(1, "it exited")
    with pytest.raises(EngineError, match="no such tensor"):
        await call
    with pytest.raises(EngineError, match="no such tensor") as caught:
        await world.ask("ho")
    assert 0 < caught.value.retry_after_ms <= POLICY.given_up_ms
    assert world.starts.empty()
    assert await world.state() == "stopped"


async def test_a_model_for_which_there_is_no_memory_is_not_loaded(world: World) -> None:
    world.room = "the model needs 9 GiB"
    with pytest.raises(Overloaded, match="9 GiB"):
        await world.ask("hi")
    world.room = ""
    call = world.ask("hi")
    await world.up()
    world.room = "that it has now"
    world.answer(await world.asked())
    await call


async def test_when_the_node_ends_whoever_waits_is_told_to_come_back(world: World) -> None:
    call = world.ask("hi")
    await world.up()
    await world.asked()
    world.engine.send(Close())
    with pytest.raises(Overloaded, match="stopping"):
        await call
    with pytest.raises(Overloaded, match="stopping"):
        await world.ask("ho")


async def test_at_its_end_its_process_ends(world: World) -> None:
    call = world.ask("hi")
    await world.up()
    await world.asked()
    world.engine.stop()
    with pytest.raises(Overloaded):
        await call
    while not isinstance(await world.played.hears(), Shutdown):
        pass
    world.played.exit(0, "told to")
    with pytest.raises(ActorDown):
        await world.ask("ho")
