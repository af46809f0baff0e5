"""Where a task stands and how long it will take."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge.clock import NS_PER_MS, NS_PER_S
from edge.services.task.forecast import FALLBACK_MS_GUESS, LOAD_MS_GUESS, EngineOutlook, Forecast
from edge.services.task.wire import QueuePosition
from edge.tasks.line import Line
from edge.tasks.task import UNREADABLE, Usage
from tests.support.desk import Desk


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.teach(10.0, 1)
    desk.turns.engine_up(1)
    return desk


def test_a_place_has_an_estimate_of_what_is_before_it(desk: Desk) -> None:
    running = desk.wait("a")
    desk.wait("b")
    desk.wait("c")
    first_ms, second_ms = desk.eta_ms("b"), desk.eta_ms("c")
    assert (desk.place("b").position, desk.place("c").position) == (1, 2)
    assert second_ms - first_ms == pytest.approx(100, abs=5)
    running.tokens, running.usage, running.prefill_done = [7] * 3, Usage(1, 0, 0), 1
    assert desk.eta_ms("b") == first_ms - 31
    assert desk.turns.position("a") is None
    assert desk.turns.position("nobody") is None


def test_an_engine_that_is_down_delays_and_does_not_multiply(desk: Desk) -> None:
    desk.teach(10.0, 4)
    desk.turns.engine_up(4)
    for number in range(40):
        desk.wait(f"{number}", most=100)
    before_ms = desk.eta_ms("39")
    for number in range(4):
        desk.turns.release(desk.turn(f"{number}").key, None)
    desk.turns.engine_down("restarting: it died", 500)
    place = desk.place("39")
    assert place.waits_for == "the engine is restarting: it died"
    assert place.eta_ms is not None
    assert before_ms < place.eta_ms + 1_000 < before_ms + 500 + LOAD_MS_GUESS + 1_000


def test_where_nobody_knows_nothing_is_told(desk: Desk) -> None:
    desk.wait("a")
    desk.wait("b")
    desk.turns.engine_down("given up: no model", None)
    assert desk.place("b") == QueuePosition(1, None, "the engine is given up: no model")
    desk.turns.engine_up(1)
    desk.turns.pause()
    assert desk.place("b") == QueuePosition(1, None, "the queue is paused")
    assert desk.turns.wait_ms_at_end() is None


def test_the_time_to_load_is_learnt_and_a_late_engine_is_later_still() -> None:
    engine = EngineOutlook()
    for _ in range(40):
        engine.down("loads", 0, 0)
        engine.up(8_000 * NS_PER_MS)
    assert engine.load_ms == pytest.approx(8_000, rel=0.01)
    engine.down("died", 1_000, 0)
    assert engine.wait_ms(0) == pytest.approx(9_000, rel=0.01)
    assert engine.wait_ms(4 * NS_PER_S) == pytest.approx(5_000, rel=0.01)
    assert engine.wait_ms(12 * NS_PER_S) == pytest.approx(3_000, rel=0.03)
    engine.up(12 * NS_PER_S)
    assert engine.load_ms == pytest.approx(8_000, rel=0.01), "the wait before it is no loading"
    assert engine.wait_ms(0) == 0


def test_a_step_is_measured_from_the_one_before_and_not_over_a_pause(desk: Desk) -> None:
    forecast = Forecast(Line(step_ms=0), desk.clock)
    for _ in range(200):
        desk.clock.advance(5 * NS_PER_MS)
        forecast.saw_step(2, 0, running=2)
    assert forecast.estimator.step_ms(2) == pytest.approx(5.0, rel=0.01)
    desk.clock.advance(5 * NS_PER_MS)
    forecast.saw_step(2, 0, running=0)
    desk.clock.advance(10**12)
    forecast.saw_step(2, 0, running=2)
    assert forecast.estimator.step_ms(2) == pytest.approx(5.0, rel=0.01)


def test_one_that_lost_its_turn_has_only_the_rest_to_do(desk: Desk) -> None:
    desk.turns.engine_down("restarting: it died", 0)
    task = desk.wait("a", most=100)
    desk.wait("b")
    first_ms, whole_ms = desk.eta_ms("a"), desk.eta_ms("b")
    task.tokens, task.usage = [0] * 90, Usage(5, 0, 0)
    # Ten tokens are to be written; five, and the ninety that there are, are to be read.
    read_ms = 95 * desk.turns.forecast.estimator.prompt_ms
    assert whole_ms - first_ms > 1_000
    assert desk.eta_ms("b") - first_ms == pytest.approx(10 * 10.0 + read_ms, abs=2)


def test_a_batch_is_told_of_the_questions_that_come_before_it_ends(desk: Desk) -> None:
    for number in range(101):
        desk.wait(f"batch {number}", "batch", most=100)
    alone_ms = desk.eta_ms("batch 100")
    # Somebody else has come every ten seconds, with what takes two.
    for number in range(60):
        desk.clock.advance(10 * NS_PER_S)
        question = desk.task(f"chat {number}", "chat", most=200)
        desk.turns.reserve(question)
        desk.turns.refund(question)
    assert desk.eta_ms("batch 100") == pytest.approx(alone_ms / (1 - 0.2), rel=0.1)
    # Its own client passes nobody, and who is next is passed by nobody.
    assert desk.eta_ms("batch 1") < 2_000
    for number in range(60):
        more = desk.task(f"more {number}", "batch", most=200)
        desk.turns.reserve(more)
        desk.turns.refund(more)
    assert desk.eta_ms("batch 100") == pytest.approx(alone_ms / (1 - 0.2), rel=0.1)


def test_nobody_passes_with_more_than_its_share(desk: Desk) -> None:
    for number in range(101):
        desk.wait(f"batch {number}", "batch", most=100)
    alone_ms = desk.eta_ms("batch 100")
    for number in range(3_000):
        desk.clock.advance(NS_PER_S // 10)
        question = desk.task(f"chat {number}", "chat", most=200)
        desk.turns.reserve(question)
        desk.turns.refund(question)
    assert desk.eta_ms("batch 100") == pytest.approx(2 * alone_ms, rel=0.1)


def test_what_only_the_fallback_answers_waits_for_that(desk: Desk) -> None:
    desk.turns.line.shared.fallback_slots = 1
    for name in "abc":
        desk.wait(name, fallback_only=True)
    assert desk.place("c") == QueuePosition(2, 2 * FALLBACK_MS_GUESS)
    desk.clock.advance(3 * NS_PER_S)
    task = desk.task("a")
    desk.turns.done(desk.turn("a").key, task)
    desk.work()
    assert desk.eta_ms("c") > FALLBACK_MS_GUESS


def test_an_outage_has_those_who_may_wait_for_the_fallback(desk: Desk) -> None:
    desk.turns.line.shared.fallback_slots = 1
    desk.turns.engine_down("given up: no model")
    for name in "abc":
        desk.wait(name, may_fall_back=True)
    assert desk.place("c").eta_ms is None
    desk.turns.set_outage(True)
    assert desk.place("c") == QueuePosition(2, 2 * FALLBACK_MS_GUESS)


def test_near_and_single_places_say_the_same(desk: Desk) -> None:
    for number in range(300):
        desk.wait(f"{number}", f"client {number % 3}", most=10 + number % 50)
    places = {entry.task_id: place for entry, place in desk.turns.forecast.near()}
    assert len(places) == 256
    for number in (1, 5, 50, 90, 200):
        told, place = places[f"{number}"], desk.place(f"{number}")
        assert told.position == place.position
        assert told.eta_ms == pytest.approx(place.eta_ms, rel=0.02)


def test_what_was_learnt_goes_on_after_a_restart(desk: Desk) -> None:
    forecast = desk.turns.forecast
    forecast.engine.load_ms = 7_000.0
    kept = json.loads(json.dumps(forecast.to_json()))
    again = Forecast(Line(step_ms=0), desk.clock)
    again.resume(kept)
    assert again.to_json() == forecast.to_json()
    damaged: Any
    for damaged in ({}, kept | {"load_ms": -1}, kept | {"load_ms": "x"}, kept | {"estimator": {}}):
        with pytest.raises(UNREADABLE):
            again.resume(damaged)
    assert again.to_json() == forecast.to_json()
