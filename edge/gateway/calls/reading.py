"""What bodies say alike in the interfaces of apps, read into the `Request` of a task. Pure.

A member that is null is one that is not given, and one that nobody knows is passed over: libraries
send members that were new last week. What is known and cannot be done is refused by its name.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

import orjson

from edge.conversation import Message
from edge.engine.messages import NOT_BESIDE_A_GRAMMAR
from edge.errors import InvalidRequest
from edge.gateway.fields import Field
from edge.gateway.problems import MalformedBody
from edge.gateway.submission import (
    FIELDS,
    FINGERPRINT_BYTES,
    STOP_CHARS_MAX,
    check_key,
    refuse_beside_format,
)
from edge.json_values import LEVELS_MAX, too_deep, whole_number
from edge.settings import Tasks as Defaults
from edge.tasks import logprobs
from edge.tasks.task import Options, Request

STOPS_MAX: Final = 64
SEEDS: Final = 2**32 - 1
"""The engine's seeds are below this; a client's is any whole number."""
ANY_SEED: Final = -1

_SAMPLING: Final = (
    "temperature", "top_p", "min_p", "ignore_eos", "repeat_penalty", "repeat_last_n",
    "frequency_penalty", "presence_penalty", "logit_bias", "typical_p", "xtc_probability",
    "xtc_threshold", "dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n",
    "dry_sequence_breakers", "mirostat", "mirostat_tau", "mirostat_eta",
)  # fmt: skip
"""Members that mean here what they mean in a submission."""


class Caller(NamedTuple):
    """Whose task it becomes; see `Request`."""

    client: str
    address: str | None
    key: str | None = None
    fingerprint: str | None = None


class Call(NamedTuple):
    """A checked body. ``requests`` are its tasks, one for each choice, in the order of the choices:
    ``choices`` of each prompt. The ids of all but the first follow from the first one's."""

    requests: tuple[Request, ...]
    choices: int
    stream: bool
    include_usage: bool
    body: dict[str, Any]

    @property
    def task_id(self) -> str:
        """The id of its first task, by which the call is known."""
        return self.requests[0].task_id


class Bounds(NamedTuple):
    """What the reading needs to know of the node: the settings for tasks, the context of the model
    and the model's own name."""

    defaults: Defaults
    context_tokens: int
    model: str


def choice_id(first: str, number: int) -> str:
    """The id of another task of the same call; 0 is the first itself. A call needs no place of its
    own to be stored in: who knows its first task finds all."""
    return first if number == 0 else str(uuid5(UUID(first), f"choice-{number}"))


