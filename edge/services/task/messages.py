"""What task actors hear from channels and from the gateway, and what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from edge.actors import Ref
from edge.conversation import NONE, Message
from edge.engine.messages import Generate, Sampling
from edge.services.task import answer_form, wire
from edge.tasks.task import Request, Task


@dataclass(frozen=True, slots=True)
class Watch:
    """A channel wants to hear of this task, from character ``offset`` on. Answered to the channel
    by `Watching`; then events follow, unless it follows all of its client's tasks anyway and only
    wants to know how this one stands (``once``). They follow beyond the task's end, in case it is
    run again, until the channel ends. ``exact``: it has heard of every rewind since it was told
    that text, so that all of it is still the task's."""

    channel: Ref
    offset: int
    once: bool = False
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Watching:
    """The task as it is, and the text that the channel has not seen, from ``offset`` on: where it
    asked from, or where the text ends if that is before. ``delta`` is a page of it at most, of a
    task that an actor has; ``chars`` is how long the whole text is."""

    task_id: str
    document: dict[str, Any]
    delta: str
    offset: int
    chars: int
    ended: bool


@dataclass(frozen=True, slots=True)
class TooMany:
    """As many channels watch this task as may; this one hears nothing of it."""

    task_id: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """The task was no longer in memory; this is what the store has of it, None for nothing."""

    task_id: str
    task: Task | None


LOOK_AGAIN_MS: Final = 100


@dataclass(frozen=True, slots=True)
class ModelRefused:
    """To a task that waits: its model cannot be had, for a reason that is a sentence. It stands in
    the line no more."""

    reason: str


@dataclass(frozen=True, slots=True)
class LookAgain:
    """It is time to look again: the store had the task unfinished, though no actor has it, so that
    its end was being committed; or an ended one that a channel stays with is in memory again."""

    task_id: str


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """One event for whoever watches. ``last`` when it is the task's end, after which a channel
    closes that does not stay."""

    task_id: str
    event: str
    payload: dict[str, Any]
    last: bool


def stored(task: Task, offset: int) -> Watching:
    """An ended task from the store, for a channel that has its first ``offset`` characters."""
    offset, text = task.resume_offset(offset), task.text
    return Watching(task.task_id, wire.document(task), text[offset:], offset, len(text), True)


class Describe:
    """A call: the task's document, with its logprobs."""


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


@dataclass(frozen=True, slots=True)
class FindAnswer:
    """To the fallback: is there another answer? ``text`` is what there is of the task's own;
    ``handed_over`` when another has gone on with it already. With ``model`` False the fallback's
    model is out of the question. Answered to ``ref`` by `FoundAnswer`, `FallbackReady` or
    `NoAnswer`."""

    key: int
    request: Request
    text: str
    handed_over: bool
    model: bool
    ref: Ref


@dataclass(frozen=True, slots=True)
class FoundAnswer:
    """Here is the answer, from where the task's text ends."""

    key: int
    text: str
    source: str


@dataclass(frozen=True, slots=True)
class FallbackReady:
    """The fallback's model is ready for it, in this engine."""

    key: int
    engine: Ref


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """There is none."""

    key: int
    reason: str


def generate(task: Task, key: int) -> Generate:
    """What is left of the task, as the engine wants it. A prompt is a user's message to the
    model; what another model has said before is the beginning of this one's answer."""
    request, handed_over = task.request, task.fallback
    options = request.options
    begun = task.text[: handed_over.offset] if handed_over else ""
    tokens_before = handed_over.tokens if handed_over else 0
    # Both have the same names for the same things, but for the form of an answer.
    sampling = options.by_name()
    del sampling["response_format"]
    sampling["grammar"] = answer_form.grammar(options.response_format, begun)
    sampling["max_tokens"] = max(1, options.max_tokens - tokens_before)
    messages = request.messages
    if messages is None:
        assert request.prompt is not None
        messages = (Message("user", request.prompt),)
    tools, variables = offered(request)
    return Generate(
        key=key,
        prompt=None,
        messages=messages,
        sampling=Sampling(**sampling),
        resume_tokens=tuple(task.tokens),
        resume_chars=len(task.output) - len(begun),
        begun=begun,
        tools=tools,
        variables=variables,
        tool_choice=request.tool_choice,
        parallel_tool_calls=request.parallel_tool_calls,
    )


def offered(request: Request) -> tuple[str | None, str | None]:
    """What the template is given besides the messages: tools, unless none may be called, and
    variables."""
    tools = None if request.tool_choice == NONE else request.tools
    return tools, request.template_variables
