from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest

from edge.actors import KILLED, NORMAL, ActorDown, CallTimeout, Crash, MailboxOverflow, Reply
from edge.errors import Conflict
from tests.unit.actors.world import Recorder, World


async def begin(call: Coroutine[object, object, object]) -> asyncio.Task[object]:
    """Lets the caller run up to where it waits."""
    runner = asyncio.ensure_future(call)
    await asyncio.sleep(0)
    return runner


async def test_a_call_is_answered(world: World) -> None:
    actor = Recorder()
    ref = world.system.spawn(actor)
    runner = await begin(ref.call("how many", deadline_ms=100))
    world.run()
    actor.replies[0](3)
    assert await runner == 3
    assert world.clock.timers_pending() == 0


async def test_calls_wait_among_the_messages(world: World) -> None:
    actor = Recorder()
    ref = world.system.spawn(actor)
    ref.send("before")
    runner = await begin(ref.call("call", deadline_ms=100))
    ref.send("after")
    world.run()
    assert actor.messages == ["before", "call", "after"]
    runner.cancel()


async def test_calling_the_dead(world: World) -> None:
    ref = world.system.spawn(Recorder())
    ref.stop(NORMAL)
    world.run()
    with pytest.raises(ActorDown) as caught:
        await ref.call("anybody", deadline_ms=100)
    assert caught.value.reason is NORMAL
    assert world.clock.timers_pending() == 0


async def test_calling_the_dying(world: World) -> None:
    ref = world.system.spawn(Recorder())
    ref.kill()
    with pytest.raises(ActorDown) as caught:
        await ref.call("anybody", deadline_ms=100)
    assert caught.value.reason is KILLED


async def test_dying_before_the_reply(world: World) -> None:
    actor = Recorder()
    ref = world.system.spawn(actor, name="one")
    runner = await begin(ref.call("first", deadline_ms=100))
    world.run()
    ref.kill()
    world.run()
    with pytest.raises(ActorDown, match="one"):
        await runner
    actor.replies[0]("too late, and nobody minds")


async def test_an_exception_in_the_handler_is_a_crash_and_reaches_the_caller(world: World) -> None:
    ref = world.system.spawn(Recorder())
    runner = await begin(ref.call(ValueError("boom"), deadline_ms=100))
    world.run()
    with pytest.raises(ActorDown) as caught:
        await runner
    assert isinstance(caught.value.reason, Crash)
    assert not ref.alive


async def test_a_reply_before_the_crash_counts(world: World) -> None:
    class RepliesAndCrashes(Recorder):
        def handle_call(self, request: object, reply: Reply) -> None:
            reply("done")
            raise ValueError("boom")

    ref = world.system.spawn(RepliesAndCrashes())
    runner = await begin(ref.call("go", deadline_ms=100))
    world.run()
    assert await runner == "done"
    assert not ref.alive


async def test_too_slow_an_answer_is_dropped(world: World) -> None:
    actor = Recorder()
    ref = world.system.spawn(actor)
    runner = await begin(ref.call("go", deadline_ms=100))
    world.advance_ms(100)
    with pytest.raises(CallTimeout):
        await runner
    actor.replies[0]("late")
    assert ref.alive


async def test_a_caller_that_goes_away_leaves_nothing_behind(world: World) -> None:
    actor = Recorder()
    ref = world.system.spawn(actor)
    runner = await begin(ref.call("go", deadline_ms=100))
    world.run()
    runner.cancel()
    with pytest.raises(asyncio.CancelledError):
        await runner
    assert world.clock.timers_pending() == 0
    actor.replies[0]("to nobody")
    ref.kill()
    world.assert_empty()


async def test_the_answer_may_be_an_error_of_the_request(world: World) -> None:
    actor = Recorder()
    ref = world.system.spawn(actor)
    runner = await begin(ref.call("cancel", deadline_ms=100))
    world.run()
    actor.replies[0].fail(Conflict("the task is finished; there is nothing to cancel"))
    with pytest.raises(Conflict):
        await runner
    assert ref.alive


async def test_a_reply_is_used_once(world: World) -> None:
    actor = Recorder()
    ref = world.system.spawn(actor)
    runner = await begin(ref.call("go", deadline_ms=100))
    world.run()
    actor.replies[0](1)
    with pytest.raises(RuntimeError, match="once"):
        actor.replies[0](2)
    with pytest.raises(RuntimeError, match="once"):
        actor.replies[0].fail(Conflict("no"))
    assert await runner == 1


async def test_a_call_that_overflows_the_mailbox(world: World) -> None:
    ref = world.system.spawn(Recorder(), mailbox_messages_max=1)
    ref.send("full")
    with pytest.raises(ActorDown) as caught:
        await ref.call("one more", deadline_ms=100)
    assert isinstance(caught.value.reason, MailboxOverflow)


async def test_an_actor_that_takes_no_calls_crashes(world: World) -> None:
    class Mute(Recorder):
        handle_call = Recorder.__mro__[1].handle_call  # type: ignore[attr-defined]  # Actor's own

    runner = await begin(world.system.spawn(Mute()).call("hello", deadline_ms=100))
    world.run()
    with pytest.raises(ActorDown, match="NotImplementedError"):
        await runner


async def test_on_a_real_loop_the_pump_runs_by_itself() -> None:
    from edge.actors import System
    from edge.clock import SystemClock

    class Echo(Recorder):
        def handle_call(self, request: object, reply: Reply) -> None:
            reply(request)

    loop = asyncio.get_running_loop()
    system = System(SystemClock(loop), loop.call_soon)
    ref = system.spawn(Echo())
    assert await ref.call("hello", deadline_ms=10_000) == "hello"
