"""What a body may say in OpenAI's interface, read into the `Request` of a task. Pure.

A member that is null is one that is not given, and one that nobody knows is passed over: libraries
send members that were new last week. What is known and cannot be done is refused by its name.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from edge.errors import InvalidRequest
from edge.gateway.calls.reading import (
    SEEDS,
    Bounds,
    Call,
    Caller,
    choice_id,
    flag,
    make,
    read_logprobs,
    read_options,
    whole,
    with_tools,
)
from edge.gateway.openai import messages as conversation
from edge.gateway.openai import reasoning, tools
from edge.tasks import logprobs
from edge.tasks.task import Request

CHOICES_MAX: Final = 8
PROMPTS_MAX: Final = 32
LIMITS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
"""Members that say how long an answer may be; the first that is there counts."""
_REFUSED: Final = {
    "functions": "use tools",
    "function_call": "use tool_choice",
    "audio": "this model writes text",
}


def chat(body: dict[str, Any], task_id: str, caller: Caller, bounds: Bounds) -> Call:
    """The body of ``/v1/chat/completions``. InvalidRequest with the path of what is wrong."""
    for name, instead in _REFUSED.items():
        if body.get(name):
            raise InvalidRequest(f"{name} is not supported: {instead}", field=name)
    variables = reasoning.variables(
        body.get("reasoning_effort"), "reasoning_effort", body.get(reasoning.KWARGS)
    )
    _modalities(body)
    if "messages" not in body:
        raise InvalidRequest("messages is missing", field="messages")
    said = conversation.read(body["messages"])
    options = read_options(body, bounds, LIMITS, read_logprobs(body))
    choices = whole(body, "n", 1, CHOICES_MAX, default=1)
    request = make(body, task_id, caller, bounds, options, messages=said)
    request = with_tools(request, *tools.read(body), variables)
    return _call(body, [request], choices)


def completions(body: dict[str, Any], task_id: str, caller: Caller, bounds: Bounds) -> Call:
    """The body of ``/v1/completions``: an answer to each prompt, as a chat model gives one."""
    if body.get("echo"):
        raise InvalidRequest("echo is not supported", field="echo")
    if body.get("suffix"):
        raise InvalidRequest("this model has no tokens for text to be filled in", field="suffix")
    choices = whole(body, "n", 1, CHOICES_MAX, default=1)
    if whole(body, "best_of", 1, 20, default=choices) != choices:
        raise InvalidRequest("best_of is not supported: ask for n", field="best_of")
    alternatives = None
    if "logprobs" in body:
        alternatives = whole(body, "logprobs", 0, logprobs.ALTERNATIVES_MAX, default=0)
    options = read_options(body, bounds, LIMITS, alternatives)
    return _call(
        body,
        [
            make(body, task_id, caller, bounds, options, prompt=prompt)
            for prompt in _prompts(body.get("prompt"))
        ],
        choices,
    )


def _call(body: dict[str, Any], firsts: list[Request], choices: int) -> Call:
    requests = tuple(
        _again(request, at * choices + number, number)
        for at, request in enumerate(firsts)
        for number in range(choices)
    )
    streams = flag(body, "stream")
    return Call(requests, choices, streams, streams and _include_usage(body), body)


def _again(request: Request, place: int, number: int) -> Request:
    """The same for another choice: with a seed of its own, or all choices would be the same; its
    id, and that it was accepted before, follow from the first."""
    options = request.options
    if options.seed is not None and number:
        options = replace(options, seed=(options.seed + number) % SEEDS)
    key = None if place else request.idempotency_key
    task_id = choice_id(request.task_id, place)
    return replace(request, task_id=task_id, options=options, idempotency_key=key)


def _prompts(value: Any) -> list[str]:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not 0 < len(given) <= PROMPTS_MAX:
        raise InvalidRequest(
            f"prompt has to be text or a list of 1 to {PROMPTS_MAX} texts", field="prompt"
        )
    for at, each in enumerate(given):
        where = f"prompt[{at}]" if isinstance(value, list) else "prompt"
        if not isinstance(each, str):
            raise InvalidRequest(f"{where} has to be text; token ids are not read", field=where)
        if not each.strip():
            raise InvalidRequest(f"{where} must not be empty", field=where)
    return given


def _modalities(body: dict[str, Any]) -> None:
    modalities = body.get("modalities", ["text"])
    if modalities not in (["text"], []):
        raise InvalidRequest("this model writes text", field="modalities")


def _include_usage(body: dict[str, Any]) -> bool:
    options = body.get("stream_options", {})
    if not isinstance(options, dict):
        raise InvalidRequest("stream_options has to be an object", field="stream_options")
    wanted = options.get("include_usage")
    if wanted is not None and not isinstance(wanted, bool):
        raise InvalidRequest(
            "include_usage has to be true or false", field="stream_options.include_usage"
        )
    return wanted is True
