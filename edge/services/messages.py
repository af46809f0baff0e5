"""What task actors hear from channels and from the gateway, and what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from edge.actors import Ref
from edge.engine.messages import Generate, Sampling
from edge.services import wire
from edge.tasks.task import Request, Task


@dataclass(frozen=True, slots=True)
class Watch:
    """A channel wants to hear of this task, from character ``offset`` on. Answered to the channel
    by `Watching`; then events follow, unless it follows all of its client's tasks anyway and only
    wants to know how this one stands (``once``)."""

    channel: Ref
    offset: int
    once: bool = False


@dataclass(frozen=True, slots=True)
class Watching:
    """The task as it is, and the text that the channel has not seen, from ``offset`` on: where it
    asked from, or where the text ends if that is before."""

    task_id: str
    document: dict[str, Any]
    delta: str
    offset: int
    ended: bool


@dataclass(frozen=True, slots=True)
class Fetched:
    """The task was no longer in memory; this is what the store has of it, None for nothing."""

    task_id: str
    task: Task | None


LOOK_AGAIN_MS: Final = 100


@dataclass(frozen=True, slots=True)
class LookAgain:
    """The store has the task unfinished, though no actor has it: its end is being committed. It is
    time to look again."""

    task_id: str


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """One event for whoever watches. ``last`` when the channel is to close after it."""

    task_id: str
    event: str
    payload: dict[str, Any]
    last: bool


def stored(task: Task, offset: int) -> Watching:
    """An ended task from the store, for a channel that has its first ``offset`` characters."""
    offset = task.resume_offset(offset)
    return Watching(task.task_id, wire.document(task), task.text[offset:], offset, True)


class Describe:
    """A call: the task's document."""


class CancelTask:
    """A call: cancel it. Conflict when it has ended."""


class RetryTask:
    """A call: run it again from the beginning. Conflict unless it has ended."""


@dataclass(frozen=True, slots=True)
class Command:
    """`CancelTask` or `RetryTask` from a channel; answered to it by `Commanded` with ``ref``."""

    request: CancelTask | RetryTask
    channel: Ref
    ref: object


@dataclass(frozen=True, slots=True)
class Commanded:
    """What became of a `Command`: the task's document, or why not."""

    ref: object
    document: dict[str, Any] | None
    refusal: str | None


def generate(request: Request, key: int, tokens: list[int], chars: int) -> Generate:
    """The request as the engine wants it. A prompt is a user's message to the model."""
    options = request.options
    messages = request.messages
    if messages is None:
        assert request.prompt is not None
        messages = (("user", request.prompt),)
    return Generate(
        key=key,
        prompt=None,
        messages=messages,
        sampling=Sampling(
            max_tokens=options.max_tokens,
            temperature=options.temperature,
            top_p=options.top_p,
            top_k=options.top_k,
            min_p=options.min_p,
            seed=options.seed,
            stop=options.stop,
            ignore_eos=options.ignore_eos,
        ),
        resume_tokens=tuple(tokens),
        resume_chars=chars,
    )
