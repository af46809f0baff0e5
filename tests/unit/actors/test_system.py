from __future__ import annotations

from itertools import pairwise

import pytest

from edge.actors import Actor, Crash, Ref, System
from edge.clock import ManualClock
from tests.unit.actors.world import Recorder, World


def test_an_actor_is_ready_when_spawn_returns(world: World) -> None:
    seen: list[object] = []

    class Starting(Actor):
        def started(self) -> None:
            seen.append(self.system.registry.whereis("one"))
            seen.append(self.ref)

    ref = world.system.spawn(Starting(), name="one")
    assert seen == [ref, ref]


def test_an_actor_lives_once(world: World) -> None:
    actor = Recorder()
    world.system.spawn(actor)
    with pytest.raises(ValueError, match="once"):
        world.system.spawn(actor)


def test_a_flooded_mailbox_starves_nobody() -> None:
    world = World(mailbox_messages_max=100_000, turn_messages_max=64)
    flooded, other = Recorder(), Recorder()
    first, second = world.system.spawn(flooded), world.system.spawn(other)
    handled_before: list[int] = []
    other._on_message = lambda _actor, _message: handled_before.append(len(flooded.messages))
    for number in range(100_000):
        first.send(number)
    second.send("one")
    world.run()
    assert handled_before == [64]
    assert flooded.messages == list(range(100_000))


def test_a_pump_gives_way_to_the_loop() -> None:
    world = World(turn_messages_max=64, pump_messages_max=100)
    actor = Recorder()
    ref = world.system.spawn(actor)
    for number in range(250):
        ref.send(number)
    handled = []
    while world.scheduled:
        assert len(world.scheduled) == 1, "one pump at a time"
        world.pump_once()
        handled.append(len(actor.messages))
    assert handled == [100, 200, 250]
    ref.send("again")
    assert len(world.scheduled) == 1


def test_ends_use_up_the_pumps_budget_too() -> None:
    world = World(pump_messages_max=10)
    for _ in range(25):
        world.system.spawn(Recorder()).kill()
    left = []
    while world.scheduled:
        world.pump_once()
        left.append(len(world.system.actors))
    assert left == [15, 5, 0]


def test_messages_are_counted_and_ends_are_not(world: World) -> None:
    ref = world.system.spawn(Recorder())
    for number in range(70):
        ref.send(number)
    ref.send(ValueError("boom"))
    assert world.system.run_pending() == 71
    assert world.system.messages_handled == 71


def test_actors_that_never_rest_are_noticed(world: World) -> None:
    def again(actor: Recorder, message: object) -> None:
        actor.ref.send(message)

    ref = world.system.spawn(Recorder(again))
    ref.send("again and again")
    with pytest.raises(RuntimeError, match="rest"):
        world.system.run_pending(messages_max=1_000)


def test_a_handler_must_not_run_the_others(world: World) -> None:
    def run_others(actor: Recorder, _message: object) -> None:
        actor.system.run_pending()

    ref = world.system.spawn(Recorder(run_others))
    world.system.spawn(Recorder()).send("waiting")
    ref.send("go")
    world.system.spawn(Recorder()).send("waiting too")
    world.run()
    assert isinstance(ref.reason, Crash)
    assert "already" in str(ref.reason)


def test_an_interrupt_passes_and_the_system_goes_on(world: World) -> None:
    def interrupt(_actor: Recorder, _message: object) -> None:
        raise KeyboardInterrupt

    actor, other = Recorder(interrupt), Recorder()
    ref, second = world.system.spawn(actor), world.system.spawn(other)
    ref.send("go")
    second.send("hello")
    with pytest.raises(KeyboardInterrupt):
        world.pump_once()
    while world.scheduled:
        world.pump_once()
    assert not ref.alive
    assert len(actor.reasons) == 1
    assert other.messages == ["hello"]


def test_an_error_that_was_raised_from_itself_is_survived(world: World) -> None:
    error = ValueError("boom")
    error.__cause__ = error
    ref = world.system.spawn(Recorder())
    ref.send(error)
    world.run()
    assert isinstance(ref.reason, Crash)


def test_a_parent_hears_before_the_monitors_and_after_the_name_is_free(world: World) -> None:
    order: list[str] = []

    class Parent(Recorder):
        def child_ended(self, ref: object, reason: object) -> None:
            assert self.system.registry.whereis("child") is None
            order.append("parent")

    parent, watcher = Parent(), Recorder(lambda _actor, _message: order.append("monitor"))
    world.system.spawn(parent)
    world.system.spawn(watcher)
    child = world.system.spawn(Recorder(), name="child", parent=parent)
    watcher.monitor(child)
    child.kill()
    world.run()
    assert order == ["parent", "monitor"]


