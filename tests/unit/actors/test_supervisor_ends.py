"""How a supervisor ends its children: all, one, or the rest after one."""

from __future__ import annotations

import pytest

from edge.actors import NORMAL, SHUTDOWN, ActorDown, ChildSpec, Exhausted, Supervisor
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


@pytest.fixture
def chain(world: World) -> Family:
    """What comes later depends on what came before."""
    return Family(world, Supervisor(strategy="rest_for_one"))


def test_rest_for_one_restarts_those_that_were_started_after(chain: Family) -> None:
    first, *_ = chain.start("a", "b", "c")
    chain.end("b")
    assert chain.log == ["-b", "-c", "+b", "+c"]
    assert chain.world.find("a") is first
    assert chain.names() == ["a", "b", "c"]


def test_rest_for_one_gives_up_temporary_children(chain: Family) -> None:
    chain.start("a")
    chain.start("b", restart="temporary")
    chain.start("c")
    chain.end("a")
    assert chain.log == ["-a", "-c", "-b", "+a", "+c"]
    assert chain.names() == ["a", "c"]


def test_rest_for_one_counts_one_restart(chain: Family) -> None:
    chain.start("a", "b", "c")
    chain.crash("a", 3)
    assert chain.ref.alive
    chain.crash("a", 1)
    assert isinstance(chain.ref.reason, Exhausted)
    chain.world.assert_empty()


@pytest.mark.parametrize("second", ["a", "d"])
def test_rest_for_one_with_a_second_death_meanwhile(chain: Family, second: str) -> None:
    log = chain.log
    chain.start("a", "b")
    chain.supervisor.start_child(ChildSpec("c", lambda: Slow("c", log)))
    chain.end("b")
    chain.start("d")
    chain.end(second)
    chain.world.find("c").send("done")
    chain.world.run()
    restarted = [entry for entry in log if entry.startswith("+")]
    expected = ["+a", "+b", "+c", "+d"] if second == "a" else ["+b", "+c", "+d"]
    assert restarted == expected
    assert chain.names() == ["a", "b", "c", "d"]
    assert all(ref.alive for ref in chain.supervisor.children().values())


def test_rest_for_one_forgets_a_child_that_was_terminated_meanwhile(chain: Family) -> None:
    chain.start("a")
    chain.supervisor.start_child(ChildSpec("b", lambda: Slow("b", chain.log)))
    chain.end("a")
    chain.supervisor.terminate_child("a")
    chain.supervisor.terminate_child("b")
    chain.end("b", NORMAL)
    assert chain.names() == []
    chain.ref.stop()
    chain.world.assert_empty()
