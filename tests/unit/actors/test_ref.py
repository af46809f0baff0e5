from __future__ import annotations

import gc
import weakref

from edge.actors import KILLED, NORMAL, SHUTDOWN, Down, MailboxOverflow, Reason
from tests.unit.actors.world import Recorder, World


def test_messages_are_handled_in_order_once(world: World) -> None:
    actor = Recorder()
    ref = world.system.spawn(actor)
    assert all(ref.send(number) for number in range(200))
    assert ref.mailbox_messages == 200
    world.run()
    assert actor.messages == list(range(200))
    assert ref.mailbox_messages == 0


def test_a_dead_actor_takes_nothing(world: World) -> None:
    actor = Recorder()
    ref = world.system.spawn(actor)
    ref.stop()
    world.run()
    assert not ref.alive
    assert ref.send("late") is False
    ref.stop()
    ref.kill()
    assert not world.system.run_queue
    assert actor.reasons == [SHUTDOWN]


def test_stop_comes_after_what_was_sent_before(world: World) -> None:
    actor = Recorder()
    ref = world.system.spawn(actor)
    ref.send("before")
    ref.stop()
    ref.send("after")
    world.run()
    assert actor.messages == ["before"]
    assert ref.reason is SHUTDOWN


def test_kill_comes_before_what_waits(world: World) -> None:
    actor = Recorder()
    ref = world.system.spawn(actor)
    ref.send("waiting")
    ref.kill()
    assert not ref.alive
    assert ref.mailbox_messages == 0
    assert actor.reasons == [], "the end takes place in the actor's turn"
    world.run()
    assert actor.messages == []
    assert actor.reasons == [KILLED]


def test_the_first_reason_stays(world: World) -> None:
    actor = Recorder()
    ref = world.system.spawn(actor)
    ref.kill(NORMAL)
    ref.kill(KILLED)
    world.run()
    assert actor.reasons == [NORMAL]


def test_the_peak_is_the_most_that_ever_waited(world: World) -> None:
    ref = world.system.spawn(Recorder())
    peaks = [ref.mailbox_peak]
    for burst in (1, 5, 3):
        for number in range(burst):
            ref.send(number)
        world.run()
        peaks.append(ref.mailbox_peak)
    assert peaks == [0, 1, 5, 5]


def test_a_full_mailbox_is_full_and_one_more_ends_the_receiver(world: World) -> None:
    actor, monitor = Recorder(), Recorder()
    ref = world.system.spawn(actor, name="slow", mailbox_messages_max=3)
    world.system.spawn(monitor)
    monitor.monitor(ref)
    assert [ref.send(number) for number in range(4)] == [True, True, True, False]
    world.run()
    assert actor.messages == []
    (reason,) = actor.reasons
    assert isinstance(reason, MailboxOverflow)
    assert reason.mailbox_messages == 3
    assert monitor.messages == [Down(ref, reason)]
    assert world.events == [("actor.overflowed", {"name": "slow", "mailbox_messages": 3})]


def test_a_mailbox_of_one_holds_one(world: World) -> None:
    ref = world.system.spawn(Recorder(), mailbox_messages_max=1)
    assert ref.send(1)
    assert not ref.send(2)
    assert not ref.alive


def test_an_actor_that_floods_itself_ends_itself(world: World) -> None:
    def flood(actor: Recorder, message: object) -> None:
        while actor.ref.send(message):
            pass

    actor = Recorder(flood)
    ref = world.system.spawn(actor, mailbox_messages_max=5)
    ref.send("go")
    world.run()
    assert actor.messages == ["go"]
    assert isinstance(actor.reasons[0], MailboxOverflow)


def test_a_full_mailbox_can_still_be_asked_to_stop(world: World) -> None:
    actor = Recorder()
    ref = world.system.spawn(actor, mailbox_messages_max=1)
    ref.send("full")
    ref.stop()
    world.run()
    assert actor.reasons == [SHUTDOWN]


def test_an_idle_actor_has_no_mailbox_object(world: World) -> None:
    ref = world.system.spawn(Recorder())
    ref.send("one")
    world.run()
    assert gc.get_referents(ref).count(None) > 0
    assert not any(type(held).__name__ == "deque" for held in gc.get_referents(ref))


def test_a_ref_of_the_dead_holds_nothing_of_them(world: World) -> None:
    actor = Recorder()
    ref = world.system.spawn(actor)
    ref.send(ValueError("boom"))
    actor.send_after(1_000, "never")
    gone = weakref.ref(actor)
    world.run()
    world.events.clear()
    del actor
    gc.collect()
    assert gone() is None
    assert not ref.alive
    assert "boom" in repr(ref)


def test_refs_are_told_apart_by_identity(world: World) -> None:
    refs = {world.system.spawn(Recorder()) for _ in range(3)}
    assert len(refs) == 3


def test_labels(world: World) -> None:
    named, unnamed = world.system.spawn(Recorder(), name="one"), world.system.spawn(Recorder())
    assert (named.label, unnamed.label) == ("one", "Recorder")
    for ref in (named, unnamed):
        ref.kill()
    world.run()
    assert (named.label, unnamed.label) == ("one", "(unnamed)")


class Draining(Recorder):
    """Asked to stop, it first waits for one more message."""

    reason: Reason | None = None

    def stopping(self, reason: Reason) -> None:
        self.reason = reason

    def handle(self, message: object) -> None:
        super().handle(message)
        if self.reason is not None:
            self.stop(self.reason)


def test_an_actor_may_finish_work_before_it_stops(world: World) -> None:
    actor = Draining()
    ref = world.system.spawn(actor)
    ref.stop()
    world.run()
    assert ref.alive
    ref.send("the last piece")
    world.run()
    assert actor.messages == ["the last piece"]
    assert actor.reasons == [SHUTDOWN]
