from __future__ import annotations

import pytest

from edge.actors import System
from edge.clock import NS_PER_MS, ManualClock, Moment
from edge.services.keeping.timekeeper import NOTE_EVERY_MS, SET_MS_MIN, Timekeeper
from tests.support.rows import Heard


class House:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.heard = Heard()
        self.system = System(self.clock, lambda _pump: None)
        self.noted: list[Moment] = []
        keeper = Timekeeper(lambda: self.noted.append(self.clock.moment()), self.heard.telemetry)
        self.system.spawn(keeper)

    def advance(self, ms: int) -> None:
        self.clock.advance(ms * NS_PER_MS)
        self.system.run_pending()

    def set_by(self, ms: int) -> None:
        self.clock.set_wall(self.clock.wall_ns() + ms * NS_PER_MS)

    @property
    def told_ms(self) -> list[object]:
        return [event.fields["by_ms"] for event in self.heard.of("clock.set")]


@pytest.fixture
def house() -> House:
    return House()


def test_the_time_is_noted_at_the_start_and_every_minute(house: House) -> None:
    begun = house.clock.moment()
    house.advance(NOTE_EVERY_MS - 1)
    assert house.noted == [begun]
    house.advance(1)
    house.advance(NOTE_EVERY_MS)
    assert [each.run_ns for each in house.noted[1:]] == [
        NOTE_EVERY_MS * NS_PER_MS, 2 * NOTE_EVERY_MS * NS_PER_MS,
    ]  # fmt: skip


@pytest.mark.parametrize("by_ms", [SET_MS_MIN, -SET_MS_MIN, 10**12, -(10**12)])
def test_who_sets_the_wall_clock_is_told_once(house: House, by_ms: int) -> None:
    house.set_by(by_ms)
    for _ in range(3):
        house.advance(NOTE_EVERY_MS)
    assert house.told_ms == [by_ms]


def test_what_the_network_s_time_corrects_and_the_machine_s_sleep_are_no_news(
    house: House,
) -> None:
    for _ in range(3):
        house.set_by(SET_MS_MIN - 1)
        house.clock.sleep(10**15)
        house.advance(NOTE_EVERY_MS)
    assert house.told_ms == []
