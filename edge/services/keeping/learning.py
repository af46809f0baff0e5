"""Has it remembered what the estimates have learnt, so that a node that starts knows it already.

It is one JSON text in the database, with a version and the model that it is about. Nothing depends
on it but how good estimates are at first: one that is damaged, or about another model, is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import orjson

from edge.actors import Actor, Reason
from edge.services.task.forecast import Forecast
from edge.tasks.task import UNREADABLE
from edge.telemetry import Telemetry

KEEP_EVERY_MS: Final = 300_000
"""What a kill takes away. With a thousand clients it is a text of some 300 KB."""
VERSION: Final = 1


def kept(forecast: Forecast, model: str) -> str:
    """What was learnt of this model, as it is kept."""
    learnt = {"version": VERSION, "model": model, "learnt": forecast.to_json()}
    return orjson.dumps(learnt, option=orjson.OPT_NON_STR_KEYS).decode()


def resume(forecast: Forecast, model: str, text: str, telemetry: Telemetry) -> None:
    """Goes on from what was `kept`, if it can be used; telemetry has it when it cannot."""
    if not text:
        return
    try:
        value = orjson.loads(text)
        version, about = value["version"], value["model"]
        if (version, about) == (VERSION, model):
            forecast.resume(value["learnt"])
            return
    except UNREADABLE as error:
        reason = f"it is damaged ({error!r})"
    else:
        reason = (
            f"it is about another model, {about}" if version == VERSION else "its form is another"
        )
    telemetry.emit("estimates.forgotten", reason=reason)


class _Due:
    """It is time to keep what there is."""


class Learning(Actor):
    """Gives `keep` what was learnt, every `KEEP_EVERY_MS` and at the end, when it is new."""

    def __init__(self, forecast: Forecast, model: str, keep: Callable[[str], object]) -> None:
        self._forecast = forecast
        self._model = model
        self._keep = keep
        self._kept = ""

    def started(self) -> None:
        self._kept = kept(self._forecast, self._model)
        self.send_after(KEEP_EVERY_MS, _Due())

    def handle(self, message: object) -> None:
        assert isinstance(message, _Due), message
        self._look()
        self.send_after(KEEP_EVERY_MS, _Due())

    def stopped(self, reason: Reason) -> None:
        if not reason.abnormal:
            self._look()

    def _look(self) -> None:
        text = kept(self._forecast, self._model)
        if text != self._kept:
            self._kept = text
            self._keep(text)
