"""The body of ``POST /tasks``, checked field by field into a `Request`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from uuid import uuid4

import orjson

from edge.errors import InvalidRequest
from edge.gateway.problems import MalformedBody
from edge.gateway.reading import clipped
from edge.json_values import LEVELS_MAX, has_inexact_number, too_deep, whole_number
from edge.settings import Tasks as Defaults
from edge.tasks import ids
from edge.tasks.queue import PRIORITIES
from edge.tasks.task import Options, Request

STOPS_MAX: Final = 16
STOP_CHARS_MAX: Final = 256
MESSAGES_MAX: Final = 1_000
METADATA_BYTES_MAX: Final = 16_384
KEY_CHARS_MAX: Final = 255
FINGERPRINT_BYTES: Final = 16
"""There is one of these for every task in memory."""
DAY_MS: Final = 86_400_000
ROLES: Final = ("system", "user", "assistant")


class Submission(NamedTuple):
    """A checked body. ``own_id`` says that the client made the task's id."""

    request: Request
    own_id: bool
    schedule_in_ms: int


def parse(
    body: bytes, *, client: str, idempotency_key: str | None, defaults: Defaults
) -> Submission:
    """Checks a body. Raises `MalformedBody` when it is no JSON object, `InvalidRequest` with the
    field's name for everything else."""
    fields = _object(body)
    for name, value in fields.items():
        if name not in _FIELDS:
            name, known = clipped(name), ", ".join(sorted(_FIELDS))
            raise InvalidRequest(f"there is no field {name!r}; the fields are {known}", field=name)
        if too_deep(value):
            sentence = f"{name} is nested deeper than {LEVELS_MAX} levels"
            raise InvalidRequest(sentence, field=name)
    if has_inexact_number(body):
        raise InvalidRequest("a whole number in the body is beyond 64 bits; send it as text")
    values = {name: check(name, fields[name]) for name, check in _FIELDS.items() if name in fields}
    prompt, messages = values.get("prompt"), values.get("messages")
    if (prompt is None) == (messages is None):
        sentence = "give either a prompt or messages" + (", not both" if prompt else "")
        raise InvalidRequest(sentence, field="prompt")
    if idempotency_key is not None and not 0 < len(idempotency_key) <= KEY_CHARS_MAX:
        raise InvalidRequest(
            f"the Idempotency-Key has to have 1 to {KEY_CHARS_MAX} characters",
            field="Idempotency-Key",
        )
    task_id = values.get("task_id")
    request = Request(
        task_id=task_id or str(uuid4()),
        client=client,
        prompt=prompt,
        messages=messages,
        model=values.get("model"),
        options=_options(values, defaults),
        priority=values.get("priority") or 0,
        max_attempts=values.get("max_attempts") or defaults.max_attempts,
        timeout_ms=values.get("timeout_ms"),
        fallback=values.get("fallback", True) is not False,
        idempotency_key=idempotency_key,
        metadata=values.get("metadata"),
        submission=_fingerprint(values | {"metadata": fields.get("metadata")}),
    )
    return Submission(request, task_id is not None, values.get("schedule_in_ms") or 0)


def _fingerprint(given: dict[str, Any]) -> str:
    """Equal for bodies that say the same: every member that is not null, its value as it was read,
    in any order and with any white space. A default that is spelt out is not the same as none:
    defaults may change while a client repeats itself. The id is no part of what is asked for: who
    has a key may make a new id at every try."""
    said = {name: value for name, value in given.items() if value is not None and name != "task_id"}
    text = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=FINGERPRINT_BYTES).hexdigest()


def _options(values: dict[str, Any], defaults: Defaults) -> Options:
    names = ("temperature", "top_p", "top_k", "min_p", "seed", "stop", "ignore_eos")
    given = {name: values[name] for name in names if values.get(name) is not None}
    return Options(max_tokens=values.get("max_tokens") or defaults.max_tokens, **given)


def _object(body: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(body)
    except ValueError as error:
        raise MalformedBody(f"the body is not valid JSON: {error}") from error
    if not isinstance(fields, dict):
        raise MalformedBody("the body has to be a JSON object")
    return fields


# ---- one check per field; null means "not given" everywhere

_Check = Callable[[str, Any], Any]


def _whole(low: int, high: int) -> _Check:
    def check(name: str, value: Any) -> int | None:
        if value is None:
            return None
        number = whole_number(value)
        if number is None:
            raise InvalidRequest(f"{name} has to be a whole number", field=name)
        if not low <= number <= high:
            raise InvalidRequest(f"{name} has to be from {low} to {high}", field=name)
        return number

    return check


def _number(low: float, high: float) -> _Check:
    def check(name: str, value: Any) -> float | None:
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise InvalidRequest(f"{name} has to be a number", field=name)
        if not low <= value <= high or math.isnan(value):
            raise InvalidRequest(f"{name} has to be from {low:g} to {high:g}", field=name)
        return float(value)

    return check


def _flag(name: str, value: Any) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(f"{name} has to be true or false", field=name)
    return value


def _text(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} has to be text", field=name)
    if not value.strip():
        raise InvalidRequest(f"{name} must not be empty", field=name)
    return value


def _task_id(name: str, value: Any) -> str | None:
    if value is None:
        return None
    task_id = ids.canonical(value) if isinstance(value, str) else None
    if task_id is None:
        raise InvalidRequest("task_id has to be a UUID", field=name)
    return task_id


def _messages(name: str, value: Any) -> tuple[tuple[str, str], ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not 0 < len(value) <= MESSAGES_MAX:
        raise InvalidRequest(f"messages has to be a list of 1 to {MESSAGES_MAX}", field=name)
    pairs = []
    for number, message in enumerate(value):
        where = f"messages[{number}]"
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise InvalidRequest(f"{where} has to have a role and a content, no more", field=where)
        role, content = message["role"], message["content"]
        if role not in ROLES:
            raise InvalidRequest(f"the role has to be one of {', '.join(ROLES)}", field=where)
        if not isinstance(content, str) or not content.strip():
            raise InvalidRequest("the content has to be text and not empty", field=where)
        pairs.append((role, content))
    return tuple(pairs)


def _stop(name: str, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or len(stops) > STOPS_MAX:
        raise InvalidRequest(f"stop has to be text or a list of up to {STOPS_MAX}", field=name)
    for each in stops:
        if not isinstance(each, str) or not 0 < len(each) <= STOP_CHARS_MAX:
            raise InvalidRequest(
                f"each stop has to be text of 1 to {STOP_CHARS_MAX} characters", field=name
            )
    return tuple(stops)


def _metadata(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidRequest("metadata has to be an object", field=name)
    text = orjson.dumps(value)
    if len(text) > METADATA_BYTES_MAX:
        raise InvalidRequest(f"metadata is over {METADATA_BYTES_MAX} bytes", field=name)
    return text.decode()


_FIELDS: Final[dict[str, _Check]] = {
    "prompt": _text,
    "messages": _messages,
    "task_id": _task_id,
    "model": _text,
    "max_tokens": _whole(1, 1_048_576),
    "temperature": _number(0, 5),
    "top_p": _number(0, 1),
    "top_k": _whole(0, 1_000_000),
    "min_p": _number(0, 1),
    "seed": _whole(0, 2**32 - 2),
    "stop": _stop,
    "ignore_eos": _flag,
    "priority": _whole(0, PRIORITIES - 1),
    "schedule_in_ms": _whole(0, 366 * DAY_MS),
    "max_attempts": _whole(1, 1_000),
    "timeout_ms": _whole(1, 7 * DAY_MS),
    "fallback": _flag,
    "metadata": _metadata,
}
