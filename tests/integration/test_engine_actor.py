"""The engine's actor and a real process behind it, with every way in which that can fail."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import TypeVar

import pytest

from edge.actors import Actor, Down, Ref, System
from edge.clock import SystemClock
from edge.conversation import Message
from edge.engine import messages
from edge.engine.messages import Counted, Finished, Generate, Output, Rejected, Sampling
from edge.errors import EngineDead, InvalidRequest, PromptTooLong
from edge.inference import (
    Abort,
    CountTokens,
    EngineActor,
    EngineDown,
    EngineGivenUp,
    EngineLost,
    EngineStatus,
    EngineUp,
    LifecyclePolicy,
    Run,
    StartEngine,
    Status,
    StopEngine,
    Subscribe,
    engine,
    stop,
)
from edge.inference.witness import Witness
from edge.telemetry import Event, Telemetry
from tests.support import scripted_engine

M = TypeVar("M")
QUICK = LifecyclePolicy(
    load_timeout_ms=20_000, stall_report_ms=200, stall_kill_ms=600, backoff_base_ms=10,
    stop_ms=20_000,
)  # fmt: skip
PATIENT = LifecyclePolicy(backoff_base_ms=10)


class Ear(Actor):
    """Keeps what it hears for a test to wait for."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[object] = asyncio.Queue()

    def handle(self, message: object) -> None:
        self.heard.put_nowait(message)

    async def until(self, kind: type[M]) -> M:
        """The next message of this kind; others before it are passed over."""
        while True:
            message = await self.heard.get()
            if isinstance(message, kind):
                return message


class House:
    """A system with an engine's actor, and what was told of it."""

    def __init__(self, flags: tuple[str, ...], policy: LifecyclePolicy) -> None:
        loop = asyncio.get_running_loop()
        self.events: list[Event] = []
        telemetry = Telemetry()
        telemetry.attach(self.events.append)
        self.system = System(SystemClock(loop), loop.call_soon, on_event=telemetry.emit)
        self.engine = self.system.spawn(
            EngineActor(
                lambda safe: scripted_engine.command(*flags, *(("--safe",) if safe else ())),
                telemetry=telemetry,
                policy=policy,
                rng=Random(1),
            ),
            name="engine",
        )
        self.news, ref = self.ear()
        self.engine.send(Subscribe(ref))

    def ear(self) -> tuple[Ear, Ref]:
        ear = Ear()
        return ear, self.system.spawn(ear)

    def run(self, key: int, prompt: str, max_tokens: int = 1_000_000) -> Ear:
        ear, ref = self.ear()
        request = Generate(key, prompt, None, Sampling(max_tokens=max_tokens))
        self.engine.send(Run(request, ref))
        return ear

    async def status(self) -> EngineStatus:
        status = await self.engine.call(Status(), deadline_ms=5_000)
        assert isinstance(status, EngineStatus)
        return status

    async def pid(self) -> int:
        pid = (await self.status()).pid
        assert pid is not None
        return pid

    def pids(self) -> list[int]:
        """Of all processes that there have been."""
        return [int(str(fields["pid"])) for fields in self.told("engine.started")]

    def told(self, name: str) -> list[dict[str, object]]:
        return [event.fields for event in self.events if event.name == name]


Open = Callable[..., House]


