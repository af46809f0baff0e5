"""How a supervisor ends its children: all, one, or the rest after one."""

from __future__ import annotations

import pytest

from edge.actors import NORMAL, SHUTDOWN, ActorDown, ChildSpec, Supervisor
from tests.unit.actors.family import Family, Slow
from tests.unit.actors.world import World


@pytest.fixture
def family(world: World) -> Family:
    return Family(world, Supervisor())


def test_shutdown_is_in_reverse_order(family: Family) -> None:
    family.start("a", "b", "c")
    family.crash("a", 1)
    family.log.clear()
    family.ref.stop()
    family.world.run()
    assert family.log == ["-c", "-b", "-a"]
    assert family.ref.reason is SHUTDOWN
    family.world.assert_empty()


def test_each_child_has_its_own_time_to_end(family: Family) -> None:
    log = family.log
    for name, shutdown_ms in (("a", 50), ("b", 100)):
        spec = ChildSpec(name, lambda name=name: Slow(name, log), shutdown_ms=shutdown_ms)  # type: ignore[misc]  # a default argument binds the loop's value
        family.supervisor.start_child(spec)
    log.clear()
    family.ref.stop()
    family.world.run()
    assert log == ["?b"]
    family.world.advance_ms(99)
    assert log == ["?b"]
    family.world.advance_ms(1)
    assert log == ["?b", "-b", "?a"]
    family.world.find("a").send("done")
    family.world.run()
    assert log == ["?b", "-b", "?a", "-a"]
    family.world.assert_empty()


def test_a_child_that_dies_while_its_siblings_are_waited_for_is_not_restarted(
    family: Family,
) -> None:
    log = family.log
    family.start("a")
    family.supervisor.start_child(ChildSpec("b", lambda: Slow("b", log)))
    log.clear()
    family.ref.stop()
    family.world.run()
    family.end("a")
    assert log == ["?b", "-a"]
    family.end("b", NORMAL)
    assert log == ["?b", "-a", "-b"]
    family.world.assert_empty()


def test_a_supervisor_that_is_ending_starts_nobody(family: Family) -> None:
    family.supervisor.start_child(ChildSpec("a", lambda: Slow("a", family.log)))
    family.ref.stop()
    family.world.run()
    with pytest.raises(ActorDown):
        family.start("b")
    family.end("a", NORMAL)
    with pytest.raises(ActorDown):
        family.start("b")
    with pytest.raises(ActorDown):
        Supervisor.of(family.ref)


def test_a_killed_supervisor_leaves_no_orphans(family: Family) -> None:
    family.start("a", "b", shutdown_ms=10_000)
    family.supervisor.terminate_child("a")
    family.ref.kill()
    family.world.run()
    family.world.assert_empty()
