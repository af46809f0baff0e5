"""The channel ``tasks:mine``: all tasks of the caller in one topic, many updates in one frame."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Any, Final, TypeAlias

import orjson

from edge.actors import Down, Ref
from edge.errors import InvalidRequest
from edge.json_values import whole_number
from edge.phoenix import Encoded
from edge.phoenix.messages import FIELD_BYTES_MAX
from edge.services import wire
from edge.services.channel import MAILBOX_MESSAGES_MAX, Channel, Decision, Error, Ok
from edge.services.messages import (
    LOOK_AGAIN_MS,
    Fetched,
    LookAgain,
    TaskEvent,
    Watch,
    Watching,
    stored,
)
from edge.services.tasks import Tasks
from edge.services.wire import PAGE_CHARS, ProgressUpdate
from edge.tasks import ids
from edge.tasks.task import Task

MINE_TOPIC: Final = "tasks:mine"

LISTED_MAX: Final = 1_000
"""Tasks whose state a join tells; the others come with their next event, or over HTTP."""

OFFSETS_MAX: Final = 500
"""Tasks whose text a join may ask to be continued."""

ASKED_MAX: Final = 16
ASK_GAP_MS: Final = 10
"""A join asks so many tasks at a time how they stand, with so long in between: what they have to
say is written to the client before there is more of it."""

UPDATES_BYTES_MAX: Final = 196_608
"""Updates of one frame at most: with the longest single one a frame stays under 512 KiB."""


_Entry: TypeAlias = ProgressUpdate | Encoded


class Updates:
    """The payload of an ``updates`` event: what happened to some tasks, in order.

    Progress of a task is merged with its progress before if nothing else of that task came between;
    everything else is kept as it was.
    """

    __slots__ = ("_entries", "_last", "size_bytes")

    def __init__(self, task_id: str, entry: _Entry) -> None:
        self._entries: list[tuple[str, _Entry]] = []
        self._last: dict[str, int] = {}  # of each task, where its last entry is
        self.size_bytes = 0
        self._add(task_id, entry)

    def _add(self, task_id: str, entry: _Entry) -> None:
        place = self._last.get(task_id)
        if place is not None and isinstance(entry, ProgressUpdate):
            _, before = self._entries[place]
            merged = before.merge(entry) if isinstance(before, ProgressUpdate) else None
            if merged is not None:
                self._entries[place] = task_id, merged
                self.size_bytes += _size_bytes(merged) - _size_bytes(before)
                return
        self._last[task_id] = len(self._entries)
        self._entries.append((task_id, entry))
        self.size_bytes += _size_bytes(entry)

    def merge(self, later: Updates) -> Updates | None:
        """This one with all of the later's; None when it would be too long for one frame."""
        if self.size_bytes + later.size_bytes > UPDATES_BYTES_MAX:
            return None
        for task_id, entry in later._entries:
            self._add(task_id, entry)
        return self

    def encode(self) -> Encoded:
        updates = [
            {"task_id": task_id, "event": "progress", **entry.payload()}
            if isinstance(entry, ProgressUpdate)
            else entry.fragment
            for task_id, entry in self._entries
        ]
        return Encoded(orjson.dumps({"updates": updates}))


def _size_bytes(entry: _Entry) -> int:
    return entry.size_bytes if isinstance(entry, ProgressUpdate) else len(entry.json)


class _AskMore:
    """It is time for the next tasks."""


_ASK_MORE: Final = _AskMore()


