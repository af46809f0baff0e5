from __future__ import annotations

import pytest

from edge.actors import KILLED, NORMAL, SHUTDOWN, ChildSpec, Crash, Reason
from edge.actors.child import Child, Restart
from tests.unit.actors.world import Recorder, World

CRASH = Crash(ValueError("boom"))


@pytest.mark.parametrize(
    ("restart", "reason", "again"),
    [
        ("permanent", NORMAL, True),
        ("permanent", SHUTDOWN, True),
        ("permanent", CRASH, True),
        ("transient", NORMAL, False),
        ("transient", SHUTDOWN, False),
        ("transient", CRASH, True),
        ("transient", KILLED, True),
        ("temporary", NORMAL, False),
        ("temporary", CRASH, False),
    ],
)
def test_who_lives_again(restart: Restart, reason: Reason, again: bool) -> None:
    assert ChildSpec("a", Recorder, restart=restart).restarts_after(reason) is again


class Deaf(Recorder):
    """Does not stop when asked."""

    def stopping(self, reason: Reason) -> None:
        self.messages.append(reason)


def test_a_child_that_does_not_stop_in_time_is_killed(world: World) -> None:
    actor = Deaf()
    child = Child(ChildSpec("a", Deaf, shutdown_ms=100), world.system.spawn(actor))
    child.ask_to_stop(world.clock)
    child.ask_to_stop(world.clock)
    world.advance_ms(99)
    assert actor.messages == [SHUTDOWN]
    assert actor.reasons == []
    world.advance_ms(1)
    assert actor.reasons == [KILLED]


def test_no_time_at_all_is_a_kill(world: World) -> None:
    actor = Deaf()
    child = Child(ChildSpec("a", Deaf, shutdown_ms=0), world.system.spawn(actor))
    child.ask_to_stop(world.clock)
    world.run()
    assert actor.messages == []
    assert actor.reasons == [KILLED]


def test_the_deadline_ends_with_the_child(world: World) -> None:
    child = Child(ChildSpec("a", Recorder), world.system.spawn(Recorder()))
    child.ask_to_stop(world.clock)
    assert world.clock.timers_pending() == 1
    child.ended()
    assert world.clock.timers_pending() == 0
