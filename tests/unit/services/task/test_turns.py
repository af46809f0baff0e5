"""Whose turn it is, as actors are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.actors import Crash, Down
from edge.engine.messages import Ready
from edge.inference import Abort, EngineDown, EngineGivenUp, EngineUp, Subscribe
from edge.services.task.forecast import LOAD_MS_GUESS, NEAR_MAX
from edge.services.task.turns import UNKNOWN_MS, EngineFollower, Turn
from edge.services.task.wire import QueuePosition
from edge.tasks.task import State, Usage
from tests.support.desk import PUSH_MS, Desk

UP = EngineUp(Ready("scripted", 0, 0, 100, 4_096, 2, False, "a script", False))


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
    desk.turns.line.shared.fallback_slots = 1
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


def test_an_answer_is_learnt_from_when_its_turn_is_over(desk: Desk) -> None:
    desk.turns.engine_up(1)
    task = desk.wait("a")
    request = replace(task.request, options=replace(task.request.options, ignore_eos=False))
    task.request = request
    assert desk.turns.cost(task).output_tokens == 5
    task.state, task.source, task.usage = State.COMPLETED, "model", Usage(30, 0, 1)
    for _ in range(4):
        desk.turns.done(desk.turn("a").key, task)
    assert desk.turns.busy == 0
    assert desk.turns.cost(task).output_tokens == 1
    assert desk.turns.expected_tokens(request) == 2


def test_when_to_come_back(desk: Desk) -> None:
    desk.turns.engine_up(1)
    desk.teach(10.0, 1)
    running = desk.wait("a")
    assert 100 <= desk.turns.wait_ms_at_front() < 110
    desk.wait("b")
    at_end_ms = desk.turns.wait_ms_at_end()
    assert at_end_ms is not None
    assert at_end_ms > 200
    assert list(desk.turns.running_tasks()) == [running]
    assert desk.turns.until_end_ms(running) == desk.turns.left_ms(running)
    desk.turns.engine_down("given up: no model")
    assert desk.turns.wait_ms_at_end() is None
    assert desk.turns.wait_ms_at_front() == UNKNOWN_MS
    assert desk.turns.until_end_ms(desk.task("b")) > UNKNOWN_MS


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
    assert desk.turns.forecast.engine.wait_ms(desk.clock.now_ns()) == LOAD_MS_GUESS + 100
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
    desk.turns.news.watch("b")
    desk.advance(PUSH_MS)
    assert desk.turn("a").key, "it keeps its turn"
    assert desk.ears["b"].heard == [QueuePosition(1, None, "the queue is paused")]
    assert desk.turns.position("b") == QueuePosition(1, None, "the queue is paused")
    assert desk.turns.wait_ms_at_front() == UNKNOWN_MS
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
