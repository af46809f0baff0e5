"""What a caller of an actor or of the registry may have to handle."""

from __future__ import annotations

from edge.actors.reasons import Reason
from edge.errors import ElwiftError


class ActorDown(ElwiftError):
    """The actor was dead, or died before it replied; ``reason`` says why.

    Whether a request that was under way took effect is not known.
    """

    code = "actor_down"

    def __init__(self, name: str, reason: Reason) -> None:
        super().__init__(f"the actor {name} is gone ({reason}); look it up again and repeat")
        self.reason = reason


class CallTimeout(ElwiftError):
    """No reply within the deadline. The actor lives on, and its late reply will be dropped."""

    code = "call_timeout"

    def __init__(self, name: str, deadline_ms: float) -> None:
        super().__init__(f"the actor {name} did not reply within {deadline_ms:g} ms; it is busy")
        self.deadline_ms = deadline_ms


class AlreadyRegistered(ElwiftError, ValueError):
    """The name is taken by a living actor, or the actor has a name already."""

    code = "already_registered"