def test_a_dead_parent_hears_nothing(world: World) -> None:
    class Parent(Recorder):
        def child_ended(self, ref: object, reason: object) -> None:
            self.messages.append(ref)

    parent = Parent()
    parent_ref = world.system.spawn(parent)
    child = world.system.spawn(Recorder(), parent=parent)
    parent_ref.kill()
    child.kill()
    world.assert_empty()
    assert parent.messages == []


def test_a_failing_parent_is_the_one_that_crashes(world: World) -> None:
    class Parent(Recorder):
        def child_ended(self, ref: object, reason: object) -> None:
            raise ValueError("boom")

    parent = Parent()
    parent_ref = world.system.spawn(parent)
    child = world.system.spawn(Recorder(), parent=parent)
    child.kill()
    world.run()
    assert isinstance(parent_ref.reason, Crash)


@pytest.mark.parametrize("limit", ["mailbox", "turn", "pump"])
def test_limits_are_at_least_one(limit: str) -> None:
    with pytest.raises(ValueError, match="at least one"):
        System(ManualClock(), lambda _pump: None, **{f"{limit}_messages_max": 0})  # type: ignore[arg-type]  # all three limits are numbers


def test_without_anybody_to_report_to_a_crash_is_still_only_a_crash() -> None:
    system = System(ManualClock(), lambda _pump: None)
    ref = system.spawn(Recorder())
    ref.send(ValueError("boom"))
    system.run_pending()
    assert isinstance(ref.reason, Crash)


def writers_to(world: World, one: Ref, number: int, messages: int) -> list[Recorder]:
    """Actors that write to `one` in each of their turns."""

    def write(_actor: Recorder, message: object) -> None:
        for _ in range(messages):
            one.send(message)

    writers = [Recorder(write) for _ in range(number)]
    for writer in writers:
        world.system.spawn(writer).send("write")
    return writers


@pytest.mark.parametrize("turn_messages_max", [1, 64])
def test_one_to_whom_thousands_write_does_not_overflow(turn_messages_max: int) -> None:
    world = World(mailbox_messages_max=10, turn_messages_max=turn_messages_max)
    one = Recorder()
    ref = world.system.spawn(one)
    # Half of it comes from outside.
    for number in range(5):
        ref.send(number)
    writers_to(world, ref, 2_000, messages=3)
    world.run()
    assert world.events == []
    assert one.messages == [*range(5), *["write"] * 6_000]
    assert ref.mailbox_peak <= 5 + 5


def test_half_of_a_mailbox_is_for_what_comes_from_outside() -> None:
    world = World(mailbox_messages_max=20, turn_messages_max=1, pump_messages_max=7)
    ref = world.system.spawn(Recorder())
    writers_to(world, ref, 100, messages=3)
    most = 0
    while world.scheduled:
        world.pump_once()
        most = max(most, ref.mailbox_messages)
    assert most == 10
    for number in range(10):
        assert ref.send(number)
    assert world.events == []


def test_what_comes_from_outside_is_not_made_up_for() -> None:
    world = World(mailbox_messages_max=8, turn_messages_max=2)
    turns: list[str] = []
    flooded = world.system.spawn(Recorder(lambda *_: turns.append("flooded")))
    others = [world.system.spawn(Recorder(lambda *_: turns.append("other"))) for _ in range(3)]
    for _ in range(8):
        flooded.send("flood")
    for other in others:
        other.send("work")
    world.run()
    assert turns == [*["flooded"] * 2, *["other"] * 3, *["flooded"] * 6]


def test_one_may_end_while_it_makes_up() -> None:
    world = World(mailbox_messages_max=4, turn_messages_max=2)
    one = Recorder()
    ref = world.system.spawn(one)
    for message in (1, ValueError("boom"), 3):
        ref.send(message)
    writers_to(world, ref, 3, messages=1)
    world.run()
    assert isinstance(ref.reason, Crash)
    assert len(one.messages) == 2
    assert len(one.reasons) == 1
    later = Recorder()
    world.system.spawn(later).send("work")
    world.run()
    assert later.messages == ["work"]


def test_what_is_made_up_for_counts_against_the_pumps_budget() -> None:
    world = World(mailbox_messages_max=8, turn_messages_max=4, pump_messages_max=3)
    one = Recorder()
    writers_to(world, world.system.spawn(one), 4, messages=3)
    handled = [0]
    while world.scheduled:
        world.pump_once()
        handled.append(world.system.messages_handled)
    assert handled[-1] == 4 + 12
    # It goes over it by what is written in the last turn, at most.
    assert all(after - before <= 3 + 3 for before, after in pairwise(handled))


