"""Turns, trials and detours, with tasks that only listen."""

from __future__ import annotations

from functools import partial

import pytest

from edge.actors import ChildSpec, Crash, Ref, Supervisor
from edge.engine.messages import Ready
from edge.inference import Abort, EngineUp
from edge.services.dispatcher import (
    Board,
    Cleared,
    Dequeue,
    Dispatcher,
    Enqueue,
    Holding,
    Outage,
    Recount,
    Release,
    Turn,
    Watched,
)
from edge.services.wire import Place
from tests.support.ears import Ear, Quiet

SLOTS = 2
UP = EngineUp(Ready("scripted", 0, 0, 100, 4_096, SLOTS, False, "a script", False))


def _same(ear: Ear) -> Ear:
    return ear


class Line(Quiet):
    """A dispatcher with an engine that only listens; tasks are named as the test likes."""

    def __init__(self, detour_slots: int = 1) -> None:
        super().__init__()
        self.board = Board(1_000, detour_slots)
        self.engine, self.engine_ref = self.ear("engine")
        self.tasks: dict[str, tuple[Ear, Ref]] = {}
        self.supervisor = Supervisor(budget="child")
        self.system.spawn(self.supervisor, name="tasks")
        self.bring_back()

    def bring_back(self) -> None:
        self.dispatcher = self.system.spawn(Dispatcher(self.board, "engine", 250), name="d")
        self.work()

    def tell(self, message: object) -> None:
        self.dispatcher.send(message)
        self.work()

    def enqueue(self, *names: str, client: str = "ada", front: bool = False, **how: bool) -> None:
        for name in names:
            if name not in self.tasks:
                ear = Ear()
                spec = ChildSpec(f"task:{name}", partial(_same, ear), restart="temporary")
                self.tasks[name] = ear, self.supervisor.start_child(spec)
            self.tell(Enqueue(name, client, 0, front, self.tasks[name][1], **how))

    def turns(self, name: str) -> list[Turn]:
        return self.tasks[name][0].of(Turn)

    def running(self) -> set[str]:
        refs = [each.ref for each in self.board.running.values()]
        return {name for name, (_, ref) in self.tasks.items() if ref in refs}

    def release(self, name: str) -> None:
        self.tell(Release(self.turns(name)[-1].key, 100.0, 5, 50.0))


@pytest.fixture
def line() -> Line:
    return Line()


def test_slots_are_given_in_order_and_again_when_they_are_released(line: Line) -> None:
    line.enqueue("a", "b", "c")
    assert line.running() == set()
    line.tell(UP)
    assert line.running() == {"a", "b"}
    assert line.board.waiting == 1
    line.release("a")
    assert line.running() == {"b", "c"}


def test_an_actor_that_ends_gives_its_slot_back_and_its_sequence_is_ended(line: Line) -> None:
    line.tell(UP)
    line.enqueue("a", "b", "c")
    line.tasks["a"][1].kill()
    line.work()
    assert line.running() == {"b", "c"}
    assert line.engine.of(Abort) == [Abort(line.turns("b")[0].key - 1)]


def test_who_is_watched_hears_of_its_place(line: Line) -> None:
    line.enqueue("a", "b")
    line.tell(Watched("b"))
    line.advance(250)
    assert [place.position for place in line.tasks["b"][0].of(Place)] == [2]
    line.tell(Dequeue("a"))
    line.advance(250)
    assert [place.position for place in line.tasks["b"][0].of(Place)] == [2, 1]


def test_who_has_its_turn_already_has_no_place_to_hear_of(line: Line) -> None:
    line.tell(UP)
    line.enqueue("a")
    line.tell(Watched("a"))
    line.advance(250)
    assert line.tasks["a"][0].of(Place) == []
    assert line.clock.timers_pending() == 0


def test_suspects_come_first_and_one_by_one(line: Line) -> None:
    line.enqueue("other", "more")
    line.enqueue("less", trial=True)
    line.enqueue("most", trial=True, front=True)
    line.tell(UP)
    assert line.running() == {"most"}, "alone, though there is a second slot"
    assert line.turns("most")[0].trial
    line.tell(Cleared(line.turns("most")[0].key))
    assert line.running() == {"most", "less"}
    line.release("most")
    assert line.running() == {"less"}, "nobody beside who is on trial"
    line.tell(Cleared(line.turns("less")[0].key))
    assert line.running() == {"less", "other"}
    assert not line.turns("other")[0].trial


@pytest.mark.parametrize("end", ["release", "crash"])
def test_a_trial_is_over_with_the_turn(line: Line, end: str) -> None:
    line.enqueue("suspect", trial=True)
    line.enqueue("other")
    line.tell(UP)
    if end == "release":
        line.release("suspect")
    else:
        line.tasks["suspect"][1].kill(Crash(RuntimeError("asked to")))
        line.work()
    assert line.running() == {"other"}


