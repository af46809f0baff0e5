"""What a supervisor is told about a child, and what it remembers of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edge.actors.actor import Actor
from edge.actors.reasons import SHUTDOWN, Reason
from edge.actors.ref import Ref
from edge.clock import NS_PER_MS, Clock, Timer

Restart = Literal["permanent", "transient", "temporary"]


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to start one child, and what its end means.

    ``name`` is the name that it is registered under, unique in the system. ``start`` makes a new
    actor object for every life. ``restart``: permanent, after every end; transient, after an
    abnormal one; temporary, never. ``shutdown_ms`` is how long the child may take to end when
    asked; 0 kills it at once. ``own_budget`` gives it a restart budget of its own whatever the
    supervisor's ``budget`` says.
    """

    name: str
    start: Callable[[], Actor]
    restart: Restart = "permanent"
    shutdown_ms: float = 5_000
    own_budget: bool = False
    mailbox_messages_max: int | None = None

    def restarts_after(self, reason: Reason) -> bool:
        """Whether an end for this reason is followed by another life."""
        return self.restart == "permanent" or (self.restart == "transient" and reason.abnormal)


class Child:
    """One child of a supervisor over all its lives."""

    __slots__ = ("_deadline", "asked", "leaving", "ref", "restarts", "restarts_ns", "spec")

    def __init__(self, spec: ChildSpec, ref: Ref) -> None:
        self.spec = spec
        self.ref = ref
        self.restarts = 0
        self.restarts_ns: tuple[int, ...] = ()
        self.asked = False  # the supervisor itself wants this life to end
        self.leaving = False  # and no other life after it
        self._deadline: Timer | None = None

    def begin(self, ref: Ref) -> None:
        """The next life."""
        self.ref = ref
        self.asked = False

    def ask_to_stop(self, clock: Clock) -> None:
        """Asks the child to end and kills it at its deadline; a second time changes nothing."""
        if self.asked:
            return
        self.asked = True
        if self.spec.shutdown_ms <= 0:
            self.ref.kill()
            return
        self.ref.stop(SHUTDOWN)
        self._deadline = clock.call_after(int(self.spec.shutdown_ms * NS_PER_MS), self.ref.kill)

    def ended(self) -> None:
        """The child is dead, or its supervisor is: no deadline is needed any more."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
