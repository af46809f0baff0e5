"""``/v1/responses``: what its bodies say, and the shapes of its answers, whole and as events. Pure.

The part of it that needs no memory of earlier responses: who goes on sends all that was said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from edge.conversation import Message
from edge.errors import ElwiftError, InvalidRequest
from edge.gateway.calls import reading
from edge.gateway.calls.forms import Ended, Head, Tokens
from edge.gateway.calls.spoken import Spoken
from edge.gateway.chat_fields import check_answers
from edge.gateway.openai import errors, items, messages, reasoning, tools
from edge.gateway.openai.forms import EVENTS, event
from edge.gateway.openai.reading import LIMITS
from edge.gateway.reading import clipped
from edge.gateway.submission import MESSAGES_MAX
from edge.tasks.task import State

ID: Final = "resp_"
_REFUSED: Final = {
    "previous_response_id": "send all that was said before as input",
    "conversation": "send all that was said before as input",
    "prompt": "send the input itself",
    "top_logprobs": "ask for them in /v1/chat/completions",
}
_STATUS: Final = {
    State.SCHEDULED: "queued",
    State.AVAILABLE: "queued",
    State.EXECUTING: "in_progress",
    State.RETRYABLE: "in_progress",
    State.COMPLETED: "completed",
    State.CANCELLED: "cancelled",
    State.DISCARDED: "failed",
}


# ---- what is asked


def read(
    body: dict[str, Any], task_id: str, caller: reading.Caller, bounds: reading.Bounds
) -> reading.Call:
    """The body of a request. InvalidRequest with the path of what is wrong."""
    for name, instead in _REFUSED.items():
        if body.get(name):
            raise InvalidRequest(f"{name} is not supported: {instead}", field=name)
    effort = _object(body, "reasoning").get("effort")
    variables = reasoning.variables(effort, "reasoning.effort", body.get(reasoning.KWARGS))
    reading.flag(body, "background")
    text = _object(body, "text")
    if text.get("format") is not None:
        body = body | {"response_format": _format(text["format"])}
    options = reading.read_options(body, bounds, LIMITS)
    request = reading.make(body, task_id, caller, bounds, options, messages=_conversation(body))
    request = reading.with_tools(request, *tools.read(body, flat=True), variables)
    return reading.Call((request,), 1, reading.flag(body, "stream"), True, body)


def _object(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name, {})
    if not isinstance(value, dict):
        raise InvalidRequest(f"{name} has to be an object", field=name)
    return value


def _format(value: Any) -> Any:
    """The format as `edge.structured.formats` reads it: here its members lie flat."""
    if not isinstance(value, dict) or value.get("type") != "json_schema":
        return value
    names = ("name", "description", "schema", "strict")
    inner = {name: value[name] for name in names if name in value}
    return {"type": "json_schema", "json_schema": inner}


def _conversation(body: dict[str, Any]) -> tuple[Message, ...]:
    given = body.get("input")
    said: list[Message] = []
    instructions = body.get("instructions")
    if instructions is not None:
        said.append(Message("system", messages.content("instructions", instructions)))
    if isinstance(given, str):
        said.append(Message("user", given))
    elif isinstance(given, list) and 0 < len(given) <= MESSAGES_MAX:
        for at, item in enumerate(given):
            _add(said, f"input[{at}]", item)
    else:
        raise InvalidRequest(
            f"input has to be text or a list of 1 to {MESSAGES_MAX} items", field="input"
        )
    check_answers("input", said)
    if not any(
        each.tool_calls or (each.content or "").strip() for each in said if each.role != "system"
    ):
        raise InvalidRequest("input has to say something", field="input")
    return messages.in_order(said)


def _add(said: list[Message], where: str, item: Any) -> None:
    """One more item. Calls are items of their own here, and a part of the model's message there."""
    kind = item.get("type", "message") if isinstance(item, dict) else None
    if kind == "message":
        role = item.get("role")
        if role not in messages.SPEAKERS:
            known = ", ".join(messages.SPEAKERS)
            raise InvalidRequest(f"the role has to be one of {known}", field=f"{where}.role")
        needed = role != "assistant"
        text = messages.content(f"{where}.content", item.get("content"), needed=needed)
        said.append(Message(role, text))
    elif kind == "function_call":
        call = messages.call(where, item, messages.call_id(where, item.get("call_id")))
        before = said.pop() if said and said[-1].role == "assistant" else Message("assistant", None)
        calls = (*before.tool_calls, call)
        said.append(before._replace(content=before.content or None, tool_calls=calls))
    elif kind == "function_call_output":
        text = messages.content(f"{where}.output", item.get("output"))
        called = messages.call_id(where, item.get("call_id"))
        said.append(Message("tool", text, tool_call_id=called))
    elif kind != "reasoning":  # what a model thought before is not put to it again
        raise InvalidRequest(
            f"items of the type {clipped(str(kind))!r} are not supported", field=f"{where}.type"
        )


# ---- what is answered


