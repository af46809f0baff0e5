"""Who watches one task: its channels, told every event with a number."""

from __future__ import annotations

from typing import Any, Final

from edge.actors import Ref
from edge.services import wire
from edge.services.messages import TaskEvent
from edge.services.wire import ProgressUpdate
from edge.tasks.effects import TellProgress
from edge.tasks.task import Task

WATCHERS_MAX: Final = 1_000


class Audience:
    """The channels that watch a task. Telling counts the task's ``seq``, whoever listens."""

    __slots__ = ("_channels", "_task")

    def __init__(self, task: Task) -> None:
        self._task = task
        self._channels: list[Ref] = []

    def __len__(self) -> int:
        return len(self._channels)

    def join(self, channel: Ref) -> bool:
        """Adds a channel; False when there are too many."""
        if len(self._channels) >= WATCHERS_MAX:
            return False
        self._channels.append(channel)
        return True

    def leave(self, channel: Ref) -> None:
        """Forgets a channel that may have joined."""
        self._channels = [each for each in self._channels if each is not channel]

    def dismiss(self) -> None:
        """Forgets all: there will be nothing more to tell."""
        self._channels.clear()

    def tell(self, event: str, payload: dict[str, Any], *, last: bool = False) -> None:
        """Pushes an event to all; ``last`` when the channels are to close after it."""
        self._task.seq += 1
        told = TaskEvent(event, {"seq": self._task.seq, **payload}, last)
        for channel in self._channels:
            channel.send(told)

    def tell_progress(self, effect: TellProgress, left_ms: int) -> None:
        """Pushes progress, which outboxes may merge; ``left_ms`` is the estimate to the end."""
        task = self._task
        task.seq += 1
        update = ProgressUpdate(
            seq=task.seq,
            from_seq=task.seq,
            state=str(task.state),
            phase=effect.phase,
            progress=wire.progress_share(task),
            tokens=len(task.tokens),
            eta_ms=left_ms,
            offset=effect.offset,
            delta=effect.delta,
        )
        for channel in self._channels:
            channel.send(update)
