"""Actors that only listen, on a manual clock."""

from __future__ import annotations

from typing import TypeVar

from edge.actors import Actor, Ref, System
from edge.clock import NS_PER_MS, ManualClock
from tests.support.rows import Heard

M = TypeVar("M")


class Ear(Actor):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def handle(self, message: object) -> None:
        self.heard.append(message)

    def of(self, kind: type[M]) -> list[M]:
        return [message for message in self.heard if isinstance(message, kind)]


class Quiet:
    """A system of actors in which nothing moves by itself."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.news = Heard()
        self.system = System(self.clock, lambda call: None, on_event=self.news.telemetry.emit)

    def ear(self, name: str | None = None) -> tuple[Ear, Ref]:
        ear = Ear()
        return ear, self.system.spawn(ear, name=name)

    def work(self) -> None:
        self.system.run_pending()

    def advance(self, ms: int) -> None:
        """Time passes, and everybody works."""
        self.work()
        self.clock.advance(ms * NS_PER_MS)
        self.work()
