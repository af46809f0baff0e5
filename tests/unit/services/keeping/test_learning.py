"""What the estimates have learnt is kept, and used again where that is right."""

from __future__ import annotations

import orjson
import pytest

from edge.actors import Crash
from edge.clock import NS_PER_MS
from edge.services.keeping.learning import KEEP_EVERY_MS, VERSION, Learning, kept, resume
from edge.services.task.forecast import Forecast
from edge.tasks.line import Line
from tests.support.ears import Quiet

MODEL = "tiny 100"


class House(Quiet):
    def __init__(self) -> None:
        super().__init__()
        self.forecast = Forecast(Line(step_ms=0), self.clock)
        self.kept: list[str] = []
        self.ref = self.system.spawn(Learning(self.forecast, MODEL, self.kept.append))

    def learn(self) -> None:
        self.forecast.estimator.lengths.saw("ada\0user", 20, 200)

    def again(self, text: str, model: str = MODEL) -> Forecast:
        """The estimates of a node that starts with this text."""
        forecast = Forecast(Line(step_ms=0), self.clock)
        resume(forecast, model, text, self.news.telemetry)
        return forecast

    @property
    def forgotten(self) -> list[str]:
        return [str(each.fields["reason"]) for each in self.news.of("estimates.forgotten")]


@pytest.fixture
def house() -> House:
    return House()


def test_what_is_new_is_kept_now_and_then(house: House) -> None:
    house.advance(KEEP_EVERY_MS)
    assert house.kept == [], "nothing was learnt"
    house.learn()
    house.advance(KEEP_EVERY_MS - 1)
    assert house.kept == []
    house.advance(1)
    house.advance(10 * KEEP_EVERY_MS)
    assert len(house.kept) == 1


def test_it_is_kept_at_a_stop_and_not_at_a_crash(house: House) -> None:
    house.learn()
    house.ref.kill(Crash(RuntimeError("asked to")))
    assert house.kept == []
    another = house.system.spawn(Learning(house.forecast, MODEL, house.kept.append))
    house.learn()
    house.work()
    another.stop()
    house.work()
    assert len(house.kept) == 1


def test_the_next_node_goes_on_from_it(house: House) -> None:
    house.learn()
    house.clock.advance(NS_PER_MS)
    again = house.again(kept(house.forecast, MODEL))
    assert again.to_json() == house.forecast.to_json()
    assert house.forgotten == []


def test_what_is_of_another_model_is_not_used(house: House) -> None:
    house.learn()
    again = house.again(kept(house.forecast, "other 7"))
    assert again.to_json() == Forecast(Line(step_ms=0), house.clock).to_json()
    assert house.forgotten == ["it is about another model, other 7"]


@pytest.mark.parametrize(
    "text", ["{", "[]", "7", '{"version": 1}', '{"version": 1, "model": "tiny 100", "learnt": 5}']
)
def test_what_is_damaged_is_not_used(house: House, text: str) -> None:
    again = house.again(text)
    assert again.to_json() == Forecast(Line(step_ms=0), house.clock).to_json()
    (reason,) = house.forgotten
    assert reason.startswith("it is damaged")


def test_what_a_later_version_has_kept_is_not_used(house: House) -> None:
    later = orjson.loads(kept(house.forecast, MODEL)) | {"version": VERSION + 1}
    house.again(orjson.dumps(later).decode())
    assert house.forgotten == ["its form is another"]


def test_a_new_file_has_nothing_to_forget(house: House) -> None:
    house.again("")
    assert house.forgotten == []
