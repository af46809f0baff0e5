"""The body of ``POST /tasks``, checked field by field into a `Request`."""

from __future__ import annotations

import hashlib
from typing import Any, Final, NamedTuple
from uuid import uuid4

import orjson

from edge.answers import calls
from edge.conversation import AUTO, NONE, as_stored
from edge.engine.messages import NOT_BESIDE_A_GRAMMAR
from edge.errors import InvalidRequest
from edge.gateway import chat_fields, fields
from edge.gateway.fields import Field
from edge.gateway.problems import MalformedBody
from edge.gateway.reading import clipped
from edge.json_values import has_inexact_number, too_deep
from edge.settings import Tasks as Defaults
from edge.tasks import logprobs
from edge.tasks.line import LEVEL_DEFAULT, LEVELS
from edge.tasks.task import Options, Request

_CONTEXT_TOKENS: Final = 1_048_576
STOPS_MAX: Final = 16
STOP_CHARS_MAX: Final = 256
BIASES_MAX: Final = 300
BREAKERS_MAX: Final = 16
BREAKER_CHARS_MAX: Final = 40
MESSAGES_MAX: Final = 1_000
TOOLS_MAX: Final = 128
TOOLS_BYTES_MAX: Final = 262_144
VARIABLES_MAX: Final = 32
METADATA_BYTES_MAX: Final = 16_384
KEY_CHARS_MAX: Final = 255
USER_CHARS_MAX: Final = 128
FINGERPRINT_BYTES: Final = 16
"""There is one of these for every task in memory."""
DAY_MS: Final = 86_400_000


class Submission(NamedTuple):
    """A checked body. ``own_id`` says that the client made the task's id."""

    request: Request
    own_id: bool
    schedule_in_ms: int


def parse(
    body: bytes,
    *,
    client: str,
    address: str | None = None,
    idempotency_key: str | None,
    defaults: Defaults,
) -> Submission:
    """Checks a body. Raises `MalformedBody` when it is no JSON object, `InvalidRequest` with the
    field's name for everything else."""
    given = _object(body)
    for name, value in given.items():
        if name not in FIELDS:
            name, known = clipped(name), ", ".join(sorted(FIELDS))
            raise InvalidRequest(f"there is no field {name!r}; the fields are {known}", field=name)
        levels = FIELDS[name].levels
        if levels is not None and too_deep(value, levels):
            sentence = f"{name} is nested deeper than {levels} levels"
            raise InvalidRequest(sentence, field=name)
    if has_inexact_number(body):
        raise InvalidRequest("a whole number in the body is beyond 64 bits; send it as text")
    values = {name: FIELDS[name].check(name, value) for name, value in given.items()}
    prompt, messages = values.get("prompt"), values.get("messages")
    if (prompt is None) == (messages is None):
        sentence = "give either a prompt or messages" + (", not both" if prompt else "")
        raise InvalidRequest(sentence, field="prompt")
    tools, choice = values.get("tools"), values.get("tool_choice") or AUTO
    refuse_beside_format(values)
    check_tools(tools, choice)
    check_key(idempotency_key)
    task_id = values.get("task_id")
    request = Request(
        task_id=task_id or str(uuid4()),
        client=client,
        prompt=prompt,
        messages=messages,
        model=values.get("model"),
        options=_options(values, defaults),
        priority=LEVEL_DEFAULT if values.get("priority") is None else values["priority"],
        max_attempts=values.get("max_attempts") or defaults.max_attempts,
        timeout_ms=values.get("timeout_ms"),
        fallback=values.get("fallback", True) is not False,
        idempotency_key=idempotency_key,
        metadata=values.get("metadata"),
        submission=_fingerprint(values | {"metadata": given.get("metadata")}),
        address=address,
        user=values.get("user"),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=values.get("parallel_tool_calls") is not False,
        template_variables=values.get("template_variables"),
        keep_alive_ms=values.get("keep_alive_ms"),
    )
    return Submission(request, task_id is not None, values.get("schedule_in_ms") or 0)


def check_key(idempotency_key: str | None) -> None:
    """Refuses a key, if there is one, of a length that none may have."""
    if idempotency_key is not None and not 0 < len(idempotency_key) <= KEY_CHARS_MAX:
        raise InvalidRequest(
            f"the Idempotency-Key has to have 1 to {KEY_CHARS_MAX} characters",
            field="Idempotency-Key",
        )


def refuse_beside_format(values: dict[str, Any]) -> None:
    """What the engine refuses beside a grammar, said before anything is accepted."""
    for what in ("response_format", "tools"):
        if values.get(what) is None or (what == "tools" and values.get("tool_choice") == NONE):
            continue
        for name in NOT_BESIDE_A_GRAMMAR:
            if values.get(name):
                sentence = f"{name} cannot be combined with {what}; leave one of them out"
                raise InvalidRequest(sentence, field=name)


def check_tools(tools: str | None, choice: str, field: str = "tools") -> None:
    """Refuses tools that cannot be called as they are to be, and a choice of what is not there."""
    chat_fields.check_choice(tools, choice)
    if tools is not None and choice != NONE:
        calls.check(tools, field)


