"""Whose turn it is, as actors are told."""

from __future__ import annotations

import pytest

from edge.actors import Crash, Down, Ref
from edge.engine.messages import Ready
from edge.inference import Abort, EngineDown, EngineGivenUp, EngineUp, Subscribe
from edge.services.task.turns import (
    FAR_MAX,
    NEAR_MAX,
    PAUSED_MS,
    EngineFollower,
    Owner,
    Turn,
    Turns,
)
from edge.services.task.wire import QueuePosition
from edge.tasks.line import Entry
from edge.tasks.task import Options, Request, State, Task, Usage
from tests.support.ears import Ear, Quiet

PUSH_MS = 500
UP = EngineUp(Ready("scripted", 0, 0, 100, 4_096, 2, False, "a script", False))


class Desk(Quiet):
    """Turns, an engine that only listens, and tasks that are named as the test likes."""

    def __init__(self) -> None:
        super().__init__()
        self.engine, self.engine_ref = self.ear("engine")
        self.turns = Turns(self.system, waiting_max=10_000, step_ms=0, push_ms=PUSH_MS)
        self.ears: dict[str, Ear] = {}

    def task(self, name: str, prompt: str = "hello") -> Task:
        request = Request(name, "ada", prompt, None, None, Options(max_tokens=10))
        return Task(request, State.AVAILABLE, 0)

    def wait(self, name: str, *, ref: Ref | None = None, **more: bool) -> Task:
        """A task stands in line; its actor, or this one, hears of it."""
        if ref is None:
            self.ears[name], ref = self.ear()
        task = self.task(name)
        self.turns.enqueue(Entry(name, "ada", 0, 1, 10, Owner(task, ref), **more))
        self.work()
        return task

    def turn(self, name: str) -> Turn:
        """The only turn that this task was given."""
        (turn,) = self.ears[name].of(Turn)
        return turn


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_turns_are_given_while_there_are_slots(desk: Desk) -> None:
    for name in "abc":
        desk.wait(name)
    assert not desk.ears["a"].heard
    desk.turns.engine_up(2)
    desk.work()
    assert desk.turn("a") != desk.turn("b")
    assert not desk.ears["c"].heard
    assert (desk.turns.busy, desk.turns.waiting, desk.turns.on_engine) == (2, 1, 2)
    desk.turns.release(desk.turn("a").key, 11)
    desk.work()
    assert desk.turn("c").key


def test_an_engine_that_is_down_gives_no_turns(desk: Desk) -> None:
    desk.turns.engine_up(1)
    desk.turns.engine_down("restarting: it died")
    desk.wait("a")
    assert (desk.turns.engine, desk.turns.slots) == ("restarting: it died", 0)
    assert not desk.ears["a"].heard


def test_the_turn_of_a_dead_actor_comes_back_and_the_engine_stops(desk: Desk) -> None:
    desk.turns.engine_up(1)
    desk.wait("a")
    desk.wait("b")
    key = desk.turn("a").key
    desk.ears["a"].ref.kill(Crash(RuntimeError("asked to")))
    desk.work()
    assert desk.engine.of(Abort) == [Abort(key)]
    assert desk.turn("b").key
    desk.turns.release(key, 11)  # what it may still say is void
    assert desk.turns.busy == 1


def test_a_successor_stands_where_its_predecessor_stood(desk: Desk) -> None:
    desk.wait("a")
    desk.wait("b")
    successor, ref = desk.ear()
    desk.wait("a", ref=ref)
    desk.turns.engine_up(1)
    desk.work()
    assert len(successor.of(Turn)) == 1
    assert not desk.ears["a"].heard


def test_who_died_while_it_waited_gets_no_turn(desk: Desk) -> None:
    desk.wait("a")
    desk.wait("b")
    desk.ears["a"].ref.kill()
    desk.work()
    desk.turns.engine_up(1)
    desk.work()
    assert desk.turn("b").key
    assert desk.turns.busy == 1


def test_who_may_have_ended_an_engine_is_alone_until_it_is_cleared(desk: Desk) -> None:
    desk.wait("a")
    desk.wait("suspect", alone=True)
    desk.turns.engine_up(2)
    desk.work()
    assert desk.turn("suspect").alone
    assert not desk.ears["a"].heard
    desk.turns.cleared(desk.turn("suspect").key)
    desk.work()
    assert not desk.turn("a").alone


