"""What bodies say in Ollama's interface, read into the `Request` of a task. Pure.

A member that is null is one that is not given, and one that nobody knows is passed over, as are
options about how a model is loaded. What is known and cannot be done is refused by its name.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

import orjson

from edge.conversation import Message
from edge.errors import InvalidRequest
from edge.gateway.calls.reading import (
    Bounds,
    Call,
    Caller,
    flag,
    make,
    read_logprobs,
    read_options,
    with_tools,
)
from edge.gateway.ollama import messages as conversation
from edge.gateway.openai import tools
from edge.gateway.submission import DAY_MS
from edge.json_values import whole_number
from edge.tasks.task import Options

_LIMIT: Final = "num_predict"
_CONTEXT: Final = "num_ctx"
FOR_EVER: Final = -1
KEPT_MS_MOST: Final = 31 * DAY_MS
"""A task may wish for no more; what wishes for more than a month gets that."""
_UNITS_MS: Final = {
    "": 1_000, "s": 1_000, "ms": 1, "m": 60_000, "h": 3_600_000, "us": 0.001, "ns": 0.000_001,
}  # fmt: skip
_PART: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|us|ns|s|m|h|)")
_DURATION: Final = re.compile(rf"(?P<sign>-?)(?P<size>(?:{_PART.pattern}){{1,8}})", re.ASCII)
_NO_TOOLS: Final = tools.Wanted()
_EFFORTS: Final = ("low", "medium", "high")
_REFUSED: Final = {
    "raw": "the model's own chat template is always used",
    "template": "the model's own chat template is always used",
    "suffix": "this model has no tokens for text to be filled in",
    "context": "send what was said before as messages to /api/chat",
}
"""Members of a generation that change what it is."""


def chat(body: dict[str, Any], task_id: str, caller: Caller, bounds: Bounds) -> Call:
    """The body of ``/api/chat``. InvalidRequest with the name of what is wrong."""
    said = conversation.read(body.get("messages"))
    # Ollama knows no choice among tools, and some of its clients make one all the same.
    return _call(body, task_id, caller, bounds, said, tools.read(body))


def generate(body: dict[str, Any], task_id: str, caller: Caller, bounds: Bounds) -> Call:
    """The body of ``/api/generate``: one answer to a prompt, which is put to the model as what a
    user says. InvalidRequest with the name of what is wrong."""
    for name, instead in _REFUSED.items():
        if body.get(name):
            raise InvalidRequest(f"{name} is not supported: {instead}", field=name)
    conversation.refuse_images("images", body.get("images"))
    prompt = conversation.text("", body, "prompt") or ""
    system = conversation.text("", body, "system")
    if not prompt.strip():
        raise InvalidRequest("prompt has to say something", field="prompt")
    said = (Message("user", prompt),)
    return _call(
        body, task_id, caller, bounds, (Message("system", system), *said) if system else said
    )


def only_loads(body: dict[str, Any], what: str) -> bool:
    """Whether nothing is asked but that the model be loaded: ``what`` is not there, or empty."""
    return body.get(what) in (None, "", [])


def streams(body: dict[str, Any]) -> bool:
    """Whether the answer is to come as it is written, as it does unless told otherwise."""
    return flag({"stream": True} | body, "stream")


def _call(
    body: dict[str, Any],
    task_id: str,
    caller: Caller,
    bounds: Bounds,
    said: tuple[Message, ...],
    wanted: tools.Wanted = _NO_TOOLS,
) -> Call:
    request = make(body, task_id, caller, bounds, _options(body, bounds), messages=said)
    request = with_tools(request, *wanted, _thinking(body))
    request = replace(request, keep_alive_ms=_kept_ms(body.get("keep_alive")))
    return Call((request,), 1, streams(body), False, body)


def _options(body: dict[str, Any], bounds: Bounds) -> Options:
    given = body.get("options", {})
    if not isinstance(given, dict):
        raise InvalidRequest("options has to be an object", field="options")
    options = {name: value for name, value in given.items() if value is not None}
    limit = whole_number(options.get(_LIMIT))
    if limit is not None and limit < 1:
        # Other words for as much as there is room for.
        del options[_LIMIT]
    room = whole_number(options.get(_CONTEXT))
    if room is not None and room > 0:
        # More than the model has, nobody gets. What asks for less means that the answer is to end.
        bounds = bounds._replace(context_tokens=min(room, bounds.context_tokens))
    options.pop("response_format", None)
    form = _form(body.get("format"))
    if form is not None:
        options["response_format"] = form
    return read_options(options, bounds, (_LIMIT,), read_logprobs(body))


def _kept_ms(wanted: Any) -> int | None:
    """How long the model is to stay in memory: seconds, or a duration as Go writes it (`5m`); all
    below nothing is for ever."""
    if wanted is None:
        return None
    text = str(wanted) if isinstance(wanted, int | float) and wanted is not True else wanted
    found = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise InvalidRequest(
            "keep_alive has to be seconds, or a duration such as 5m", field="keep_alive"
        )
    if found["sign"]:
        return FOR_EVER
    parts = _PART.findall(found["size"])
    size_ms = sum(float(number) * _UNITS_MS[unit] for number, unit in parts)
    return min(int(size_ms), KEPT_MS_MOST)


def _form(wanted: Any) -> dict[str, Any] | None:
    if wanted in (None, ""):
        return None
    if wanted == "json":
        return {"type": "json_object"}
    if isinstance(wanted, dict):
        return {"type": "json_schema", "json_schema": {"schema": wanted}}
    raise InvalidRequest('format has to be "json" or a JSON Schema', field="format")


def _thinking(body: dict[str, Any]) -> str | None:
    """What the chat template is told of thinking; None where nothing is asked."""
    wish = body.get("think")
    if wish is None:
        return None
    if isinstance(wish, bool):
        return orjson.dumps({"enable_thinking": wish}).decode()
    if isinstance(wish, str) and wish in _EFFORTS:
        return orjson.dumps({"enable_thinking": True, "reasoning_effort": wish}).decode()
    raise InvalidRequest(
        f"think has to be true, false or one of {', '.join(_EFFORTS)}", field="think"
    )
