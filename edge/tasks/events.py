"""What can happen to a task; see `edge.tasks.machine` for what follows from it."""

from __future__ import annotations

from dataclasses import dataclass

from edge.tasks.task import Usage


@dataclass(frozen=True, slots=True)
class Begin:
    """The task has just been accepted."""


@dataclass(frozen=True, slots=True)
class Recover:
    """The task was rebuilt from a snapshot, in a new actor or a new process; what it became after
    the snapshot is lost, though clients may have seen it."""


@dataclass(frozen=True, slots=True)
class Due:
    """The time that a scheduled or retryable task waits for may have come."""


@dataclass(frozen=True, slots=True)
class Start:
    """A slot is free for this task."""


@dataclass(frozen=True, slots=True)
class Admit:
    """The engine took the task: its prompt has this many tokens, some of them cached. ``dialect``
    is how its text will say calls of tools and what the model thinks, None if it does not."""

    prompt_tokens: int
    cached_tokens: int
    dialect: str | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """The engine is done: ``reason`` is stop or length, ``text`` the last that it held back."""

    reason: str
    text: str
    usage: Usage
    prefill_ms: float
    decode_ms: float


@dataclass(frozen=True, slots=True)
class Fail:
    """An attempt failed. ``retry_in_ms`` is the wait before the next one, if there is to be one;
    an error that no repetition can cure has ``recoverable`` False. ``fallback`` says that somebody
    else may answer once the attempts are used up."""

    code: str
    message: str
    recoverable: bool
    retry_in_ms: int
    fallback: bool = False


@dataclass(frozen=True, slots=True)
class Lose:
    """The engine is gone, and it is not known to be this task's fault: the attempt does not
    count."""

    reason: str


@dataclass(frozen=True, slots=True)
class StartFallback:
    """It is the fallback's turn with this task; ``reason`` is why the model's does not come."""

    reason: str


@dataclass(frozen=True, slots=True)
class HandOver:
    """The fallback model is ready to go on with it."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The fallback has no answer either."""

    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Somebody else than the model answered: ``source`` is history, fallback_model or notice.
    ``text`` follows what the client has seen already."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """The client does not want it any more."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The client wants an ended task run again from the beginning."""


Event = (
    Begin | Recover | Due | Start | Admit | Finish | Fail | Lose | StartFallback
    | HandOver | Unanswered | Answer | Cancel | Retry
)  # fmt: skip