def gone(pid: int) -> bool:
    """Whether the process has ended and was waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture
async def open_house() -> AsyncIterator[Open]:
    houses: list[House] = []

    def make(*flags: str, policy: LifecyclePolicy = PATIENT) -> House:
        houses.append(House(("--rate", "200", *flags), policy))
        return houses[-1]

    yield make
    for house in houses:
        if house.engine.alive:
            await stop(house.engine, deadline_ms=10_000)
        assert all(map(gone, house.pids()))


async def test_sequences_stream_side_by_side_to_those_who_asked(open_house: Open) -> None:
    house = open_house()
    up = await house.news.until(EngineUp)
    assert up.ready.model == "scripted"
    ears = {key: house.run(key, "a prompt", max_tokens=5) for key in (1, 2, 3)}
    for key, ear in ears.items():
        outputs = [await ear.until(Output) for _ in range(5)]
        assert [output.tokens for output in outputs] == [(n,) for n in range(5)]
        assert {output.key for output in outputs} == {key}
        assert (await ear.until(Finished)).reason == "length"
    assert len(house.told("engine.step")) < 15
    assert (await house.status()).running == 0
    assert house.told("engine.probed") == [{"safe_mode": False, "exit_code": 0}]
    assert house.told("engine.ready")[0]["model"] == "scripted"


async def test_a_late_subscriber_hears_how_things_are(open_house: Open) -> None:
    house = open_house()
    assert (await house.news.until(EngineDown)).retry_in_ms == 0
    await house.news.until(EngineUp)
    ear, ref = house.ear()
    house.engine.send(Subscribe(ref))
    assert isinstance(await ear.heard.get(), EngineUp)


async def test_an_abort_ends_with_finished_cancelled(open_house: Open) -> None:
    house = open_house()
    await house.news.until(EngineUp)
    ear = house.run(1, "a prompt")
    await ear.until(Output)
    house.engine.send(Abort(1))
    house.engine.send(Abort(99))
    assert (await ear.until(Finished)).reason == "cancelled"


async def test_what_nobody_hears_any_more_is_cancelled(open_house: Open) -> None:
    house = open_house()
    await house.news.until(EngineUp)
    ear, ref = house.ear()
    house.engine.send(Run(Generate(1, "a prompt", None, Sampling(max_tokens=10**6)), ref))
    await ear.until(Output)
    other = house.run(2, "another", max_tokens=10**6)
    await other.until(Output)
    ref.kill()
    while house.told("engine.step")[-1]["running"] != 1:
        await other.until(Output)
    assert (await house.status()).running == 1


async def test_rejections_and_counts(open_house: Open) -> None:
    house = open_house()
    await house.news.until(EngineUp)
    rejected = await house.run(1, "reject").until(Rejected)
    assert (rejected.code, rejected.field) == ("prompt_too_long", "prompt")
    counted = await house.engine.call(CountTokens("one two three", None), deadline_ms=5_000)
    assert isinstance(counted, Counted)
    assert counted.tokens == 3
    with pytest.raises(InvalidRequest, match="no such prompt"):
        await house.engine.call(CountTokens("reject", None), deadline_ms=5_000)


async def test_a_text_that_is_no_unicode_and_a_key_in_use_are_rejected(open_house: Open) -> None:
    house = open_house()
    await house.news.until(EngineUp)
    assert (await house.run(1, "\ud800").until(Rejected)).code == "invalid_request"
    with pytest.raises(InvalidRequest):
        await house.engine.call(CountTokens("\ud800", None), deadline_ms=5_000)
    await house.run(2, "a prompt").until(Output)
    assert (await house.run(2, "a prompt").until(Rejected)).code == "conflict"


async def test_what_is_too_large_for_the_pipe_is_refused_alone(
    open_house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = open_house()
    await house.news.until(EngineUp)
    beside = house.run(1, "a prompt")
    await beside.until(Output)
    monkeypatch.setattr(messages, "TO_ENGINE_BYTES_MAX", 1_000)
    rejected = await house.run(2, "x" * 1_000).until(Rejected)
    assert (rejected.code, rejected.recoverable) == ("prompt_too_long", False)
    assert "1000 are the most" in rejected.message
    for asked in (
        CountTokens("x" * 1_000, None),
        CountTokens(None, (Message("user", "x" * 1_000),)),
    ):
        with pytest.raises(PromptTooLong) as caught:
            await house.engine.call(asked, deadline_ms=5_000)
        assert caught.value.field == ("prompt" if asked.prompt else "messages")
    await beside.until(Output)
    assert house.told("engine.died") == []


async def test_more_requests_than_an_engine_has_are_refused(
    open_house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = open_house()
    await house.news.until(EngineUp)
    monkeypatch.setattr(engine, "REQUESTS_MAX", 2)
    ears = [house.run(key, "a prompt") for key in (1, 2, 3)]
    rejected = await ears[2].until(Rejected)
    assert (rejected.code, rejected.recoverable) == ("overloaded", True)
    await ears[0].until(Output)
    house.engine.send(Abort(1))
    await ears[0].until(Finished)
    await house.run(4, "a prompt").until(Output)


async def test_a_kill_from_outside_loses_what_ran_and_it_comes_back(open_house: Open) -> None:
    house = open_house()
    await house.news.until(EngineUp)
    ear = house.run(1, "a prompt")
    await ear.until(Output)
    pid = await house.pid()
    os.kill(pid, signal.SIGKILL)
    lost = await ear.until(EngineLost)
    assert (lost.key, lost.caused) == (1, False)
    assert "SIGKILL" in lost.reason
    down = await house.news.until(EngineDown)
    assert down.retry_in_ms is not None
    await house.news.until(EngineUp)
    assert await house.pid() != pid
    assert (await house.run(2, "again", max_tokens=1).until(Finished)).reason == "length"
    assert house.told("engine.died") == [{"pid": pid, "reason": lost.reason, "running": 1}]
    assert len(house.told("engine.backoff")) == 1
    assert not (await house.status()).safe_mode


async def test_who_of_several_crashed_the_engine_is_known_once_each_runs_alone(
    open_house: Open,
) -> None:
    house = open_house()
    await house.news.until(EngineUp)
    neighbour = house.run(1, "a prompt")
    await neighbour.until(Output)
    poison = house.run(2, "die SIGSEGV")
    for ear, silent in ((poison, True), (neighbour, False)):
        lost = await ear.until(EngineLost)
        assert (lost.caused, lost.may_have_caused, lost.silent) == (False, True, silent)
    await house.news.until(EngineUp)
    assert (await house.run(3, "die SIGSEGV").until(EngineLost)).caused


async def test_who_was_alone_when_memory_ran_out_is_the_cause(
    open_house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = open_house()
    await house.news.until(EngineUp)
    # The kernel's own count of such ends, which a test had better not raise.
    monkeypatch.setattr(Witness, "ran_out_of_memory", lambda _self: True)
    lost = await house.run(1, "die SIGKILL").until(EngineLost)
    assert (lost.caused, lost.reason) == (True, "the engine was ended for lack of memory")


async def test_deaths_with_a_culprit_are_not_held_against_the_engine(open_house: Open) -> None:
    house = open_house(policy=LifecyclePolicy(backoff_base_ms=1, deaths_max=0))
    for key in range(3):
        await house.news.until(EngineUp)
        assert (await house.run(key, "die SIGABRT").until(EngineLost)).caused
    await house.news.until(EngineUp)
    assert [fields["deaths"] for fields in house.told("engine.backoff")] == [0, 0, 0]


async def test_an_engine_that_was_given_up_is_tried_again_later(open_house: Open) -> None:
    policy = LifecyclePolicy(backoff_base_ms=1, deaths_max=0, given_up_ms=10)
    house = open_house("--dies-loading", "3", policy=policy)
    for _ in range(2):
        assert not (await house.news.until(EngineGivenUp)).model_at_fault


async def test_a_stopped_process_is_reported_and_then_replaced(open_house: Open) -> None:
    house = open_house(policy=QUICK)
    await house.news.until(EngineUp)
    ear = house.run(1, "a prompt")
    await ear.until(Output)
    pid = await house.pid()
    os.kill(pid, signal.SIGSTOP)
    assert "made no step" in (await ear.until(EngineLost)).reason
    await house.news.until(EngineUp)
    assert [fields["pid"] for fields in house.told("engine.stalled")] == [pid]
    assert await house.pid() != pid


async def test_an_idle_engine_that_hangs_is_found_by_pings(open_house: Open) -> None:
    house = open_house(policy=QUICK)
    await house.news.until(EngineUp)
    house.run(1, "hang")
    await house.news.until(EngineDown)
    await house.news.until(EngineUp)


async def test_garbage_on_the_pipe_ends_the_engine(open_house: Open) -> None:
    house = open_house()
    await house.news.until(EngineUp)
    assert "garbage" in (await house.run(1, "garbage").until(EngineLost)).reason
    await house.news.until(EngineUp)


async def test_a_fault_while_loading_leads_to_safe_mode(open_house: Open) -> None:
    house = open_house("--dies-loading", "SIGILL", "--only-fast")
    assert (await house.news.until(EngineUp)).ready.safe_mode
    assert house.told("engine.probed") == [{"safe_mode": True, "exit_code": -signal.SIGILL}]
    assert house.told("engine.backoff") == []
    os.kill(await house.pid(), signal.SIGKILL)
    await house.news.until(EngineDown)
    assert (await house.news.until(EngineUp)).ready.safe_mode
    assert len(house.told("engine.probed")) == 1


async def test_an_engine_that_always_dies_is_given_up_with_its_last_words(
    open_house: Open,
) -> None:
    house = open_house(
        "--dies-loading", "3", policy=LifecyclePolicy(backoff_base_ms=1, deaths_max=2)
    )
    given_up = await house.news.until(EngineGivenUp)
    assert "died 3 times" in given_up.reason
    assert "status 3; its last words: the last words" in given_up.reason
    assert house.told("engine.given_up") == [{"reason": given_up.reason}]
    assert not (await house.run(1, "a prompt").until(EngineLost)).caused
    with pytest.raises(EngineDead):
        await house.engine.call(CountTokens("one", None), deadline_ms=5_000)


async def test_a_model_that_cannot_be_loaded_is_given_up_at_once(open_house: Open) -> None:
    house = open_house("--refuses", "this is no model; choose another")
    given_up = await house.news.until(EngineGivenUp)
    assert given_up == EngineGivenUp("this is no model; choose another", model_at_fault=True)
    assert house.told("engine.died") == []
    house.engine.send(StartEngine())
    await house.news.until(EngineGivenUp)


async def test_a_load_without_end_is_ended(open_house: Open) -> None:
    policy = LifecyclePolicy(load_timeout_ms=100, backoff_base_ms=1, deaths_max=0)
    house = open_house("--hangs-loading", policy=policy)
    assert "not loaded within 100 ms" in (await house.news.until(EngineGivenUp)).reason


async def test_a_program_that_is_not_there_is_given_up(
    open_house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    house = open_house(policy=LifecyclePolicy(backoff_base_ms=1, deaths_max=1))
    assert "cannot be run" in (await house.news.until(EngineGivenUp)).reason


async def test_a_stop_waits_for_the_process_and_a_start_brings_it_back(open_house: Open) -> None:
    house = open_house()
    await house.news.until(EngineUp)
    ear = house.run(1, "a prompt")
    await ear.until(Output)
    pid = await house.pid()
    await house.engine.call(StopEngine(), deadline_ms=10_000)
    assert gone(pid)
    assert not (await ear.until(EngineLost)).caused
    assert (await house.news.until(EngineDown)).retry_in_ms is None
    assert house.told("engine.died") == []
    house.engine.send(StartEngine())
    await house.news.until(EngineUp)


@pytest.mark.parametrize("flags", [(), ("--hangs-loading",)])
async def test_an_orderly_end_of_the_actor_ends_the_process_first(
    open_house: Open, flags: tuple[str, ...]
) -> None:
    house = open_house(*flags)
    if not flags:
        await house.news.until(EngineUp)
    house.news.monitor(house.engine)
    house.engine.stop()
    await house.news.until(Down)
    assert all(map(gone, house.pids()))


async def test_a_killed_actor_leaves_no_process_behind(open_house: Open) -> None:
    house = open_house()
    await house.news.until(EngineUp)
    runners = asyncio.all_tasks() - {asyncio.current_task()}
    house.engine.kill()
    await asyncio.wait(runners)
    assert all(map(gone, house.pids()))
