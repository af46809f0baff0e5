"""Notices that the engine has been out for so long that tasks had better be answered otherwise."""

from __future__ import annotations

from collections.abc import Callable

from edge.actors import Actor, Down
from edge.clock import Timer
from edge.inference import EngineDown, EngineGivenUp, EngineUp, follow_engine
from edge.telemetry import Telemetry


class _Patience:
    """It has been out for too long."""


class OutageWatch(Actor):
    """Tells of an outage, by calling `tell`: at once when the engine was given up, else after
    ``outage_ms`` without one; and of its end when there is an engine again."""

    def __init__(
        self,
        engine_name: str,
        tell: Callable[[bool], object],
        outage_ms: int,
        telemetry: Telemetry,
    ) -> None:
        self._engine_name = engine_name
        self._say = tell
        self._outage_ms = outage_ms
        self._telemetry = telemetry
        self._timer: Timer | None = None
        self._out: bool | None = None
        self._reason = ""

    def started(self) -> None:
        follow_engine(self, self._engine_name)

    def handle(self, message: object) -> None:
        match message:
            case EngineUp():
                self._forget_timer()
                self._tell(out=False)
            case EngineDown(reason=reason, retry_in_ms=retry_in_ms):
                self._reason = reason
                if retry_in_ms is None:
                    # Stopped on purpose, it is nobody's outage.
                    self._forget_timer()
                elif self._timer is None:
                    self._timer = self.send_after(self._outage_ms, _Patience())
            case EngineGivenUp(reason=reason):
                self._reason = reason
                self._tell(out=True)
            case _Patience():
                self._tell(out=True)
            case Down():
                follow_engine(self, self._engine_name)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self, *, out: bool) -> None:
        if out == self._out:
            return
        if out:
            self._telemetry.emit("fallback.opened", reason=self._reason)
        elif self._out:
            self._telemetry.emit("fallback.closed")
        self._out = out
        self._say(out)
