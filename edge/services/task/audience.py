"""Who watches: the channels of one task, and those that follow all tasks of a client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from edge.actors import Ref
from edge.services.task.messages import TaskEvent, TooMany, Watch, Watching
from edge.services.task.wire import PAGE_CHARS, ProgressUpdate
from edge.tasks.task import Task

WATCHERS_MAX: Final = 1_000


class Followers:
    """Who follows all tasks of a client, those to come included."""

    __slots__ = ("_of",)

    def __init__(self) -> None:
        self._of: dict[str, list[Ref]] = {}

    def of(self, client: str) -> Sequence[Ref]:
        """Those of this client."""
        return self._of.get(client, ())

    def join(self, client: str, channel: Ref) -> bool:
        """Adds a channel; False when there are too many."""
        followers = self._of.setdefault(client, [])
        if len(followers) >= WATCHERS_MAX:
            return False
        followers.append(channel)
        return True

    def leave(self, client: str, channel: Ref) -> None:
        """Forgets a channel that may have joined."""
        left = [each for each in self._of.pop(client, ()) if each is not channel]
        if left:
            self._of[client] = left


class Audience:
    """Everybody who watches a task. Telling counts the task's ``seq``, whoever listens."""

    __slots__ = ("_channels", "_followers", "_left_ms", "_task")

    def __init__(self, task: Task, followers: Followers, left_ms: Callable[[Task], int]) -> None:
        """``left_ms`` says until when the running task runs."""
        self._task = task
        self._followers = followers
        self._left_ms = left_ms
        self._channels: tuple[Ref, ...] = ()

    def __bool__(self) -> bool:
        """Somebody watches."""
        return bool(self._channels) or bool(self._followers.of(self._task.request.client))

    def show(self, watch: Watch, document: dict[str, Any], ended: bool) -> bool:
        """Tells a channel how the task stands, from its offset on; whether it joined for more."""
        task = self._task
        stays = not watch.once
        if stays and len(self._channels) >= WATCHERS_MAX:
            watch.channel.send(TooMany(task.task_id))
            return False
        offset = watch.offset if watch.exact else task.resume_offset(watch.offset)
        # A page at a time: however long the text is, and however many come, nobody holds a copy.
        page = task.text[offset : offset + PAGE_CHARS]
        shown = Watching(task.task_id, document, page, offset, len(task.output), ended)
        watch.channel.send(shown)
        if stays:
            self._channels += (watch.channel,)
        return stays

    def leave(self, channel: Ref) -> None:
        """Forgets a channel that may have joined."""
        self._channels = tuple(each for each in self._channels if each is not channel)

    def tell(self, event: str, payload: dict[str, Any], *, last: bool = False) -> None:
        """Pushes an event to all; ``last`` when it is the task's end, which has been counted
        already, by who wrote it down (`edge.services.task.end_commit`)."""
        self._task.seq += not last
        told = TaskEvent(self._task.task_id, event, {"seq": self._task.seq, **payload}, last)
        self._send(told)

    def progress(self, phase: str, delta: str, offset: int) -> None:
        """Pushes progress, which outboxes may merge: the text from ``offset`` on."""
        task = self._task
        task.seq += 1
        if self:
            self._send(ProgressUpdate(task, phase, delta, offset, self._left_ms))

    def _send(self, message: object) -> None:
        """Each has its turn with it here and now, down to the client's socket: so the first one's
        frame is on its way before the second is looked at, and before the next task is.

        One for whom something waits, such as how the task stood when it asked, or that it is
        ended, gets this behind it. So whatever way it takes, a channel hears all that its task says
        in the order in which it was said. If it crashes, that is its own end (`Ref.send_now`).
        """
        for channel in self._channels:
            channel.send_now(message)
        for follower in self._followers.of(self._task.request.client):
            follower.send_now(message)
