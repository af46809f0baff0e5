"""The channel ``task:{id}``: one client's view of one task, from the character where it left."""

from __future__ import annotations

from typing import Any, Final

from edge.actors import Down, Ref
from edge.json_values import whole_number
from edge.phoenix import Json
from edge.services.task import wire
from edge.services.task.messages import (
    LOOK_AGAIN_MS,
    CancelTask,
    Command,
    Commanded,
    Fetched,
    LookAgain,
    RetryTask,
    TaskEvent,
    TooMany,
    Watch,
    Watching,
    stored,
)
from edge.services.task.tasks import Tasks
from edge.services.task.wire import SHORT_CHARS, TOPIC_PREFIX, ProgressUpdate
from edge.services.watchers.channel import (
    LATER,
    UNHANDLED,
    Answer,
    Channel,
    Decision,
    Error,
    Ok,
)
from edge.services.watchers.told import Told
from edge.tasks import ids
from edge.tasks.task import Task

_NOT_FOUND: Final = Error({"reason": "not found"})


class TaskChannel(Channel):
    """Watches one task. Join payload ``{"offset": n}``: the first n characters are known.

    The reply carries the task and the text from there on; events follow, and `phx_close` once the
    task has ended. Who joins after that hears its last event, too: to a client it makes no
    difference when the end was. Should the task's actor crash, its successor is watched from the
    same place.

    Text for which the client has no room yet is not kept for it, whether it was there before or is
    written faster than it is read. The channel is behind then: it lets events pass by, and asks the
    task again when there is room.

    With ``{"stay": true}`` the channel stays open after the end. The push ``retry`` then runs the
    task again, and so does anybody else: `rewind` to 0 says so, and the events of the new run
    follow.
    """

    broadcasts = False

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._task_id = ""
        self._offset = 0  # what the join says is known
        self._stay = False
        self._told: Told | None = None  # once it is joined
        self._behind = False
        self._asked = False  # how the task stands, and not answered yet
        self._watched: Ref | None = None  # who tells us of its events
        self._stored: Watching | None = None  # what is still to be sent of one without an actor
        self._ordered = False

    def join(self, topic: str, payload: Any) -> Decision:
        # The client hears its topic as it wrote it; behind this door an id has one spelling.
        task_id = ids.canonical(topic.removeprefix(TOPIC_PREFIX))
        if task_id is None:
            return _NOT_FOUND
        self._task_id = task_id
        wanted = payload if isinstance(payload, dict) else {}
        given, stay = wanted.get("offset"), wanted.get("stay")
        offset = 0 if given is None else whole_number(given)
        if offset is None or offset < 0:
            return Error({"reason": "offset has to be a whole number from 0", "field": "offset"})
        if stay is not None and not isinstance(stay, bool):
            return Error({"reason": "stay has to be true or false", "field": "stay"})
        self._offset, self._stay = offset, stay is True
        self._watch()
        return LATER

    def terminate(self, reason: str) -> None:
        self._tasks.leave(self._task_id, self.ref)

    def _watch(self) -> None:
        told = self._told
        offset = self._offset if told is None else told.offset
        ref = self._tasks.live_of(self.client, self._task_id)
        if ref is not None:
            # One that is dying does not hear it; its `Down` brings us back here, to its successor.
            known = ref is self._watched
            ref.send(Watch(self.ref, offset, once=known, exact=known))
            self._watched, self._asked = ref, True
            self.monitor(ref)
        elif told is not None and told.ended:
            self._tasks.stay(self._task_id, self.ref)
        else:
            self._asked = True
            self._tasks.fetch(self._task_id, self.client, self.ref)

    def handle(self, message: object) -> None:
        # Before all else, because it comes with every token.
        if type(message) is ProgressUpdate:
            self._progresses(message)
        else:
            super().handle(message)

    def handle_info(self, message: object) -> None:
        if type(message) is TaskEvent:
            self._happens(message)
        elif type(message) is Watching:
            self._shown(message)
        elif type(message) is Down:
            self._watched = None
            # Who is behind asks when there is room.
            if self._asked or not self._behind:
                self._watch()
        elif type(message) is LookAgain:
            self._watch()
        elif type(message) is Commanded:
            self._commanded(message)
        elif type(message) is TooMany:
            self._refuse_joined_or_not()
        elif type(message) is Fetched:
            self._fetched(message.task)

    def handle_in(self, event: str, payload: Any, ref: Json) -> Answer:
        if event not in ("cancel", "retry"):
            return UNHANDLED
        actor = self._tasks.live_of(self.client, self._task_id)
        request = CancelTask() if event == "cancel" else RetryTask()
        if actor is not None and actor.send(Command(request, self.ref, ref)):
            return None
        # It has to be brought back first, which takes a moment; once is enough.
        if self._ordered:
            return Error({"reason": "the push before this one is still under way"})
        self._ordered = True
        self._tasks.order(self._task_id, self.client, request, self.ref, ref)
        return None

    def _commanded(self, message: Commanded) -> None:
        self._ordered = False
        if message.refusal is None:
            assert message.document is not None, "there is one unless it is refused"
            slim = wire.for_channels(message.document, self._chars_now())
            self.reply(message.ref, Ok({"task": slim}))
        else:
            self.reply(message.ref, Error({"reason": message.refusal}))

    def _chars_now(self) -> int:
        """How much text may be said now: more than what is short only when there is room."""
        return max(SHORT_CHARS, wire.chars_in(self.room_bytes))

    # --- as it happens

    def _progresses(self, update: ProgressUpdate) -> None:
        assert self._told is not None, "it was shown before"
        if not self._behind and self.crowded:
            self._fall_behind()
        if not self._behind:
            self._told.progressed(update)
            self.push_mergeable("progress", update)

    def _happens(self, message: TaskEvent) -> None:
        assert self._told is not None, "it was shown before"
        last = message.last
        if not self._behind and (self.crowded or (last and not self._has_room_for(message))):
            self._fall_behind()
        if self._behind:
            for event, payload in self._told.missed(message):
                self.push(event, payload)
        else:
            self._told.heard(message)
            self.push(message.event, message.payload)
            if last and not self._stay:
                self.finish()

    def _has_room_for(self, message: TaskEvent) -> bool:
        result = message.payload.get("result")
        return result is None or len(result["text"] or "") <= self._chars_now()

    # --- as it is

    def _shown(self, shown: Watching, *, from_store: bool = False) -> None:
        self._asked = False
        told, anew = self._told, True
        if told is None:
            told, anew = self._begin(shown), shown.offset < self._offset
        elif told.ended and shown.ended:
            return  # it is in memory again, and nothing has become of it yet
        if anew and shown.offset > told.offset:
            # Cut back since we asked, as we have heard, so this may be of another text.
            self._watch()
            return
        if anew:
            for event, payload in told.rewind(shown):
                self.push(event, payload)
        self._go_on(told, shown, from_store=from_store)

    def _begin(self, shown: Watching) -> Told:
        """Replies to the join with as much text as there is room for."""
        document, chars = shown.document, self._chars_now()
        # What the client has beyond is not the task's any more, and is taken back behind the reply.
        ahead = shown.offset < self._offset
        page = "" if ahead else shown.delta[:chars]
        slim = wire.for_channels(document, chars - len(page))
        self._told = told = Told.of(document, self._offset if ahead else shown.offset + len(page))
        self.accept({"task": slim, "delta": page, "offset": shown.offset})
        return told

    def _go_on(self, told: Told, shown: Watching, *, from_store: bool) -> None:
        missing = told.missing_chars(shown)
        chars = SHORT_CHARS if missing <= SHORT_CHARS else wire.chars_in(self.room_bytes)
        if chars:
            for event, payload in told.catch_up(shown, chars):
                self.push(event, payload)
        if not chars or told.offset < shown.chars:
            self._fall_behind()
            self._keep(shown if from_store else None)
            return
        self._behind = False
        self._keep(None)
        if told.ended and not self._stay:
            self.finish()
        elif told.ended and self._watched is None:
            self._watch()

    def _fall_behind(self) -> None:
        # Who has begun with a text goes on with it: one text a socket is on its way at a time.
        self.ask_room(first=self._behind)
        self._behind = True

    def _keep(self, shown: Watching | None) -> None:
        """A task without an actor is not read from the store for every page."""
        self._stored = shown
        self.hold(0 if shown is None else wire.CHAR_MEMORY_BYTES * len(shown.delta))

    def has_room(self) -> None:
        assert self._told is not None, "it is behind"
        if self._stored is not None:
            self._go_on(self._told, self._stored, from_store=True)
        elif self._behind and not self._asked:
            self._watch()

    def _refuse_joined_or_not(self) -> None:
        if self._told is not None:
            raise OverflowError("the others who watch this task were faster to come back")
        self.refuse({"reason": "too many watch this task"})

    def _fetched(self, task: Task | None) -> None:
        if task is None or task.request.client != self.client:
            if self._told is not None:
                raise LookupError(f"task {self._task_id} is nowhere to be found")
            self.refuse(_NOT_FOUND.response)
        elif not task.terminal:
            self.send_after(LOOK_AGAIN_MS, LookAgain(self._task_id))
        else:
            offset = self._offset if self._told is None else self._told.offset
            self._shown(stored(task, offset), from_store=True)