def test_an_outage_has_others_answer(desk: Desk) -> None:
    desk.turns.line.fallback_slots = 1
    desk.wait("never")
    desk.wait("may", may_fall_back=True)
    desk.turns.set_outage(True)
    desk.work()
    assert desk.turn("may").fallback
    assert (desk.turns.on_fallback, desk.turns.on_engine) == (1, 0)
    assert not desk.ears["never"].heard


def test_a_drain_gives_no_turns_and_says_when_none_is_held(desk: Desk) -> None:
    idle: list[str] = []
    desk.turns.engine_up(1)
    desk.wait("a")
    desk.wait("b")
    desk.turns.draining = True
    desk.turns.when_idle = lambda: idle.append("idle")
    desk.turns.release(desk.turn("a").key, 11)
    desk.work()
    assert idle == ["idle"]
    assert not desk.ears["b"].heard


def test_places_are_told_when_they_are_new_and_not_too_often(desk: Desk) -> None:
    desk.turns.engine_up(1)
    for name in "abc":
        desk.wait(name)
    desk.turns.watch("b")
    desk.turns.watch("c")
    desk.advance(PUSH_MS)
    assert [place.position for place in desk.ears["c"].of(QueuePosition)] == [2]
    desk.advance(10 * PUSH_MS)
    assert len(desk.ears["c"].of(QueuePosition)) == 1, "nothing has changed"
    desk.turns.withdraw("b")
    desk.work()
    desk.advance(PUSH_MS)
    assert [place.position for place in desk.ears["c"].of(QueuePosition)] == [2, 1]
    assert len(desk.ears["b"].of(QueuePosition)) == 1


def test_who_is_not_watched_any_more_is_not_told(desk: Desk) -> None:
    desk.wait("a")
    desk.turns.watch("a")
    desk.turns.unwatch("a")
    desk.wait("b")
    desk.advance(10 * PUSH_MS)
    assert not desk.ears["a"].heard
    desk.turns.watch("nobody")
    assert desk.clock.timers_pending() == 0


def test_those_far_back_are_told_a_few_at_a_time(desk: Desk) -> None:
    far = [f"far {number}" for number in range(2 * FAR_MAX)]
    _, ref = desk.ear()
    for number in range(NEAR_MAX):
        desk.wait(f"near {number}", ref=ref)
    for name in far:
        desk.wait(name)
        desk.turns.watch(name)

    def told() -> list[int]:
        return [len(desk.ears[name].of(QueuePosition)) for name in far]

    desk.advance(PUSH_MS)
    assert told() == [1] * FAR_MAX + [0] * FAR_MAX
    desk.advance(PUSH_MS)
    assert told() == [1] * 2 * FAR_MAX
    desk.turns.withdraw("near 0")
    for _ in range(5):
        desk.advance(PUSH_MS)
    # One place less of some three hundred says nothing, but to the one who is near now.
    assert told() == [2] + [1] * (2 * FAR_MAX - 1)
    assert desk.clock.timers_pending() == 0, "until there is news"


def estimated_ms(desk: Desk, name: str, position: int) -> int:
    """The estimated wait of who stands there."""
    place = desk.turns.position(name)
    assert place is not None
    assert place.position == position
    assert place.eta_ms is not None
    return place.eta_ms


def test_a_place_has_an_estimate_of_what_is_before_it(desk: Desk) -> None:
    desk.turns.engine_up(1)
    running = desk.wait("a")
    desk.wait("b")
    desk.wait("c")
    for _ in range(200):
        desk.turns.estimator.saw_step(10.0, 1, 0)
    first_ms, second_ms = estimated_ms(desk, "b", 1), estimated_ms(desk, "c", 2)
    assert second_ms - first_ms == pytest.approx(100, abs=20)
    running.tokens = [7] * 3
    nearer_ms = estimated_ms(desk, "b", 1)
    assert nearer_ms < first_ms
    assert desk.turns.position("a") is None
    assert desk.turns.wait_ms_at_end() > second_ms
    # An engine that is down comes back with as many slots.
    desk.turns.engine_down("restarting: it died")
    assert desk.turns.position("c") == desk.turns.position("c")
    assert desk.turns.position("c") == QueuePosition(2, second_ms - (first_ms - nearer_ms))