# ---- turns inside another's


class Teller(Actor):
    """Sends on what it gets, at once, and notes what came back by then."""

    def __init__(self, *to: Ref) -> None:
        self.to = to
        self.answers: list[bool] = []

    def handle(self, message: object) -> None:
        self.answers += [ref.send_now(message) for ref in self.to]


def test_an_idle_actor_has_its_turn_inside_the_senders(world: World) -> None:
    actor = Recorder()
    ref = world.system.spawn(actor)
    assert ref.send_now("one")
    assert actor.messages == ["one"]
    assert not world.scheduled, "nothing is left to do"
    assert world.system.messages_handled == 1


def test_what_is_sent_now_comes_behind_what_waits(world: World) -> None:
    actor = Recorder()
    ref = world.system.spawn(actor)
    ref.send("one")
    assert ref.send_now("two")
    assert actor.messages == []
    world.run()
    assert actor.messages == ["one", "two"]


def test_an_actor_at_work_is_not_disturbed(world: World) -> None:
    seen: list[tuple[object, int]] = []

    class Echo(Actor):
        def handle(self, message: object) -> None:
            if message == "one":
                self.ref.send_now("two")
                self.ref.send("three")
            seen.append((message, len(seen)))

    ref = world.system.spawn(Echo())
    ref.send_now("one")
    assert seen == [("one", 0)]
    world.run()
    assert seen == [("one", 0), ("two", 1), ("three", 2)]


def test_a_crash_inside_is_not_the_senders(world: World) -> None:
    class Broken(Actor):
        def handle(self, message: object) -> None:
            raise ZeroDivisionError

    broken, other = world.system.spawn(Broken()), Recorder()
    teller = Teller(broken, world.system.spawn(other))
    ref = world.system.spawn(teller)
    ref.send("one")
    world.run()
    assert ref.alive
    assert other.messages == ["one"]
    assert isinstance(broken.reason, Crash)
    assert broken not in world.system.actors, "its end came in a turn of its own"
    assert not broken.send_now("two")


def test_who_ends_another_inside_of_its_turn_ends_it_afterwards(world: World) -> None:
    ended: list[object] = []

    class Killer(Actor):
        def handle(self, message: object) -> None:
            victim.kill()

    class Victim(Teller):
        def handle(self, message: object) -> None:
            super().handle(message)
            ended.append(self.ref.alive)

        def stopped(self, reason: object) -> None:
            ended.append("stopped")

    victim = world.system.spawn(Victim(world.system.spawn(Killer())))
    victim.send_now("one")
    assert ended == [False]
    world.run()
    assert ended == [False, "stopped"]


def test_turns_inside_others_leave_the_loop_its_breath() -> None:
    """Of a message to a hundred, ten are told at once; the others when the loop has had a turn."""
    world = World(pump_messages_max=10)
    actors = [Recorder() for _ in range(100)]
    teller = Teller(*map(world.system.spawn, actors))
    ref = world.system.spawn(teller)

    def told() -> int:
        return sum(len(each.messages) for each in actors)

    ref.send_now("one")
    assert told() == 9
    before = told()
    while world.scheduled:
        world.pump_once()
        assert told() - before <= 10
        before = told()
    assert [each.messages for each in actors] == [["one"]] * 100
    assert world.system.messages_handled == 101


def test_turns_inside_a_turn_of_the_queue_count_like_others() -> None:
    world = World(turn_messages_max=1, pump_messages_max=10)
    actors = [Recorder() for _ in range(4)]
    refs = [world.system.spawn(each) for each in actors]
    for teller in [Teller(*refs) for _ in range(3)]:
        world.system.spawn(teller).send("one")
    world.pump_once()
    assert [len(each.messages) for each in actors] == [2] * 4
    world.run()
    assert [len(each.messages) for each in actors] == [3] * 4
    assert world.system.messages_handled == 15


def test_who_is_pressed_by_turns_from_outside_makes_up_for_it(world: World) -> None:
    """Half of a mailbox is for what comes from outside of all turns: not for this."""
    world = World(mailbox_messages_max=10)
    busy = Recorder()
    ref = world.system.spawn(busy)
    ref.send("from outside")
    tellers = [world.system.spawn(Teller(ref)) for _ in range(50)]
    for teller in tellers:
        teller.send_now("told")
    assert ref.alive
    world.run()
    assert busy.messages == ["from outside", *["told"] * 50]
