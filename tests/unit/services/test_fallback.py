"""The ladder of answers, with an engine's actor that only listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edge.actors import ChildSpec, Crash, Ref, Supervisor
from edge.engine.messages import Ready
from edge.inference import EngineDown, EngineGivenUp, EngineUp, Subscribe
from edge.services.fallback import FallbackActor
from edge.services.task.messages import FallbackReady, FindAnswer, FoundAnswer, NoAnswer
from edge.tasks.task import Options, Request
from tests.support.ears import Ear, Quiet

UP = EngineUp(Ready("tiny", 0, 0, 100, 512, 4, False, "a script", False))
IDLE_MS = 1_000
REQUEST = Request("t", "ada", "hi", None, None, Options())


class Desk(Quiet):
    """A fallback with all that it may have; `known` is the earlier answer, if there is one."""

    def __init__(self, *, model: bool = True, history: bool = True, notice: str = "sorry") -> None:
        super().__init__()
        self.known: str | None = None
        self.request = REQUEST
        self.busy = 0
        self.engines: list[Ear] = []
        self.system.spawn(Supervisor(budget="child"), name="standby")
        spec = ChildSpec("second", self.new_engine)
        self.parts: dict[str, Any] = {
            "find": self.find if history else None,
            "model": spec if model else None,
            "supervisor_name": "standby",
            "notice": notice,
            "idle_ms": IDLE_MS,
            "busy": lambda: self.busy,
        }
        self.start()
        self.task, self.task_ref = self.ear()

    def start(self) -> None:
        self.fallback = self.system.spawn(FallbackActor(**self.parts), name="fallback")

    def find(self, request: Request, got: Callable[[str | None], object]) -> None:
        assert request is self.request
        got(self.known)

    def new_engine(self) -> Ear:
        self.engines.append(Ear())
        return self.engines[-1]

    @property
    def engine_ref(self) -> Ref | None:
        return self.system.registry.whereis("second")

    def seek(self, text: str = "", *, handed_over: bool = False, model: bool = True) -> object:
        """What the task hears; None when it has to wait."""
        before = len(self.task.heard)
        self.tell(FindAnswer(1, self.request, text, handed_over, model, self.task_ref))
        heard = self.task.heard[before:]
        assert len(heard) <= 1
        return heard[0] if heard else None

    def tell(self, message: object) -> None:
        self.fallback.send(message)
        self.work()


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_an_earlier_answer_goes_before_all_else(desk: Desk) -> None:
    desk.known = "Once upon a time"
    assert desk.seek() == FoundAnswer(1, "Once upon a time", "history")
    assert desk.seek("Once ") == FoundAnswer(1, "upon a time", "history")
    assert desk.engines == []


def test_an_earlier_answer_that_does_not_go_on_from_the_text_is_none(desk: Desk) -> None:
    desk.known = "Once upon a time"
    assert desk.seek("There was ") is None, "it waits for the model"
    assert len(desk.engines) == 1


def test_the_model_is_started_when_it_is_wanted_and_all_wait_for_it(desk: Desk) -> None:
    assert desk.seek() is None
    assert desk.seek(handed_over=True) is None
    assert len(desk.engines[0].of(Subscribe)) == 1
    desk.tell(EngineDown("loading", 0))
    desk.tell(UP)
    assert desk.engine_ref is not None
    assert desk.task.heard == [FallbackReady(1, desk.engine_ref)] * 2
    assert desk.seek() == FallbackReady(1, desk.engine_ref), "it is up"


def test_what_was_handed_over_is_not_looked_for_in_history(desk: Desk) -> None:
    desk.known = "Once upon a time"
    assert desk.seek("Once ", handed_over=True) is None


def test_a_model_that_is_given_up_leaves_the_notice(desk: Desk) -> None:
    assert desk.seek("Once ") is None
    desk.tell(EngineGivenUp("no memory"))
    assert desk.task.heard == [FoundAnswer(1, "\n\nsorry", "notice")]
    assert desk.seek() == FoundAnswer(1, "sorry", "notice")
    # It is tried again in a while, and until it is up nobody waits for it.
    desk.tell(EngineDown("loading", 0))
    assert desk.seek() == FoundAnswer(1, "sorry", "notice")
    desk.tell(UP)
    assert isinstance(desk.seek(), FallbackReady)


def test_who_must_not_be_given_to_a_model_gets_the_notice(desk: Desk) -> None:
    assert desk.seek(model=False) == FoundAnswer(1, "sorry", "notice")
    assert desk.engines == []


def test_nothing_at_all_is_said_too() -> None:
    desk = Desk(model=False, history=False, notice="")
    desk.known = "Once upon a time"
    assert isinstance(desk.seek(), NoAnswer)


def test_a_model_without_work_is_ended_and_started_again(desk: Desk) -> None:
    desk.seek()
    desk.tell(UP)
    desk.advance(IDLE_MS)
    assert desk.engine_ref is not None, "it had work since the last look"
    desk.busy = 1
    desk.advance(IDLE_MS)
    assert desk.engine_ref is not None
    desk.busy = 0
    desk.advance(IDLE_MS)
    assert desk.engine_ref is None
    assert desk.seek() is None
    assert len(desk.engines) == 2


def test_who_comes_while_the_model_is_ended_waits_for_the_next(desk: Desk) -> None:
    desk.seek()
    desk.tell(UP)
    desk.advance(IDLE_MS)
    desk.clock.advance(IDLE_MS * 1_000_000)  # it is told to end, and has not yet
    desk.fallback.send(FindAnswer(2, REQUEST, "", False, True, desk.task_ref))
    desk.work()
    assert len(desk.engines) == 2
    desk.tell(UP)
    assert desk.engine_ref is not None
    assert desk.task.heard[-1] == FallbackReady(2, desk.engine_ref)


def test_an_engines_actor_that_crashes_has_a_successor_until_it_has_none(desk: Desk) -> None:
    assert desk.seek() is None
    for count in range(4):
        assert desk.engine_ref is not None
        assert len(desk.engines) == count + 1
        desk.engine_ref.kill(Crash(RuntimeError("asked to")))
        desk.work()
    assert desk.engine_ref is None
    assert desk.task.heard == [FoundAnswer(1, "sorry", "notice")]


def test_after_a_crash_the_engine_that_runs_is_gone_on_with(desk: Desk) -> None:
    desk.seek()
    desk.tell(UP)
    desk.fallback.kill(Crash(RuntimeError("asked to")))
    desk.work()
    desk.start()
    desk.tell(UP)
    assert isinstance(desk.seek(), FallbackReady)
    assert len(desk.engines) == 1


def test_without_a_supervisor_there_is_no_model(desk: Desk) -> None:
    supervisor = desk.system.registry.whereis("standby")
    assert supervisor is not None
    supervisor.kill()
    desk.work()
    assert desk.seek() == FoundAnswer(1, "sorry", "notice")


def test_a_model_that_was_given_up_and_ended_is_tried_anew(desk: Desk) -> None:
    desk.seek()
    desk.tell(EngineGivenUp("no memory"))
    desk.advance(IDLE_MS)
    desk.advance(IDLE_MS)
    assert desk.engine_ref is None
    assert desk.seek() is None
    assert len(desk.engines) == 2


def test_where_the_answer_has_a_form_a_notice_is_none_and_half_an_answer_neither() -> None:
    desk = Desk(model=False)
    form = '{"type":"choice","choices":["yes","no"]}'
    desk.request = replace(REQUEST, options=Options(response_format=form))
    refused = desk.seek()
    assert isinstance(refused, NoAnswer)
    assert "form" in refused.reason
    desk.known = "ye"
    assert isinstance(desk.seek(), NoAnswer)
    desk.known = "yes"
    assert desk.seek("y") == FoundAnswer(1, "es", "history")
