"""Who is started again, and how often: one test for each of the supervisor's rules."""

from __future__ import annotations

import pytest

from edge.actors import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    Actor,
    AlreadyRegistered,
    ChildSpec,
    Crash,
    Down,
    Exhausted,
    Reason,
    Ref,
    Supervisor,
)
from tests.unit.actors.family import BOOM, Family
from tests.unit.actors.world import Recorder, World


@pytest.fixture
def family(world: World) -> Family:
    return Family(world, Supervisor())


def test_a_started_child_is_there_at_once(family: Family) -> None:
    (ref,) = family.start("a")
    assert family.world.find("a") is ref
    assert family.supervisor.children() == {"a": ref}


def test_children_given_at_the_start_are_started_in_order(world: World) -> None:
    specs = [ChildSpec(name, Recorder) for name in ("b", "a")]
    world.system.spawn(Supervisor(specs))
    assert world.system.registry.names() == ["b", "a"]


@pytest.mark.parametrize("reason", [None, NORMAL, SHUTDOWN, KILLED], ids=str)
def test_a_permanent_child_always_comes_back(family: Family, reason: Reason | None) -> None:
    (first,) = family.start("a")
    family.end("a", reason)
    assert family.log == ["-a", "+a"]
    second = family.world.find("a")
    assert second is not first
    assert family.supervisor.children() == {"a": second}
    assert family.world.events[-1] == ("supervisor.restarted", {"child": "a", "restarts": 1})


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN], ids=str)
def test_a_transient_child_may_end_as_it_was_meant_to(family: Family, reason: Reason) -> None:
    family.start("a", restart="transient")
    family.end("a", reason)
    assert family.names() == []


@pytest.mark.parametrize("reason", [None, KILLED], ids=str)
def test_a_transient_child_comes_back_after_an_abnormal_end(
    family: Family, reason: Reason | None
) -> None:
    family.start("a", restart="transient")
    family.end("a", reason)
    assert family.log == ["-a", "+a"]


@pytest.mark.parametrize("reason", [None, NORMAL, KILLED], ids=str)
def test_a_temporary_child_never_comes_back(family: Family, reason: Reason | None) -> None:
    family.start("a", restart="temporary")
    family.end("a", reason)
    assert family.names() == []
    assert family.log == ["-a"]


def test_a_restart_concerns_no_sibling(family: Family) -> None:
    _, sibling = family.start("a", "b")
    family.end("a")
    assert family.world.find("b") is sibling
    assert family.names() == ["a", "b"]


def test_who_monitors_a_child_finds_its_successor(family: Family) -> None:
    found: list[Ref | None] = []
    watcher = Recorder(lambda actor, _down: found.append(actor.system.registry.whereis("a")))
    family.world.system.spawn(watcher)
    (first,) = family.start("a")
    watcher.monitor(first)
    family.end("a")
    (down,) = watcher.messages
    assert isinstance(down, Down)
    assert down.ref is first
    assert found == [family.world.find("a")]
    assert found[0] is not first


def test_a_name_belongs_to_one_child(family: Family) -> None:
    family.start("a")
    with pytest.raises(AlreadyRegistered):
        family.start("a")
    family.world.system.spawn(Recorder(), name="outsider")
    with pytest.raises(AlreadyRegistered):
        family.start("outsider")
    assert family.names() == ["a"]


def test_a_start_that_fails_is_the_callers_to_handle(family: Family) -> None:
    def fail() -> Actor:
        raise BOOM

    with pytest.raises(ValueError, match="boom"):
        family.supervisor.start_child(ChildSpec("a", fail))
    assert family.names() == []
    assert family.ref.alive


def test_an_exception_in_started_is_a_crash_with_its_restarts(family: Family) -> None:
    lives: list[Actor] = []

    class FailsTwice(Recorder):
        def started(self) -> None:
            lives.append(self)
            if len(lives) < 3:
                raise BOOM

    first = family.supervisor.start_child(ChildSpec("a", FailsTwice))
    assert not first.alive
    family.world.run()
    assert len(lives) == 3
    assert family.world.find("a").alive


def test_a_restart_that_fails_spends_the_budget_too(family: Family) -> None:
    starts: list[int] = []

    def start() -> Actor:
        starts.append(len(starts))
        if len(starts) > 1:
            raise BOOM
        return Recorder()

    family.supervisor.start_child(ChildSpec("a", start, own_budget=True))
    family.end("a")
    assert len(starts) == 1 + 3
    assert family.names() == []
    assert family.world.event_names() == ["actor.crashed"] * 4 + ["supervisor.exhausted"]