def read_object(data: bytes) -> dict[str, Any]:
    """The body without its members that are null. `MalformedBody` when it is no JSON object."""
    try:
        value = orjson.loads(data)
    except ValueError as error:
        raise MalformedBody(f"the body is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise MalformedBody("the body has to be a JSON object")
    return {name: each for name, each in value.items() if each is not None}


def make(
    body: dict[str, Any],
    task_id: str,
    caller: Caller,
    bounds: Bounds,
    options: Options,
    *,
    prompt: str | None = None,
    messages: tuple[Message, ...] | None = None,
) -> Request:
    """The task's request, of a prompt or of ``messages``. It is answered by the model that was
    named, or by none: an answer of another would come under a foreign name."""
    check_key(caller.key)
    return Request(
        task_id=task_id,
        client=caller.client,
        prompt=prompt,
        messages=messages,
        model=bounds.model,
        options=options,
        max_attempts=bounds.defaults.max_attempts,
        fallback=False,
        idempotency_key=caller.key,
        metadata=_checked(FIELDS["metadata"], "metadata", body),
        submission=caller.fingerprint,
        address=caller.address,
        user=_checked(FIELDS["user"], "user", body) if body.get("user") else None,
    )


def with_tools(
    request: Request, tools: str | None, choice: str, parallel: bool, variables: str | None
) -> Request:
    """The same request, for which the model may call these tools, as `Request` has them, and its
    template is told what ``variables`` say. InvalidRequest for options that do not go with that."""
    asked = {name: getattr(request.options, name) for name in NOT_BESIDE_A_GRAMMAR}
    refuse_beside_format(asked | {"tools": tools, "tool_choice": choice})
    return replace(
        request,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        template_variables=variables,
    )


def fingerprint(data: bytes) -> str:
    """Of a body, as `Request.submission` has it: libraries write the same in the same way."""
    return hashlib.blake2b(data, digest_size=FINGERPRINT_BYTES).hexdigest()


def read_options(
    body: dict[str, Any],
    bounds: Bounds,
    limits: tuple[str, ...],
    alternatives: int | None = None,
) -> Options:
    """How to generate. Of the members named in ``limits`` the first that is there says how long the
    answer may be; without any it may fill the context. ``alternatives`` are wanted of each token.
    """
    given: dict[str, Any] = {
        name: _checked(FIELDS[name], name, body) for name in _SAMPLING if name in body
    }
    if "top_k" in body:
        given["top_k"] = max(0, whole(body, "top_k", -1, 1_000_000, default=0))
    seed = whole(body, "seed", -(2**63), 2**64 - 1, default=ANY_SEED)
    if seed != ANY_SEED:
        given["seed"] = seed % SEEDS
    if "response_format" in body:
        # It may be as deep as a schema may.
        format_ = FIELDS["response_format"].check("response_format", body["response_format"])
        given["response_format"] = format_
        refuse_beside_format(given)
    return Options(
        max_tokens=_max_tokens(body, bounds, limits, alternatives),
        stop=_stops(body.get("stop")),
        logprobs=alternatives,
        **given,
    )


def _max_tokens(
    body: dict[str, Any], bounds: Bounds, limits: tuple[str, ...], alternatives: int | None
) -> int:
    name = next((each for each in limits if each in body), None)
    limit = bounds.context_tokens
    if name is not None:
        asked = whole_number(body[name])
        if asked is None or asked < -1 or asked == 0:
            raise InvalidRequest(f"{name} has to be 1 or more, or -1 for no limit", field=name)
        if asked > 0:
            limit = min(limit, asked)
            logprobs.check(alternatives, limit)
            return limit
    if alternatives is not None:
        limit = min(limit, logprobs.FIGURES_MAX // (1 + alternatives))
    return limit


def read_logprobs(body: dict[str, Any]) -> int | None:
    """How many alternatives of each token are wanted; None where nothing is."""
    if not flag(body, "logprobs"):
        if "top_logprobs" in body:
            raise InvalidRequest("top_logprobs needs logprobs to be true", field="top_logprobs")
        return None
    return whole(body, "top_logprobs", 0, logprobs.ALTERNATIVES_MAX, default=0)


def _stops(value: Any) -> tuple[str, ...]:
    given = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(given, list) or len(given) > STOPS_MAX:
        raise InvalidRequest(f"stop has to be text or a list of up to {STOPS_MAX}", field="stop")
    for at, each in enumerate(given):
        if not isinstance(each, str) or len(each) > STOP_CHARS_MAX:
            raise InvalidRequest(
                f"each stop has to be text of up to {STOP_CHARS_MAX} characters",
                field=f"stop[{at}]" if isinstance(value, list) else "stop",
            )
    return tuple(each for each in given if each)


def flag(body: dict[str, Any], name: str) -> bool:
    """True or false; false where it is not given."""
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name} has to be true or false", field=name)
    return value


def whole(body: dict[str, Any], name: str, low: int, high: int, *, default: int) -> int:
    """A whole number within bounds."""
    if name not in body:
        return default
    number = whole_number(body[name])
    if number is None:
        raise InvalidRequest(f"{name} has to be a whole number", field=name)
    if not low <= number <= high:
        raise InvalidRequest(f"{name} has to be from {low} to {high}", field=name)
    return number


def _checked(field: Field, name: str, body: dict[str, Any]) -> Any:
    value = body.get(name)
    if too_deep(value):
        raise InvalidRequest(f"{name} is nested deeper than {LEVELS_MAX} levels", field=name)
    return field.check(name, value)