def _fingerprint(given: dict[str, Any]) -> str:
    """Equal for bodies that say the same: every member that is not null, its value as it was read,
    in any order and with any white space. A default that is spelt out is not the same as none:
    defaults may change while a client repeats itself. The id is no part of what is asked for: who
    has a key may make a new id at every try."""
    said = {name: value for name, value in given.items() if value is not None and name != "task_id"}
    text = orjson.dumps(said, default=as_stored, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=FINGERPRINT_BYTES).hexdigest()


def _options(values: dict[str, Any], defaults: Defaults) -> Options:
    names = Options.__slots__
    given = {name: values[name] for name in names if values.get(name) is not None}
    given.pop("max_tokens", None)
    options = Options(max_tokens=values.get("max_tokens") or defaults.max_tokens, **given)
    logprobs.check(options.logprobs, options.max_tokens)
    return options


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except ValueError as error:
        raise MalformedBody(f"the body is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise MalformedBody("the body has to be a JSON object")
    return value


FIELDS: Final[dict[str, Field]] = {
    "prompt": fields.text("What to answer; either this or messages."),
    "messages": chat_fields.messages(MESSAGES_MAX, "A conversation; either this or prompt."),
    "tools": chat_fields.tools(
        TOOLS_MAX, TOOLS_BYTES_MAX, "Functions that the model may ask you to call."
    ),
    "tool_choice": chat_fields.tool_choice("Whether a tool may, must or must not be called."),
    "parallel_tool_calls": fields.flag("false: one call at most."),
    "template_variables": chat_fields.variables(
        VARIABLES_MAX, "What else the chat template sees, by name, such as enable_thinking."
    ),
    "task_id": fields.task_id("The id, if you make it: submitting it twice is the same task."),
    "model": fields.text("The model's name; the node's own when not given."),
    "keep_alive_ms": fields.whole(
        -1, 31 * DAY_MS, "How long the model stays in memory when nobody uses it; -1 is for ever."
    ),
    "max_tokens": fields.whole(1, _CONTEXT_TOKENS, "Longest output."),
    "temperature": fields.number(0, 5, "0 always takes the likeliest token."),
    "top_p": fields.number(0, 1, "Sample among tokens of this probability together."),
    "top_k": fields.whole(0, 1_000_000, "Sample among so many tokens; 0 means all."),
    "min_p": fields.number(0, 1, "Leave out tokens of less than this share of the likeliest."),
    "seed": fields.whole(0, 2**32 - 2, "Of the random choices."),
    "stop": fields.texts(STOPS_MAX, STOP_CHARS_MAX, "Text before which the output ends."),
    "ignore_eos": fields.flag("Go on where the model would end, up to max_tokens."),
    "response_format": fields.answer_format(
        "The form that the answer has to have: any JSON object, JSON by a schema, text by a"
        " grammar, or one of some choices."
    ),
    "repeat_penalty": fields.number(
        0.1, 10, "Divides the logits of tokens that were there lately; 1 is off."
    ),
    "repeat_last_n": fields.whole(
        -1, _CONTEXT_TOKENS, "How many tokens are lately; -1 is all, 0 switches it off."
    ),
    "frequency_penalty": fields.number(-2, 2, "Against a token, for each time it was there."),
    "presence_penalty": fields.number(-2, 2, "Against a token that was there at all."),
    "logit_bias": fields.biases(
        BIASES_MAX, 100, "Added to the logits of these tokens, by their ids in the vocabulary."
    ),
    "typical_p": fields.number(
        0, 1, "Sample among the most typical of this probability; 1 is off."
    ),
    "xtc_probability": fields.number(0, 1, "How often the likeliest are left out; 0 is off."),
    "xtc_threshold": fields.number(0, 1, "Of those over this probability all but the last."),
    "dry_multiplier": fields.number(0, 100, "Against going on as the text did before; 0 is off."),
    "dry_base": fields.number(1, 100, "By how much more for each token that is the same."),
    "dry_allowed_length": fields.whole(0, 1_000, "So many tokens may be the same."),
    "dry_penalty_last_n": fields.whole(
        -1, _CONTEXT_TOKENS, "How many tokens back it looks; -1 is all, 0 switches it off."
    ),
    "dry_sequence_breakers": fields.texts(
        BREAKERS_MAX, BREAKER_CHARS_MAX, "Over these nothing is the same; a line's end and : \" *."
    ),
    "mirostat": fields.whole(0, 2, "Its version, in place of what leaves tokens out; 0 is off."),
    "mirostat_tau": fields.number(0, 20, "The surprise that it aims for, in bits a token."),
    "mirostat_eta": fields.number(0, 1, "How fast it learns."),
    "logprobs": fields.whole(
        0,
        logprobs.ALTERNATIVES_MAX,
        "Say how likely each token was, and so many of the likeliest at its place.",
    ),
    "priority": fields.whole(0, LEVELS - 1, "0 is served first; 5 when not given."),
    "schedule_in_ms": fields.whole(0, 366 * DAY_MS, "Not to be begun sooner."),
    "max_attempts": fields.whole(1, 1_000, "How often it is tried."),
    "timeout_ms": fields.whole(1, 7 * DAY_MS, "How long one attempt may take."),
    "fallback": fields.flag("false: rather wait, or fail, than be answered without the model."),
    "user": fields.name(
        USER_CHARS_MAX,
        "For whom you ask: your users wait for their own tasks, not for one another's.",
    ),
    "metadata": fields.free_object(METADATA_BYTES_MAX, "Yours; comes back with the task."),
}
"""The members of a submission. Which are there when none is given is for the settings to say."""
