from __future__ import annotations

import pytest

from edge.actors import NORMAL, Actor, Crash, Down, Reason
from tests.unit.actors.world import Recorder, World


def test_stop_ends_after_the_current_message(world: World) -> None:
    def stop_at_two(actor: Recorder, message: object) -> None:
        if message == 2:
            actor.stop()
            actor.messages.append("still here")

    actor = Recorder(stop_at_two)
    ref = world.system.spawn(actor)
    for number in (1, 2, 3):
        ref.send(number)
    world.run()
    assert actor.messages == [1, 2, "still here"]
    assert actor.reasons == [NORMAL]


def test_a_message_that_is_not_handled_is_a_crash(world: World) -> None:
    ref = world.system.spawn(Actor())
    ref.send("hello")
    world.run()
    assert isinstance(ref.reason, Crash)
    assert "does not handle 'hello'" in str(ref.reason)


def test_send_after_comes_at_its_time(world: World) -> None:
    actor = Recorder()
    world.system.spawn(actor)
    actor.send_after(2, "second")
    actor.send_after(1, "first")
    world.advance_ms(1)
    assert actor.messages == ["first"]
    world.advance_ms(1)
    assert actor.messages == ["first", "second"]


def test_a_cancelled_timer_sends_nothing(world: World) -> None:
    actor = Recorder()
    world.system.spawn(actor)
    timer = actor.send_after(1, "never")
    timer.cancel()
    timer.cancel()
    world.advance_ms(2)
    assert actor.messages == []
    fired = actor.send_after(1, "once")
    world.advance_ms(1)
    fired.cancel()
    assert actor.messages == ["once"]


def test_death_cancels_timers_and_the_dead_set_none(world: World) -> None:
    class LastWish(Recorder):
        def stopped(self, reason: Reason) -> None:
            self.send_after(1, "too late")

    actor = LastWish()
    ref = world.system.spawn(actor)
    actor.send_after(1, "never")
    ref.kill()
    world.run()
    assert world.clock.timers_pending() == 0
    actor.send_after(1, "never").cancel()
    assert world.clock.timers_pending() == 0
    world.assert_empty()


def test_a_monitor_hears_once(world: World) -> None:
    watcher = Recorder()
    world.system.spawn(watcher)
    ref = world.system.spawn(Recorder())
    watcher.monitor(ref)
    watcher.monitor(ref)
    ref.stop(NORMAL)
    world.run()
    assert watcher.messages == [Down(ref, NORMAL)]


def test_a_monitor_of_the_dead_hears_at_once(world: World) -> None:
    watcher = Recorder()
    world.system.spawn(watcher)
    ref = world.system.spawn(Recorder())
    ref.stop(NORMAL)
    world.run()
    watcher.monitor(ref)
    world.run()
    assert watcher.messages == [Down(ref, NORMAL)]


def test_a_monitor_of_the_dying_hears_once(world: World) -> None:
    watcher = Recorder()
    world.system.spawn(watcher)
    ref = world.system.spawn(Recorder())
    ref.kill(NORMAL)
    watcher.monitor(ref)
    world.run()
    assert watcher.messages == [Down(ref, NORMAL)]


def test_demonitor_takes_it_back(world: World) -> None:
    watcher = Recorder()
    world.system.spawn(watcher)
    ref = world.system.spawn(Recorder())
    watcher.demonitor(ref)
    watcher.monitor(ref)
    watcher.demonitor(ref)
    ref.kill()
    world.run()
    assert watcher.messages == []


def test_monitors_hear_in_the_order_in_which_they_were_set(world: World) -> None:
    heard: list[str] = []
    ref = world.system.spawn(Recorder())
    for name in ("a", "b", "c"):
        watcher = Recorder(lambda _actor, _message, name=name: heard.append(name))  # type: ignore[misc]  # a default argument binds the loop's value
        world.system.spawn(watcher)
        watcher.monitor(ref)
    ref.kill()
    world.run()
    assert heard == ["a", "b", "c"]


def test_two_that_monitor_each_other_and_die_together_leave_nothing(world: World) -> None:
    first, second = Recorder(), Recorder()
    one, two = world.system.spawn(first), world.system.spawn(second)
    first.monitor(two)
    second.monitor(one)
    one.kill()
    two.kill()
    world.assert_empty()
    assert first.messages == []


def test_the_dead_monitor_nobody(world: World) -> None:
    watcher, ref = Recorder(), world.system.spawn(Recorder())
    world.system.spawn(watcher).kill()
    world.run()
    watcher.monitor(ref)
    ref.kill()
    world.assert_empty()
    assert watcher.messages == []


class Fragile(Actor):
    """Fails where it is told to."""

    def __init__(self, where: str) -> None:
        self.where = where

    def started(self) -> None:
        self._maybe_fail("started")

    def handle(self, message: object) -> None:
        self._maybe_fail("handle")

    def stopped(self, reason: Reason) -> None:
        self._maybe_fail("stopped")

    def _maybe_fail(self, where: str) -> None:
        if where == self.where:
            raise ValueError(where)


@pytest.mark.parametrize("where", ["started", "handle"])
def test_an_exception_ends_the_actor_and_is_reported(world: World, where: str) -> None:
    watcher = Recorder()
    world.system.spawn(watcher)
    ref = world.system.spawn(Fragile(where), name="fragile")
    watcher.monitor(ref)
    ref.send("go")
    world.run()
    (down,) = watcher.messages
    assert isinstance(down, Down)
    assert isinstance(down.reason, Crash)
    assert str(down.reason.error) == where
    assert world.events == [("actor.crashed", {"name": "fragile", "error": down.reason.error})]


def test_an_exception_in_the_last_words_is_reported_and_changes_nothing(world: World) -> None:
    watcher = Recorder()
    world.system.spawn(watcher)
    ref = world.system.spawn(Fragile("stopped"), name="fragile")
    watcher.monitor(ref)
    ref.stop(NORMAL)
    world.run()
    assert watcher.messages == [Down(ref, NORMAL)]
    assert world.event_names() == ["actor.crashed"]
    assert world.system.registry.whereis("fragile") is None


def test_a_crash_does_not_touch_anybody_else(world: World) -> None:
    healthy = Recorder()
    other = world.system.spawn(healthy)
    ref = world.system.spawn(Recorder())
    ref.send(ValueError("boom"))
    other.send("hello")
    world.run()
    assert healthy.messages == ["hello"]
    assert other.alive
