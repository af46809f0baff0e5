"""The channel ``task:{id}``: one client's view of one task, from the character where it left."""

from __future__ import annotations

from typing import Any, Final

from edge.actors import Down
from edge.json_values import whole_number
from edge.phoenix import Json
from edge.services import wire
from edge.services.channel import (
    LATER,
    UNHANDLED,
    Answer,
    Channel,
    Decision,
    Error,
    Ok,
)
from edge.services.messages import (
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
from edge.services.tasks import Tasks
from edge.services.wire import PAGE_CHARS, TOPIC_PREFIX, ProgressUpdate
from edge.tasks import ids
from edge.tasks.task import Task

_NOT_FOUND: Final = Error({"reason": "not found"})


class TaskChannel(Channel):
    """Watches one task. Join payload ``{"offset": n}``: the first n characters are known.

    The reply carries the task and the text from there on; events follow, and `phx_close` once the
    task has ended. Who joins after that hears its last event, too: to a client it makes no
    difference when the end was. Should the task's actor crash, its successor is watched from the
    same place.

    With ``{"stay": true}`` the channel stays open after the end. The push ``retry`` then runs the
    task again, and so does anybody else: `rewind` to 0 says so, and the events of the new run
    follow.
    """

    broadcasts = False

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._task_id = ""
        self._offset = 0
        self._joined = False
        self._stay = False
        self._ended = False  # the client was told of the end
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
        ref = self._tasks.live_of(self.client, self._task_id)
        if ref is not None:
            # One that is dying does not hear it; its `Down` brings us back here, to its successor.
            ref.send(Watch(self.ref, self._offset, stay=self._stay))
            self.monitor(ref)
        elif self._ended:
            self._tasks.stay(self._task_id, self.ref)
        else:
            self._tasks.fetch(self._task_id, self.client, self.ref)

    def handle_info(self, message: object) -> None:
        if type(message) is ProgressUpdate:
            self._offset = message.offset + len(message.delta)
            self.push_mergeable("progress", message)
        elif type(message) is TaskEvent:
            self._event(message)
        elif type(message) is Watching:
            self._begin(message)
        elif type(message) is Down or type(message) is LookAgain:
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
            self.reply(message.ref, Ok({"task": wire.for_channels(message.document)}))
        else:
            self.reply(message.ref, Error({"reason": message.refusal}))

    def _event(self, message: TaskEvent) -> None:
        if message.event == "rewind":
            self._offset = message.payload["offset"]
        self.push(message.event, message.payload)
        self._ended = message.last
        if message.last and not self._stay:
            self.finish()

    def _begin(self, message: Watching) -> None:
        if self._ended and message.ended:
            return  # it is in memory again, and nothing has become of it yet
        if self._joined:
            # The actor is a successor: it counts its events, and has its text, from here on.
            self._rewind(message)
            self._push_text(message.document, message.delta, message.offset)
        else:
            if message.document["client"] != self.client:
                self.refuse(_NOT_FOUND.response)
                return
            self._joined = True
            if message.offset < self._offset:
                # What the client has beyond is not the task's any more.
                self._reply(message.document, "", message.offset)
                self._rewind(message)
                self._push_text(message.document, message.delta, message.offset)
            else:
                self._reply(message.document, message.delta, message.offset)
        self._offset = message.offset + len(message.delta)
        self._ended = message.ended
        if message.ended:
            event, payload = wire.end_event(message.document)
            self.push(event, {"seq": message.document["seq"], **payload})
            if not self._stay:
                self.finish()

    def _refuse_joined_or_not(self) -> None:
        if self._joined:
            raise OverflowError("the others who watch this task were faster to come back")
        self.refuse({"reason": "too many watch this task"})

    def _rewind(self, message: Watching) -> None:
        self.push("rewind", {"seq": message.document["seq"], "offset": message.offset})

    def _fetched(self, task: Task | None) -> None:
        if task is None or task.request.client != self.client:
            if self._joined:
                raise LookupError(f"task {self._task_id} is nowhere to be found")
            self.refuse(_NOT_FOUND.response)
        elif not task.terminal:
            self.send_after(LOOK_AGAIN_MS, LookAgain(self._task_id))
        else:
            self._begin(stored(task, self._offset))
            if self._stay:
                self._watch()

    def _reply(self, document: dict[str, Any], delta: str, offset: int) -> None:
        """The join's reply, with as much text as fits one message; the rest follows in pages."""
        page, rest = delta[:PAGE_CHARS], delta[PAGE_CHARS:]
        self.accept({"task": wire.for_channels(document), "delta": page, "offset": offset})
        self._push_text(document, rest, offset + len(page))

    def _push_text(self, document: dict[str, Any], text: str, offset: int) -> None:
        for page in wire.catch_up(document, text, offset):
            self.push_mergeable("progress", page)
