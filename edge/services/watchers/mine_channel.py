"""The channel ``tasks:mine``: all tasks of the caller in one topic, many updates in one frame."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeAlias

from edge.actors import Down, Ref
from edge.errors import InvalidRequest
from edge.json_values import whole_number
from edge.phoenix import Encoded
from edge.phoenix.messages import FIELD_BYTES_MAX
from edge.services.task import wire
from edge.services.task.messages import (
    LOOK_AGAIN_MS,
    Fetched,
    LookAgain,
    TaskEvent,
    Watch,
    Watching,
    stored,
)
from edge.services.task.tasks import Tasks
from edge.services.task.wire import SHORT_CHARS, ProgressUpdate
from edge.services.watchers.channel import MAILBOX_MESSAGES_MAX, Channel, Decision, Error, Ok
from edge.services.watchers.told import Told
from edge.tasks import ids
from edge.tasks.task import Task

MINE_TOPIC: Final = "tasks:mine"

LISTED_MAX: Final = 1_000
"""Tasks whose state a join tells; the others come with their next event, or over HTTP."""

OFFSETS_MAX: Final = 500
"""Tasks whose text a join may ask to be continued."""

ASKED_MAX: Final = 16
LISTED_BYTES: Final = 16_384
"""A join asks so many tasks at a time how they stand, or fewer if there is not so much room for the
answer of each, and the next ones when the client has taken those."""

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
            # Its JSON is that of all who watch the task; an id needs no escapes.
            b'{"task_id":"%b","event":"progress",%b' % (task_id.encode(), entry.encode().json[1:])
            if isinstance(entry, ProgressUpdate)
            else entry.json
            for task_id, entry in self._entries
        ]
        return Encoded(b'{"updates":[%b]}' % b",".join(updates))


def _size_bytes(entry: _Entry) -> int:
    return entry.size_bytes if isinstance(entry, ProgressUpdate) else len(entry.json)


@dataclass(slots=True)
class _Look:
    """A task whose state and text up to now is still to be told. What it says meanwhile is a part
    of that. ``told`` once it is listed, and its text is too long to be told at once."""

    offset: int  # what the join says is known
    ref: Ref | None = None  # whom we have asked
    told: Told | None = None
    stored: Watching | None = None  # of one without an actor, while its text is on its way


class MineChannel(Channel):
    """Follows all tasks of the caller, those to come included.

    Join payload ``{"offsets": {task_id: n, …}}``: of these tasks the first n characters are known;
    they are told of even when they have ended meanwhile. Ids may be written in any way there; what
    is told has them in their canonical form. The reply is ``{"tasks": n}``, how many
    are in memory. ``updates`` follow, each a list of entries with ``task_id`` and ``event``: first
    a ``task`` entry with the document, ``delta`` and ``offset`` for each task, then the events of
    the channel ``task:{id}``, and ``accepted`` for a new one. A client keeps
    ``text = text[:offset] + delta``; the text is not in a ``task`` entry's result a second time.

    Long text goes at the pace of the client: first all are listed, then the rest of each long text
    comes in pages, one task after the other.
    """

    broadcasts = False

    def __init__(self, tasks: Tasks, at_once_max: int = 0) -> None:
        """``at_once_max``: so many tasks at most are accepted before anybody has a turn. Each says
        so here, and half of the mailbox is for what is said in turns (`edge.actors.System`)."""
        self._tasks = tasks
        self.mailbox_messages_max = max(MAILBOX_MESSAGES_MAX, 2 * at_once_max)
        self._looks: dict[str, _Look] = {}
        self._to_list: deque[str] = deque()
        self._long: deque[str] = deque()  # listed; the first one's text is on its way
        self._pending: set[str] = set()  # asked, and not answered yet

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
        self._looks = {task_id: _Look(offset) for task_id, offset in listed.items()}
        self._to_list.extend(listed)
        self.has_room()
        return Ok({"tasks": len(own)})

    def terminate(self, reason: str) -> None:
        self._tasks.followers.leave(self.client, self.ref)

    # --- one after the other

    def _go_on(self) -> None:
        if not self._pending and (self._to_list or self._long):
            # The text that is on its way before those of others.
            self.ask_room(first=not self._to_list)

    def has_room(self) -> None:
        room_bytes = self.room_bytes
        if self._pending or not room_bytes:
            self._go_on()
        elif self._to_list:
            at_once = max(1, min(ASKED_MAX, room_bytes // LISTED_BYTES))
            for _ in range(min(at_once, len(self._to_list))):
                self._ask(self._to_list.popleft())
        elif self._long:
            look = self._looks[self._long[0]]
            if look.stored is not None:
                self._tell_page(look, look.stored)
            else:
                self._ask(self._long[0])

    def _ask(self, task_id: str) -> None:
        look = self._looks[task_id]
        offset = look.offset if look.told is None else look.told.offset
        ref = self._tasks.live_of(self.client, task_id)
        known = look.told is not None and ref is look.ref
        look.ref = ref
        self._pending.add(task_id)
        if ref is not None:
            # One that is dying does not hear it; its `Down` has its successor asked.
            ref.send(Watch(self.ref, offset, once=True, exact=known))
            self.monitor(ref)
        else:
            self._tasks.fetch(task_id, self.client, self.ref)

    def handle_info(self, message: object) -> None:
        if isinstance(message, ProgressUpdate):
            # Of one that is still to be told of, it is a part of that.
            if message.task_id not in self._looks:
                self._progresses(message)
        elif isinstance(message, TaskEvent):
            look = self._looks.get(message.task_id)
            if look is None:
                self._happens(message)
            elif look.told is not None:
                for event, payload in look.told.missed(message):
                    self._entry(message.task_id, event, payload)
        elif type(message) is Watching:
            self._shown(message)
        elif type(message) is Fetched:
            self._fetched(message.task_id, message.task)
        elif type(message) is Down:
            for task_id, look in self._looks.items():
                if look.ref is message.ref and task_id in self._pending:
                    self._ask(task_id)
        elif type(message) is LookAgain:
            self._ask(message.task_id)

    # --- as it happens

    def _progresses(self, update: ProgressUpdate) -> None:
        if self.crowded:
            # It is written faster than it is read: the client catches up with it in its turn.
            told = Told(update.offset, update.from_seq - 1)
            self._looks[update.task_id] = _Look(update.offset, told=told)
            self._long.append(update.task_id)
            self._go_on()
        else:
            self.push_mergeable("updates", Updates(update.task_id, update))

    def _happens(self, message: TaskEvent) -> None:
        payload = message.payload
        if payload.get("result") is not None:
            # A client that is slow has that text already, or on its way.
            chars_max = max(SHORT_CHARS, wire.chars_in(self.room_bytes))
            payload = payload | {"result": wire.result_for_channels(payload["result"], chars_max)}
        self._entry(message.task_id, message.event, payload)

    def _entry(self, task_id: str, event: str, payload: dict[str, Any]) -> None:
        entry = Encoded.of({"task_id": task_id, "event": event, **payload})
        self.push_mergeable("updates", Updates(task_id, entry))

    # --- as it is

    def _shown(self, shown: Watching) -> None:
        look = self._looks[shown.task_id]
        self._pending.discard(shown.task_id)
        if look.ref is not None:
            self.demonitor(look.ref)
        if look.told is None:
            self._list(look, shown)
        else:
            self._tell_page(look, shown, just_shown=True)
        self._go_on()

    def _list(self, look: _Look, shown: Watching) -> None:
        page = shown.delta[:SHORT_CHARS]
        told = Told.of(shown.document, shown.offset + len(page))
        told.ended = shown.ended  # as the document says
        slim = wire.for_channels(shown.document, 0)
        entry = {"seq": slim["seq"], "task": slim, "delta": page, "offset": shown.offset}
        self._entry(shown.task_id, "task", entry)
        if told.offset < shown.chars:
            look.told = told
            self._long.append(shown.task_id)
        else:
            del self._looks[shown.task_id]

    def _tell_page(self, look: _Look, shown: Watching, *, just_shown: bool = False) -> None:
        """More of the text of the first in line."""
        told, chars = look.told, wire.chars_in(self.room_bytes)
        assert told is not None, "it is listed"
        # Cut back since we asked, as we have heard, so this may be of another text.
        stale = just_shown and shown.offset > told.offset
        if chars and not stale:
            events = list(told.rewind(shown)) if just_shown else []
            events += told.catch_up(shown, chars)
            entries = [
                {"task_id": shown.task_id, "event": event, **payload} for event, payload in events
            ]
            if entries:
                self.push("updates", {"updates": entries})
            if told.offset == shown.chars:
                del self._looks[self._long.popleft()]
                self.hold(0)
        self._go_on()

    def _fetched(self, task_id: str, task: Task | None) -> None:
        look = self._looks[task_id]
        if task is not None and task.request.client == self.client:
            if not task.terminal:
                self.send_after(LOOK_AGAIN_MS, LookAgain(task_id))
                return
            shown = stored(task, look.offset if look.told is None else look.told.offset)
            if look.told is not None:
                # Not read from the store again for every page.
                look.stored = shown
                self.hold(wire.CHAR_MEMORY_BYTES * len(shown.delta))
            self._shown(shown)
            return
        del self._looks[task_id]
        self._pending.discard(task_id)
        if look.told is not None:
            self._long.remove(task_id)
        self._entry(task_id, "unknown", {})
        self._go_on()


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