class MineChannel(Channel):
    """Follows all tasks of the caller, those to come included.

    Join payload ``{"offsets": {task_id: n, …}}``: of these tasks the first n characters are known;
    they are told of even when they have ended meanwhile. Ids may be written in any way there; what
    is told has them in their canonical form. The reply is ``{"tasks": n}``, how many
    are in memory. ``updates`` follow, each a list of entries with ``task_id`` and ``event``: first
    a ``task`` entry with the document, ``delta`` and ``offset`` for each task, then the events of
    the channel ``task:{id}``, and ``accepted`` for a new one. A client keeps
    ``text = text[:offset] + delta``; the text is not in a ``task`` entry's result a second time.
    """

    broadcasts = False

    def __init__(self, tasks: Tasks, at_once_max: int = 0) -> None:
        """``at_once_max``: so many tasks at most are accepted before anybody has a turn. Each says
        so here, and half of the mailbox is for what is said in turns (`edge.actors.System`)."""
        self._tasks = tasks
        self.mailbox_messages_max = max(MAILBOX_MESSAGES_MAX, 2 * at_once_max)
        # Tasks that have not said yet how they stand: whom we asked, if we did, and from which
        # offset on. What they tell before they answer is part of the answer.
        self._asked: dict[str, tuple[Ref | None, int]] = {}
        self._to_ask: deque[str] = deque()

    def join(self, topic: str, payload: Any) -> Decision:
        try:
            known, unknown = _offsets_of(payload)
        except InvalidRequest as error:
            return Error({"reason": str(error), "field": error.field})
        if not self._tasks.followers.join(self.client, self.ref):
            return Error({"reason": "too many sockets follow the tasks of this client"})
        own = self._tasks.of_client(self.client)
        for written in unknown:
            self._entry(written, "unknown", {})
        listed = dict.fromkeys(islice(own, LISTED_MAX), 0) | known
        self._asked = {task_id: (None, offset) for task_id, offset in listed.items()}
        self._to_ask.extend(listed)
        self._ask_more()
        return Ok({"tasks": len(own)})

    def terminate(self, reason: str) -> None:
        self._tasks.followers.leave(self.client, self.ref)

    def _ask_more(self) -> None:
        for _ in range(min(ASKED_MAX, len(self._to_ask))):
            task_id = self._to_ask.popleft()
            self._ask(task_id, self._asked[task_id][1])
        if self._to_ask:
            self.send_after(ASK_GAP_MS, _ASK_MORE)

    def _ask(self, task_id: str, offset: int) -> None:
        ref = self._tasks.live_of(self.client, task_id)
        self._asked[task_id] = ref, offset
        if ref is not None:
            # One that is dying does not hear it; its `Down` has its successor asked.
            ref.send(Watch(self.ref, offset, once=True))
            self.monitor(ref)
        else:
            self._tasks.fetch(task_id, self.client, self.ref)

    def handle_info(self, message: object) -> None:
        if isinstance(message, (ProgressUpdate, TaskEvent)):
            if message.task_id not in self._asked:
                self._tell(message)
        elif type(message) is Watching:
            self._list(message)
        elif type(message) is Fetched:
            self._fetched(message.task_id, message.task)
        elif type(message) is Down:
            for task_id, (ref, offset) in tuple(self._asked.items()):
                if ref is message.ref:
                    self._ask(task_id, offset)
        elif type(message) is _AskMore:
            self._ask_more()
        elif type(message) is LookAgain and message.task_id in self._asked:
            self._ask(message.task_id, self._asked[message.task_id][1])

    def _tell(self, message: ProgressUpdate | TaskEvent) -> None:
        if isinstance(message, ProgressUpdate):
            self.push_mergeable("updates", Updates(message.task_id, message))
        else:
            self._entry(message.task_id, message.event, message.payload)

    def _entry(self, task_id: str, event: str, payload: dict[str, Any]) -> None:
        entry = Encoded.of({"task_id": task_id, "event": event, **payload})
        self.push_mergeable("updates", Updates(task_id, entry))

    def _list(self, message: Watching) -> None:
        ref, _ = self._asked.pop(message.task_id, (None, 0))
        if ref is not None:
            self.demonitor(ref)
        if message.document["client"] != self.client:
            self._entry(message.task_id, "unknown", {})
            return
        page, rest = message.delta[:PAGE_CHARS], message.delta[PAGE_CHARS:]
        shown = wire.for_channels(message.document)
        if shown["result"] is not None:
            shown["result"] = shown["result"] | {"text": None}
        told = {"seq": shown["seq"], "task": shown, "delta": page, "offset": message.offset}
        self._entry(message.task_id, "task", told)
        for more in wire.catch_up(message.document, rest, message.offset + len(page)):
            self.push_mergeable("updates", Updates(message.task_id, more))

    def _fetched(self, task_id: str, task: Task | None) -> None:
        if task is None or task.request.client != self.client:
            del self._asked[task_id]
            self._entry(task_id, "unknown", {})
        elif not task.terminal:
            self.send_after(LOOK_AGAIN_MS, LookAgain(task_id))
        else:
            self._list(stored(task, self._asked[task_id][1]))


def _offsets_of(payload: object) -> tuple[dict[str, int], list[str]]:
    """The offsets of a join by canonical id, and what is no id. Of a task that is named in two ways
    the smaller offset counts: its client has at least so much. InvalidRequest says what is wrong.
    """
    offsets = payload.get("offsets") if isinstance(payload, dict) else None
    if offsets is None:
        return {}, []
    if not isinstance(offsets, dict):
        raise _wrong("offsets has to be an object of whole numbers from 0")
    if len(offsets) > OFFSETS_MAX:
        raise _wrong(f"offsets may name {OFFSETS_MAX} tasks; join task:{{id}} for others")
    known: dict[str, int] = {}
    unknown = []
    for written, given in offsets.items():
        if len(written) > FIELD_BYTES_MAX:
            raise _wrong("offsets has to name tasks by their ids")
        task_id, offset = ids.canonical(written), whole_number(given)
        if offset is None or offset < 0:
            raise _wrong("offsets has to be an object of whole numbers from 0")
        if task_id is None:
            unknown.append(written)
        else:
            known[task_id] = min(offset, known.get(task_id, offset))
    return known, unknown


def _wrong(sentence: str) -> InvalidRequest:
    return InvalidRequest(sentence, field="offsets")