def test_a_suspect_that_is_cancelled_is_tried_no_more(line: Line) -> None:
    line.enqueue("suspect", trial=True)
    assert line.board.place("suspect") == Place(1, 0)
    line.tell(Dequeue("suspect"))
    assert line.board.waiting == 0
    line.tell(UP)
    assert line.turns("suspect") == []


def test_an_outage_diverts_those_that_allow_it_as_many_as_there_are_slots(line: Line) -> None:
    line.enqueue("proud")
    line.enqueue("a", "b", fallback=True)
    assert line.turns("a") == []
    line.tell(Outage(True))
    assert [turn.detour for turn in line.turns("a")] == [True]
    assert line.turns("b") == line.turns("proud") == []
    line.release("a")
    assert line.turns("b")[0].detour
    line.tell(Outage(False))
    line.release("b")
    line.enqueue("c", fallback=True)
    assert line.turns("c") == []
    assert line.board.waiting == 2


def test_suspects_are_diverted_too(line: Line) -> None:
    line.enqueue("suspect", trial=True, fallback=True)
    line.tell(Outage(True))
    assert line.turns("suspect")[0].detour
    assert line.board.waiting == 0


def test_who_can_only_be_answered_otherwise_needs_no_outage_and_no_engine_slot(
    line: Line,
) -> None:
    line.tell(UP)
    line.enqueue("a", "b", detour=True, fallback=True)
    assert line.turns("a")[0].detour
    assert line.turns("b") == []
    assert line.running() == set()
    line.tasks["a"][1].kill()
    line.work()
    assert line.turns("b")[0].detour
    assert line.engine.of(Abort) == []
    assert line.board.estimator.service_ms == 4_000.0
    line.release("b")
    assert line.board.estimator.service_ms == 4_000.0, "a detour says nothing of the engine"


def test_without_a_fallback_nobody_is_diverted() -> None:
    line = Line(detour_slots=0)
    line.enqueue("a", fallback=True)
    line.tell(Outage(True))
    assert line.turns("a") == []


def test_after_a_crash_the_tasks_say_where_they_stand(line: Line) -> None:
    line.tell(UP)
    line.enqueue("a", "b", "c", "d")
    (a,), (b,) = line.turns("a"), line.turns("b")
    # What it has not read is lost with it: that a is done, that e has come.
    line.dispatcher.send(Release(a.key, 1.0, 1, 1.0))
    line.dispatcher.kill(Crash(RuntimeError("asked to")))
    line.work()
    assert line.running() == {"a", "b"}
    line.bring_back()
    assert [len(line.tasks[name][0].of(Recount)) for name in "abcd"] == [1] * 4
    line.tell(Holding(line.tasks["b"][1], b.key))
    assert line.running() == {"a", "b"}
    line.tell(Holding(line.tasks["a"][1], None))
    assert line.running() == {"b", "c"}
    line.enqueue("d", "e")
    # An answer that was given before a turn of the new dispatcher has nothing to say about it.
    line.tell(Holding(line.tasks["c"][1], None))
    assert line.running() == {"b", "c"}
    assert list(line.board.queue.order()) == ["d", "e"]
    line.tasks["b"][1].kill()
    line.work()
    assert line.running() == {"c", "d"}


def test_who_enqueues_again_keeps_its_place_unless_it_changes_the_line(line: Line) -> None:
    line.enqueue("a", "b")
    line.enqueue("s", "t", trial=True)
    line.enqueue("a")
    line.enqueue("s", trial=True)
    assert (list(line.board.queue.order()), list(line.board.trials)) == (["a", "b"], ["s", "t"])
    line.enqueue("a", trial=True)
    line.enqueue("s")
    assert (list(line.board.queue.order()), list(line.board.trials)) == (["b", "s"], ["t", "a"])


def test_a_node_that_drains_gives_no_turns_and_says_when_none_is_held(line: Line) -> None:
    idle: list[str] = []
    line.enqueue("a", "b", "c")
    line.tell(UP)
    line.board.draining = True
    line.board.when_idle = lambda: idle.append("idle")
    line.release("a")
    # An engine that comes back while the node drains changes nothing.
    line.tell(UP)
    assert line.running() == {"b"}
    assert idle == []
    line.release("b")
    assert idle == ["idle"]
    assert line.board.waiting == 1


def test_after_a_crash_those_who_die_before_they_answer_are_forgotten(line: Line) -> None:
    line.tell(UP)
    line.enqueue("a", "b")
    line.dispatcher.kill(Crash(RuntimeError("asked to")))
    line.work()
    line.bring_back()
    line.tasks["a"][1].kill()
    line.work()
    line.tell(Holding(line.tasks["b"][1], line.turns("b")[-1].key))
    dispatcher = line.dispatcher.actor()
    assert isinstance(dispatcher, Dispatcher)
    assert dispatcher._unconfirmed == {}
    assert line.running() == {"b"}
