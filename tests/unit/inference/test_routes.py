"""Who hears what, with real actors and no engine."""

from __future__ import annotations

import pytest

from edge.actors import Actor, Ref, System
from edge.clock import ManualClock
from edge.engine.messages import Admitted, Finished, Output, Rejected, Step
from edge.inference import EngineLost
from edge.inference.routes import Routes


class Ear(Actor):
    def __init__(self) -> None:
        self.heard: list[object] = []

    def handle(self, message: object) -> None:
        self.heard.append(message)


class House:
    def __init__(self) -> None:
        self.system = System(ManualClock(), lambda call: None)
        self.orphans: list[int] = []
        self.routes = Routes(self.orphans.append)
        self.ears: dict[int, Ear] = {}

    def add(self, key: int, *, ended_engine: bool = False) -> Ref:
        self.ears[key] = Ear()
        ref = self.system.spawn(self.ears[key])
        self.routes.add(key, ref, ended_engine=ended_engine)
        return ref

    def heard(self, key: int) -> list[object]:
        self.system.run_pending()
        return self.ears[key].heard


def step(*messages: Admitted | Output | Finished) -> Step:
    return Step(
        1,
        tuple(m for m in messages if isinstance(m, Admitted)),
        tuple(m for m in messages if isinstance(m, Output)),
        tuple(m for m in messages if isinstance(m, Finished)),
        *(0, 0, 0, 0),
    )


def finished(key: int) -> Finished:
    return Finished(key, "stop", "", 1, 0, 1, 1.0, 1.0)


@pytest.fixture
def house() -> House:
    return House()


def test_everybody_hears_the_own_messages_in_order(house: House) -> None:
    house.add(1)
    house.add(2)
    one = (Admitted(1, 3, 0), Output(1, 3, (7,), "a"), finished(1))
    two = Output(2, 1, (), "")
    house.routes.step(step(*one, two))
    assert house.heard(1) == list(one)
    assert house.heard(2) == [two]
    assert 1 not in house.routes
    assert 2 in house.routes


def test_messages_for_unknown_keys_are_dropped(house: House) -> None:
    house.routes.step(step(Admitted(9, 1, 0), Output(9, 1, (1,), "x"), finished(9)))
    house.routes.end(Rejected(9, "x", "x", False))
    assert house.orphans == []


@pytest.mark.parametrize("message", [Admitted(1, 3, 0), Output(1, 3, (7,), "a")])
def test_what_a_dead_actor_wanted_is_an_orphan_once(
    house: House, message: Admitted | Output
) -> None:
    house.add(1).kill()
    house.routes.step(step(message))
    house.routes.step(step(message))
    assert house.orphans == [1]
    assert len(house.routes) == 0


def test_alone_and_at_fault_is_the_cause(house: House) -> None:
    house.add(1)
    house.routes.step(step(Output(1, 1, (5,), "a")))
    assert house.routes.lose_all("gone", own_fault=True) == 1
    assert house.heard(1)[-1] == EngineLost(1, "gone", caused=True)
    assert len(house.routes) == 0


def test_of_several_all_may_have_caused_it_and_most_of_all_the_silent(house: House) -> None:
    for key in (1, 2, 3):
        house.add(key)
    house.routes.step(step(Output(1, 1, (5,), "a"), Output(2, 1, (5,), "a"), Output(3, 1, (), "")))
    assert house.routes.culprit() is None
    house.routes.lose_all("gone", own_fault=True)
    for key in (1, 2, 3):
        assert losses(house, key) == [EngineLost(key, "gone", False, True, silent=key == 3)]


def test_who_has_done_it_before_is_the_cause_beside_others(house: House) -> None:
    house.add(1)
    house.add(2, ended_engine=True)
    house.routes.step(step(Output(1, 1, (5,), "a")))
    assert house.routes.culprit() == 2
    house.routes.lose_all("gone", own_fault=True)
    assert losses(house, 1) == [EngineLost(1, "gone", caused=False)]
    assert losses(house, 2) == [EngineLost(2, "gone", caused=True, silent=True)]


def test_who_had_done_it_before_and_then_made_a_token_is_one_of_several(house: House) -> None:
    house.add(1)
    house.add(2, ended_engine=True)
    house.routes.step(step(Output(2, 1, (5,), "a")))
    assert house.routes.culprit() is None


def test_an_end_from_outside_is_caused_by_nobody(house: House) -> None:
    house.add(1)
    house.add(2)
    house.routes.lose_all("gone", own_fault=False)
    for key in (1, 2):
        assert losses(house, key) == [EngineLost(key, "gone", caused=False, silent=True)]


def losses(house: House, key: int) -> list[EngineLost]:
    found = [message for message in house.heard(key) if isinstance(message, EngineLost)]
    assert len(found) == 1
    return found
