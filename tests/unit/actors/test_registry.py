from __future__ import annotations

import pytest

from edge.actors import AlreadyRegistered
from tests.unit.actors.world import Recorder, World


def test_a_name_leads_to_its_actor(world: World) -> None:
    ref = world.system.spawn(Recorder(), name="task:1")
    assert world.system.registry.whereis("task:1") is ref
    assert ref.name == "task:1"
    assert world.system.registry.whereis("task:2") is None


def test_a_taken_name_is_refused_and_nothing_is_started(world: World) -> None:
    world.system.spawn(Recorder(), name="task:1")
    with pytest.raises(AlreadyRegistered, match="task:1"):
        world.system.spawn(Recorder(), name="task:1")
    assert len(world.system.actors) == 1


def test_an_actor_has_one_name(world: World) -> None:
    ref = world.system.spawn(Recorder(), name="one")
    with pytest.raises(AlreadyRegistered, match="one"):
        world.system.registry.register("two", ref)


def test_death_frees_the_name_and_the_ref_keeps_it_as_a_label(world: World) -> None:
    ref = world.system.spawn(Recorder(), name="one")
    ref.stop()
    world.run()
    assert world.system.registry.whereis("one") is None
    assert ref.name == "one"
    assert len(world.system.registry) == 0


def test_the_dead_have_no_names(world: World) -> None:
    ref = world.system.spawn(Recorder())
    ref.kill()
    with pytest.raises(ValueError, match="dead"):
        world.system.registry.register("one", ref)


def test_a_name_that_was_taken_over_is_not_freed_by_the_first_holders_end(world: World) -> None:
    first = world.system.spawn(Recorder(), name="one")
    first.kill()
    second = world.system.spawn(Recorder(), name="one")
    world.run()
    assert world.system.registry.whereis("one") is second


def test_names_by_prefix_in_order(world: World) -> None:
    for name in ("task:2", "channel:1", "task:1"):
        world.system.spawn(Recorder(), name=name)
    assert world.system.registry.names("task:") == ["task:2", "task:1"]
    assert len(world.system.registry) == 3
