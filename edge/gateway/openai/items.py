"""What a response is made of, items of thought, text and calls, and the events that tell of them as
they come. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from edge.answers.deltas import Arguments, CallBegun, CallEnded, Content, Delta, Reasoning
from edge.answers.ids import call_id

Event = tuple[str, dict[str, Any]]
"""Its type and its members, but for its number."""

_OPEN: Final = "in_progress"
_WHOLE: Final = "completed"
_CUT: Final = "incomplete"


class Items:
    """The items of the answer of one task, in their order. One is open at a time; each call of a
    method returns what it adds as events."""

    def __init__(self, task_id: str) -> None:
        self._task_id = task_id
        self._items: list[dict[str, Any]] = []
        self._said: list[str] = []  # of the one that is open
        self._is_open = False
        self._events: list[Event] = []

    @property
    def output(self) -> list[dict[str, Any]]:
        """Those that have ended."""
        return self._items[:-1] if self._is_open else self._items

    def add(self, deltas: Iterable[Delta]) -> list[Event]:
        """The answer goes on with these."""
        for delta in deltas:
            if isinstance(delta, CallBegun):
                self._begin(_call(self._task_id, delta))
            elif isinstance(delta, CallEnded):
                self._close(_WHOLE)
            elif isinstance(delta, Arguments):
                self._say("response.function_call_arguments.delta", delta.text)
            elif isinstance(delta, Reasoning):
                self._open("reasoning")
                self._say("response.reasoning_text.delta", delta.text, content_index=0)
            else:
                assert isinstance(delta, Content)
                self._open("message")
                self._say("response.output_text.delta", delta.text, content_index=0, logprobs=[])
        return self._told()

    def end(self, status: str) -> list[Event]:
        """It ends, with this status. An answer has one item at least."""
        if not self._items:
            self._open("message")
        self._close(_CUT if status == _CUT else _WHOLE)
        return self._told()

    def _told(self) -> list[Event]:
        told, self._events = self._events, []
        return told

    def _event(self, kind: str, **members: Any) -> None:
        self._events.append((kind, members))

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": self._items[-1]["id"], "output_index": len(self._items) - 1}

    def _open(self, kind: str) -> None:
        """An item of text, unless it is the one that is open."""
        if self._is_open and self._items[-1]["type"] == kind:
            return
        number = sum(each["type"] == kind for each in self._items)
        name = self._task_id if not number else f"{self._task_id}_{number}"
        if kind == "message":
            item = {"id": f"msg_{name}", "type": kind, "status": _OPEN, "role": "assistant"}
            self._begin(item | {"content": []})
            self._event(
                "response.content_part.added", part=part(""), content_index=0, **self._place
            )
        else:
            self._begin({"id": f"rs_{name}", "type": kind, "summary": [], "content": []})

    def _begin(self, item: dict[str, Any]) -> None:
        self._close(_WHOLE)
        self._items.append(item)
        self._is_open = True
        self._event(
            "response.output_item.added", output_index=len(self._items) - 1, item=dict(item)
        )

    def _say(self, kind: str, text: str, **members: Any) -> None:
        self._said.append(text)
        self._event(kind, delta=text, **self._place, **members)

    def _close(self, status: str) -> None:
        if not self._is_open:
            return
        item, text = self._items[-1], "".join(self._said)
        self._said, self._is_open = [], False
        if item["type"] == "message":
            item |= {"status": status, "content": [part(text)]}
            place = self._place | {"content_index": 0}
            self._event("response.output_text.done", text=text, logprobs=[], **place)
            self._event("response.content_part.done", part=part(text), **place)
        elif item["type"] == "reasoning":
            item["content"] = [{"type": "reasoning_text", "text": text}]
            self._event("response.reasoning_text.done", text=text, content_index=0, **self._place)
        else:
            item |= {"status": status, "arguments": text}
            name = item["name"]
            self._event(
                "response.function_call_arguments.done", arguments=text, name=name, **self._place
            )
        self._event("response.output_item.done", output_index=len(self._items) - 1, item=dict(item))


def part(text: str) -> dict[str, Any]:
    """The content of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _call(task_id: str, delta: CallBegun) -> dict[str, Any]:
    name = call_id(task_id, delta.call)
    return {
        "id": f"fc_{name.removeprefix('call_')}",
        "type": "function_call",
        "status": _OPEN,
        "call_id": name,
        "name": delta.name,
        "arguments": "",
    }


def of_answer(
    task_id: str, text: str, message: Mapping[str, Any] | None, status: str
) -> list[dict[str, Any]]:
    """The items of a whole answer: of its ``message``, as `edge.answers.deltas.Answer.message` has
    it, or of its text alone."""
    items = Items(task_id)
    items.add([Content(text)] if message is None else _deltas(message))
    items.end(status)
    return items.output


def _deltas(message: Mapping[str, Any]) -> Iterable[Delta]:
    if message.get("reasoning_content"):
        yield Reasoning(message["reasoning_content"])
    if message["content"]:
        yield Content(message["content"])
    for index, call in enumerate(message.get("tool_calls", ())):
        yield CallBegun(index, call["function"]["name"])
        yield Arguments(index, call["function"]["arguments"])