def test_steps_and_answers_are_learnt_from(desk: Desk) -> None:
    for _ in range(200):
        desk.clock.advance(5_000_000)
        desk.turns.saw_step(2, 0, running=2)
    assert desk.turns.estimator.step_ms(2) == pytest.approx(5.0, rel=0.01)
    desk.clock.advance(5_000_000)
    desk.turns.saw_step(2, 0, running=0)
    # A pause of the engine is no step.
    desk.clock.advance(10**12)
    desk.turns.saw_step(2, 0, running=2)
    assert desk.turns.estimator.step_ms(2) == pytest.approx(5.0, rel=0.01)
    desk.turns.engine_up(1)
    task = desk.wait("a")
    task.state, task.source, task.usage = State.COMPLETED, "model", Usage(30, 0, 1)
    desk.turns.done(desk.turn("a").key, task)
    assert desk.turns.cost(desk.task("b")).output_tokens == 1
    desk.turns.saw_prompt(task)
    assert desk.turns.busy == 0


def test_the_follower_tells_of_the_engine_and_its_successor(desk: Desk) -> None:
    follower = desk.system.spawn(EngineFollower(desk.turns), name="follower")
    desk.work()
    assert len(desk.engine.of(Subscribe)) == 1
    follower.send(UP)
    desk.work()
    assert (desk.turns.engine, desk.turns.slots) == ("ready", 2)
    follower.send(EngineDown("it died", 100))
    desk.work()
    assert desk.turns.engine == "restarting: it died"
    follower.send(EngineGivenUp("no model"))
    desk.work()
    assert desk.turns.engine == "given up: no model"
    desk.engine_ref.kill()
    desk.work()
    assert desk.turns.slots == 0
    assert isinstance(follower.actor(), EngineFollower)
    assert not desk.engine.of(Down)


def test_a_pause_gives_no_turns_and_says_that_nobody_knows_for_how_long(desk: Desk) -> None:
    desk.turns.engine_up(2)
    desk.wait("a")
    desk.turns.pause()
    desk.wait("b")
    desk.turns.watch("b")
    desk.advance(PUSH_MS)
    assert desk.turn("a").key, "it keeps its turn"
    assert desk.ears["b"].heard == [QueuePosition(1, None)]
    assert desk.turns.position("b") == QueuePosition(1, None)
    assert desk.turns.wait_ms_at_front() == PAUSED_MS
    desk.turns.release(desk.turn("a").key, 11)
    desk.work()
    assert desk.turns.busy == 0
    desk.turns.resume()
    desk.work()
    assert desk.turn("b").key


def test_a_drain_stays_whoever_resumes(desk: Desk) -> None:
    desk.turns.engine_up(1)
    desk.turns.draining = True
    desk.turns.pause()
    desk.wait("a")
    desk.turns.resume()
    desk.work()
    assert not desk.ears["a"].heard


def test_places_of_a_part_of_the_line_are_those_of_its_members(desk: Desk) -> None:
    """Near the front exactly; further back they do not go down."""
    count = NEAR_MAX + 60
    for number in range(count):
        desk.wait(f"{number}")
    desk.wait("never", fallback_only=True)
    desk.wait("ever", fallback_only=True)
    order = list(desk.turns.line.in_order())
    for start, stop in ((0, 5), (3, 4), (NEAR_MAX - 30, NEAR_MAX + 30), (count - 5, count + 2)):
        found = desk.turns.positions(order[start:stop])
        own = [desk.turns.position(each.task_id) for each in order[start:stop]]
        assert [each.position for each in found] == [each.position for each in own if each]
        for each, exact in zip(found, own, strict=True):
            if each.position <= NEAR_MAX:
                assert each == exact
    waits_ms = [each.eta_ms or 0 for each in desk.turns.positions(order[:-2])]
    assert waits_ms == sorted(waits_ms)
    assert desk.turns.positions([]) == []