def test_terminate_child_is_for_good(family: Family) -> None:
    family.start("a", "b")
    assert family.supervisor.terminate_child("a")
    family.world.run()
    assert family.names() == ["b"]
    assert not family.supervisor.terminate_child("a")
    assert family.world.clock.timers_pending() == 0
    family.start("a")
    assert family.names() == ["b", "a"]


def test_a_shared_budget_that_is_spent_ends_everybody_in_reverse_order(family: Family) -> None:
    watcher = Recorder()
    family.world.system.spawn(watcher)
    watcher.monitor(family.ref)
    family.start("a", "b", "c")
    family.crash("a", 2)
    family.crash("b", 1)
    assert family.ref.alive
    family.log.clear()
    family.crash("c", 1)
    assert family.log == ["-c", "-b", "-a"]
    (down,) = watcher.messages
    assert isinstance(down, Down)
    assert isinstance(down.reason, Exhausted)
    assert down.reason.child == "c"
    assert ("supervisor.exhausted", {"supervisor": "supervisor", "child": "c"}) in (
        family.world.events
    )


def test_restarts_that_are_long_past_do_not_count(family: Family) -> None:
    family.start("a")
    for _ in range(5):
        family.crash("a", 3)
        family.world.advance_ms(5_001)
    assert family.ref.alive


def test_a_budget_of_its_own_is_spent_by_nobody_else(world: World) -> None:
    told: list[tuple[str, Reason]] = []
    supervisor = Supervisor(budget="child", on_exhausted=lambda *args: told.append(args))
    family = Family(world, supervisor)
    _, sibling = family.start("poison", "b")
    family.crash("poison", 4)
    ((name, reason),) = told
    assert name == "poison"
    assert isinstance(reason, Crash)
    assert family.supervisor.children() == {"b": sibling}
    family.crash("b", 3)
    assert family.names() == ["b"]
    assert len(told) == 1


def test_whoever_is_told_of_a_spent_budget_cannot_harm_the_siblings(world: World) -> None:
    def fail(_name: str, _reason: Reason) -> None:
        raise BOOM

    family = Family(world, Supervisor(budget="child", max_restarts=0, on_exhausted=fail))
    family.start("a", "b")
    family.end("a")
    assert family.names() == ["b"]
    assert world.events[-1] == ("actor.crashed", {"name": "supervisor", "error": BOOM})


def test_one_child_may_have_its_own_budget_among_others_that_share(family: Family) -> None:
    family.start("a", own_budget=True)
    family.start("b")
    family.crash("a", 4)
    assert family.names() == ["b"]
    family.crash("b", 3)
    assert family.ref.alive


def test_a_failure_climbs_to_the_parent_which_starts_the_whole_branch_again(world: World) -> None:
    branches: list[Supervisor] = []

    def branch() -> Supervisor:
        branches.append(Supervisor([ChildSpec("leaf", Recorder)], max_restarts=1))
        return branches[-1]

    root = world.system.spawn(Supervisor([ChildSpec("branch", branch)]), name="root")
    for _ in range(2):
        world.find("leaf").send(BOOM)
        world.run()
    assert len(branches) == 2
    assert world.find("leaf").alive
    assert Supervisor.of(world.find("branch")) is branches[1]
    root.stop()
    world.assert_empty()


def test_a_mistaken_message_does_not_end_the_tree(family: Family) -> None:
    family.start("a")
    family.ref.send("hello")
    family.world.run()
    assert family.ref.alive


def test_only_a_supervisor_is_a_supervisor(world: World) -> None:
    with pytest.raises(TypeError, match="not a supervisor"):
        Supervisor.of(world.system.spawn(Recorder()))


def test_a_child_may_have_a_mailbox_of_its_own_size(family: Family) -> None:
    (ref,) = family.start("a", mailbox_messages_max=7)
    assert ref.mailbox_messages_max == 7


def test_a_killed_branch_is_started_again_while_its_old_children_are_still_dying(
    world: World,
) -> None:
    def branch() -> Supervisor:
        return Supervisor([ChildSpec("leaf", Recorder)])

    world.system.spawn(Supervisor([ChildSpec("branch", branch)]), name="root")
    old = world.find("leaf")
    world.find("branch").kill()
    world.run()
    assert not old.alive
    assert world.find("leaf") is not old
    assert world.find("leaf").alive
    assert len(world.system.actors) == 3
