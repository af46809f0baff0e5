"""What a change of a task asks of the rest of the house; its actor carries it out, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Tell:
    """Push this event to everybody who watches, now."""

    event: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TellProgress:
    """Push a ``progress`` event; ``delta`` is the text from ``offset`` on. Estimates are added by
    the teller."""

    phase: str
    delta: str
    offset: int


@dataclass(frozen=True, slots=True)
class Record:
    """Store the new state and one audit row. Nobody waits for it."""

    event: str
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Conclude:
    """Store the end state, and only once that is committed push this event and end the channels."""

    event: str


@dataclass(frozen=True, slots=True)
class Enqueue:
    """Stand in the line; at its front if the task had its turn already. ``fallback_only``: it
    waits for a turn of the fallback, the model can do nothing more for it."""

    front: bool
    fallback_only: bool = False


@dataclass(frozen=True, slots=True)
class Dequeue:
    """Leave the line."""


@dataclass(frozen=True, slots=True)
class StartGenerating:
    """Send the request to the engine, with what there is so far, and bound the time it may take.
    If the turn is the fallback's, the engine is that of the fallback model."""

    timeout_ms: int | None


@dataclass(frozen=True, slots=True)
class AskFallback:
    """Ask the fallback for an answer."""


@dataclass(frozen=True, slots=True)
class StopGenerating:
    """Tell the engine to stop this task."""


@dataclass(frozen=True, slots=True)
class Release:
    """The slot is free again."""


@dataclass(frozen=True, slots=True)
class Wake:
    """Send `Due` after this time. It may be sooner than the task is due: then it asks again."""

    delay_ms: int


Effect = (
    Tell | TellProgress | Record | Conclude | Enqueue | Dequeue | StartGenerating | AskFallback
    | StopGenerating | Release | Wake
)  # fmt: skip