class Asked(NamedTuple):
    """What a response repeats of its request."""

    instructions: str | None
    background: bool
    max_output_tokens: int
    temperature: float
    top_p: float
    form: str | None
    metadata: str | None
    user: str | None
    tools: str | None = None
    tool_choice: Any = "auto"
    parallel_tool_calls: bool = True
    effort: str | None = None

    @classmethod
    def of_document(cls, document: Mapping[str, Any], *, background: bool = False) -> Asked:
        """Of a task's document. Whether it was to run in the background is not kept with it."""
        options, said = document["options"], document.get("messages") or []
        first = said[0] if said else {"role": "user"}
        return cls(
            first["content"] if first["role"] == "system" else None,
            background,
            options["max_tokens"],
            options["temperature"],
            options["top_p"],
            _text(options["response_format"]),
            _text(document["metadata"]),
            document["user"],
            _text(document.get("tools")),
            _choice(document.get("tool_choice", "auto")),
            document.get("parallel_tool_calls", True),
            orjson.loads(_text(document.get("template_variables")) or "{}").get("reasoning_effort"),
        )


def _choice(choice: Any) -> Any:
    """As this interface says it: what it names lies flat."""
    return choice if isinstance(choice, str) else {"type": "function", **choice["function"]}


def _text(fragment: Any) -> str | None:
    """The JSON text that a document contains."""
    return None if fragment is None else orjson.dumps(fragment).decode()


def status_of(document: Mapping[str, Any]) -> str:
    """How far a task is, in the words of this interface."""
    state = State(document["state"])
    if state is State.COMPLETED and document["result"]["finish_reason"] == "length":
        return "incomplete"
    return _STATUS[state]


def response(
    head: Head,
    asked: Asked,
    status: str,
    *,
    ended: Ended | None = None,
    error: ElwiftError | None = None,
    output: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """A ``response``; ``output`` are its items, where they have been told already."""
    if output is None and ended is not None:
        output = items.of_answer(head.task_id, ended.text, ended.message, status)
    told = None if error is None else errors.told(error)["error"]
    return {
        "id": ID + head.task_id,
        "object": "response",
        "created_at": head.created_s,
        "status": status,
        "background": asked.background,
        "error": None if told is None else {"code": told["code"], "message": told["message"]},
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": asked.instructions,
        "max_output_tokens": asked.max_output_tokens,
        "model": head.model,
        "output": [] if output is None else output,
        "parallel_tool_calls": asked.parallel_tool_calls,
        "previous_response_id": None,
        "reasoning": {"effort": asked.effort, "summary": None},
        "store": True,
        "temperature": asked.temperature,
        "text": {"format": _flat(asked.form)},
        "tool_choice": asked.tool_choice,
        "tools": tools.as_told(asked.tools),
        "top_p": asked.top_p,
        "truncation": "disabled",
        "usage": None if ended is None else _usage(ended.usage),
        "user": asked.user,
        "metadata": {} if asked.metadata is None else orjson.Fragment(asked.metadata),
    }


def _flat(form: str | None) -> dict[str, Any]:
    value: dict[str, Any] = {"type": "text"} if form is None else orjson.loads(form)
    inner = value.pop("json_schema", None)
    return value if inner is None else value | inner


def _usage(usage: Mapping[str, int]) -> dict[str, Any]:
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": usage["cached_tokens"]},
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": usage["reasoning_tokens"]},
        "total_tokens": usage["prompt_tokens"] + usage["completion_tokens"],
    }


def ended_status(ended: Ended) -> str:
    """Of an answer that has come to its end."""
    return "incomplete" if ended.finish_reason == "length" else "completed"


class ResponseChunks:
    """The events of a response; each has its number."""

    content_type: Final = EVENTS

    def __init__(self, head: Head, asked: Asked) -> None:
        self._head = head
        self._asked = asked
        self._number = 0
        self._spoken = Spoken(None)
        self._items = items.Items(head.task_id)

    def begin(self, index: int) -> bytes:
        """The first events."""
        queued = self._response("queued")
        return self._event("response.created", response=queued) + self.nothing(index)

    def speaks(self, index: int, dialect: str) -> None:
        """Its text, before any of that, is of this dialect."""
        self._spoken = Spoken(dialect)

    def text(self, index: int, text: str, tokens: Tokens | None) -> bytes:
        """More of its text."""
        return self._told(self._items.add(self._spoken.feed(text)))

    def end(self, index: int, ended: Ended) -> bytes:
        """The end of its items."""
        rest = self._items.add(self._spoken.end())
        return self._told(rest + self._items.end(ended_status(ended)))

    def nothing(self, index: int) -> bytes:
        """Says that the connection lives."""
        return self._event("response.in_progress", response=self._response("in_progress"))

    def close(self, ended: Sequence[Ended], choices: int) -> bytes:
        """The last event, with all that there was."""
        status, output = ended_status(ended[0]), self._items.output
        whole = response(self._head, self._asked, status, ended=ended[0], output=output)
        return self._event(f"response.{status}", response=whole)

    def fail(self, error: ElwiftError) -> bytes:
        """The last event of a response that comes to nothing."""
        failed = response(self._head, self._asked, "failed", error=error)
        return self._event("response.failed", response=failed)

    def _response(self, status: str) -> dict[str, Any]:
        return response(self._head, self._asked, status)

    def _told(self, events: Sequence[items.Event]) -> bytes:
        return b"".join(self._event(kind, **members) for kind, members in events)

    def _event(self, kind: str, **members: Any) -> bytes:
        number, self._number = self._number, self._number + 1
        value = {"type": kind, "sequence_number": number, **members}
        return f"event: {kind}\n".encode() + event(value)
