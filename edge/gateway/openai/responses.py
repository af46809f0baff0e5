"""``/v1/responses``: what its bodies say, and the shapes of its answers, whole and as events. Pure.

The part of it that needs no memory of earlier responses: who goes on sends all that was said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from edge.errors import ElwiftError, InvalidRequest
from edge.gateway.calls import reading
from edge.gateway.calls.forms import Ended, Head, Tokens
from edge.gateway.openai import errors, messages
from edge.gateway.openai.forms import EVENTS, event
from edge.gateway.openai.reading import LIMITS, refuse_reasoning
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
    _tools(body)
    refuse_reasoning(_object(body, "reasoning").get("effort"), "reasoning.effort")
    reading.flag(body, "background")
    text = _object(body, "text")
    if text.get("format") is not None:
        body = body | {"response_format": _format(text["format"])}
    options = reading.read_options(body, bounds, LIMITS)
    request = reading.make(body, task_id, caller, bounds, options, pairs=_conversation(body))
    return reading.Call((request,), 1, reading.flag(body, "stream"), True, body)


def _tools(body: dict[str, Any]) -> None:
    tools = body.get("tools", [])
    if not isinstance(tools, list):
        raise InvalidRequest("tools has to be a list", field="tools")
    # Agents name tools of OpenAI's own, too, which nobody has here; they can do without.
    for at, tool in enumerate(tools):
        if isinstance(tool, dict) and tool.get("type") == "function":
            raise InvalidRequest("tools are not supported yet", field=f"tools[{at}]")
    if body.get("tool_choice") not in (None, "none", "auto"):
        raise InvalidRequest("without tools there is none to choose", field="tool_choice")


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


def _conversation(body: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    given = body.get("input")
    pairs: list[tuple[str, str]] = []
    instructions = body.get("instructions")
    if instructions is not None:
        pairs.append(("system", messages.content("instructions", instructions)))
    if isinstance(given, str):
        pairs.append(("user", given))
    elif isinstance(given, list) and 0 < len(given) <= MESSAGES_MAX:
        for at, item in enumerate(given):
            pairs += _item(f"input[{at}]", item)
    else:
        raise InvalidRequest(
            f"input has to be text or a list of 1 to {MESSAGES_MAX} items", field="input"
        )
    if not any(text.strip() for role, text in pairs if role != "system"):
        raise InvalidRequest("input has to say something", field="input")
    return messages.in_order(pairs)


def _item(where: str, item: Any) -> list[tuple[str, str]]:
    kind = item.get("type", "message") if isinstance(item, dict) else None
    if kind == "message":
        role = item.get("role")
        if role not in messages.SPEAKERS:
            known = ", ".join(messages.SPEAKERS)
            raise InvalidRequest(f"the role has to be one of {known}", field=f"{where}.role")
        needed = role != "assistant"
        return [(role, messages.content(f"{where}.content", item.get("content"), needed=needed))]
    if kind == "reasoning":
        return []  # what a model thought before is not put to it again
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
        )


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
) -> dict[str, Any]:
    """A ``response``."""
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
        "output": [] if ended is None else [_message(head, ended.text, status)],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": asked.temperature,
        "text": {"format": _flat(asked.form)},
        "tool_choice": "auto",
        "tools": [],
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
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage["prompt_tokens"] + usage["completion_tokens"],
    }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message(head: Head, text: str | None, status: str) -> dict[str, Any]:
    return {
        "id": f"msg_{head.task_id}",
        "type": "message",
        "status": status if status in ("in_progress", "incomplete") else "completed",
        "role": "assistant",
        "content": [] if text is None else [_part(text)],
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
        self._begun = False  # its message is
        self._place = {
            "item_id": f"msg_{head.task_id}", "output_index": 0, "content_index": 0,
        }  # fmt: skip

    def begin(self, index: int) -> bytes:
        """The first events."""
        queued = self._response("queued")
        return self._event("response.created", response=queued) + self.nothing(index)

    def text(self, index: int, text: str, tokens: Tokens | None) -> bytes:
        """More of its text."""
        # Events are numbered as they are made.
        begun = self._begin_message()
        return begun + self._event(
            "response.output_text.delta", delta=text, logprobs=[], **self._place
        )

    def end(self, index: int, ended: Ended) -> bytes:
        """The end of its message."""
        text, status = ended.text, ended_status(ended)
        return b"".join(
            (
                self._begin_message(),
                self._event("response.output_text.done", text=text, logprobs=[], **self._place),
                self._event("response.content_part.done", part=_part(text), **self._place),
                self._event(
                    "response.output_item.done", output_index=0,
                    item=_message(self._head, text, status),
                ),
            )
        )  # fmt: skip

    def nothing(self, index: int) -> bytes:
        """Says that the connection lives."""
        return self._event("response.in_progress", response=self._response("in_progress"))

    def close(self, ended: Sequence[Ended], choices: int) -> bytes:
        """The last event, with all that there was."""
        status = ended_status(ended[0])
        whole = response(self._head, self._asked, status, ended=ended[0])
        return self._event(f"response.{status}", response=whole)

    def fail(self, error: ElwiftError) -> bytes:
        """The last event of a response that comes to nothing."""
        failed = response(self._head, self._asked, "failed", error=error)
        return self._event("response.failed", response=failed)

    def _begin_message(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        item = _message(self._head, None, "in_progress")
        return self._event("response.output_item.added", output_index=0, item=item) + self._event(
            "response.content_part.added", part=_part(""), **self._place
        )

    def _response(self, status: str) -> dict[str, Any]:
        return response(self._head, self._asked, status)

    def _event(self, kind: str, **members: Any) -> bytes:
        number, self._number = self._number, self._number + 1
        value = {"type": kind, "sequence_number": number, **members}
        return f"event: {kind}\n".encode() + event(value)
