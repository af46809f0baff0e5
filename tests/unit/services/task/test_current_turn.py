"""One turn of a task: where it runs, for how long, and what it gives back."""

from __future__ import annotations

import pytest

from edge.inference import Abort, EngineLost, Run
from edge.services.task.current_turn import CurrentTurn, Timeout
from edge.services.task.messages import FindAnswer, NoAnswer
from edge.services.task.turns import Turn
from edge.tasks.task import ENGINE_DIED, Fallback, Options, Request, State, Task, TaskError
from tests.support.ears import Ear, Quiet
from tests.support.rows import with_text

REQUEST = Request("t", "ada", "hi", None, None, Options(max_tokens=10))


class Desk(Quiet):
    def __init__(self) -> None:
        super().__init__()
        self.engine, self.engine_ref = self.ear("engine")
        self.owner, _ = self.ear()
        self.task = with_text(Task(REQUEST, State.EXECUTING, 0, tokens=[1, 2]), "Once ")

    def turn(self, *, fallback: bool = False) -> CurrentTurn:
        return CurrentTurn(Turn(5, fallback=fallback), self.owner.ref, self.system)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_it_runs_on_the_engine_within_its_time(desk: Desk) -> None:
    turn = desk.turn()
    turn.run(desk.task, 100)
    desk.advance(99)
    (run,) = desk.engine.of(Run)
    assert (run.request.key, run.request.resume_tokens, run.request.begun) == (5, (1, 2), "")
    assert not run.ended_engine
    desk.advance(1)
    assert desk.owner.heard == [Timeout(5)]
    turn.abort()
    turn.abort()
    desk.work()
    assert desk.engine.of(Abort) == [Abort(5)]


def test_after_its_release_no_time_is_up(desk: Desk) -> None:
    turn = desk.turn()
    turn.run(desk.task, 100)
    turn.close()
    desk.advance(100)
    assert desk.owner.heard == []
    assert desk.clock.timers_pending() == 0


def test_without_an_engine_it_is_lost_at_once(desk: Desk) -> None:
    desk.engine_ref.kill()
    desk.work()
    desk.turn().run(desk.task, None)
    desk.work()
    assert [lost.caused for lost in desk.owner.of(EngineLost)] == [False]


def test_another_model_is_told_how_the_answer_begins(desk: Desk) -> None:
    second, second_ref = desk.ear()
    with_text(desk.task, "Once upon a")
    desk.task.fallback = Fallback("fallback_model", 5, 4)
    turn = desk.turn(fallback=True)
    turn.standby = second_ref
    turn.run(desk.task, None)
    desk.work()
    assert desk.engine.heard == []
    (run,) = second.of(Run)
    assert (run.request.begun, run.request.resume_tokens) == ("Once ", (1, 2))
    assert (run.request.resume_chars, run.request.sampling.max_tokens) == (6, 6)


def test_who_has_ended_an_engine_is_announced_as_such(desk: Desk) -> None:
    desk.task.add_error(TaskError(1, 0, ENGINE_DIED, "SIGSEGV"))
    desk.turn().run(desk.task, None)
    desk.work()
    assert [run.ended_engine for run in desk.engine.of(Run)] == [True]


def test_the_fallback_is_asked_and_watched(desk: Desk) -> None:
    fallback, ref = desk.ear("fallback")
    turn = desk.turn(fallback=True)
    turn.ask_fallback(desk.task, model=False)
    desk.work()
    me = desk.owner.ref
    assert fallback.heard == [FindAnswer(5, REQUEST, "Once ", False, False, me)]
    assert turn.asked(ref)
    turn.close()
    ref.kill()
    desk.work()
    assert desk.owner.heard == [], "after the release nobody has to know"


def test_without_a_fallback_there_is_no_answer(desk: Desk) -> None:
    desk.turn(fallback=True).ask_fallback(desk.task, model=True)
    desk.work()
    assert len(desk.owner.of(NoAnswer)) == 1
    assert isinstance(desk.owner, Ear)
