"""What a call hears of its task: text as it comes, and the end.

One more transport of the channel ``task:{id}``: a socket's machine with one topic. What it says is
folded here into the text that has not been taken yet and, at last, how the task has ended. Of text
no more is kept than a client with a full connection may be owed; the channel keeps the place.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from edge.errors import ElwiftError, NotFound, Overloaded
from edge.gateway.budget import Budget
from edge.gateway.calls import errors
from edge.gateway.machine_port import TopicPort
from edge.gateway.outbox import BUSY_BYTES, ROOM_BYTES_MAX, ROOM_SHARE
from edge.phoenix import MergeablePush, Reply, Router
from edge.services.task import wire
from edge.services.task.wire import CHAR_MEMORY_BYTES, ProgressUpdate
from edge.services.watchers.channel import ChannelFactory, Channels
from edge.tasks.logprobs import TokenLogprob

AGAIN_MS: Final = 1_000


class Surroundings(NamedTuple):
    """What following a task takes. ``bytes_max`` is what may wait for one client."""

    router: Router[ChannelFactory]
    channels: Channels
    bytes_max: int
    budget: Budget | None

    @classmethod
    def of(
        cls,
        task_channel: ChannelFactory,
        channels: Channels,
        bytes_max: int,
        budget: Budget | None = None,
    ) -> Surroundings:
        """With the channels of tasks alone."""
        router = Router([(f"{wire.TOPIC_PREFIX}*", task_channel)])
        return cls(router, channels, bytes_max, budget)


class Following(TopicPort):
    """One task, followed from its first character until it has ended.

    Text is never taken back: where the task lost some of it and writes it again, what comes is what
    goes on from the characters that were taken.
    """

    def __init__(
        self,
        client: str,
        task_id: str,
        around: Surroundings,
        wake: Callable[[], object],
        *,
        text: bool = True,
    ) -> None:
        """``wake`` is called whenever there is something to be taken; without ``text`` that is
        nothing but the end."""
        super().__init__(client, around.router, around.channels)
        self.task_id = task_id
        self._around = around
        self._wake = wake
        self._wants_text = text
        self._pieces: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        self._waiting_bytes = 0
        self._reached = 0  # characters of the task's text that have been here
        self._wanting: deque[Callable[[], bool]] = deque()
        self._held_bytes = 0  # by the channel
        self._untold: list[tuple[int, int]] = []  # where text came without its tokens
        self.dialect: str | None = None  # of its text (`edge.tasks.task.Task`), known before that
        self.over = False
        self.error: ElwiftError | None = None

    def begin(self) -> None:
        """Follows from now on."""
        self._join(wire.topic(self.task_id), {"offset": 0})

    def take(self) -> tuple[str, list[TokenLogprob]]:
        """The text that has come since the last time, with its tokens where they were asked for."""
        text, tokens = "".join(self._pieces), self._logprobs
        self._pieces, self._logprobs, self._waiting_bytes = [], [], 0
        while self._wanting and self.room_bytes:
            self._wanting.popleft()()
        self._note()
        return text, tokens

    def untold(self, tokens: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Those of all tokens that have not come with their text."""
        return [
            each
            for each in tokens
            if any(start <= each["offset"] < end for start, end in self._untold)
        ]

    def close(self) -> None:
        """Nobody wants to know any more."""
        self._perform(self._machine.lost("the call is over"))
        if self._around.budget is not None:
            self._around.budget.holds(self, 0)

    def give_up(self, error: ElwiftError) -> None:
        """Ends the following, not the task, for this reason."""
        if not self.over:
            self.error, self.over = error, True
            self._wake()

    # --- what waits

    def held_bytes(self) -> int:
        """What waits for the client (`edge.gateway.budget.Holder`)."""
        return self._waiting_bytes + self._held_bytes

    def cut_off(self) -> None:
        """The budget of all clients is spent, and this one holds most."""
        self._pieces, self._logprobs, self._waiting_bytes = [], [], 0
        self.give_up(SlowReader("the client reads too slowly"))

    @property
    def room_bytes(self) -> int:
        if self._waiting_bytes > BUSY_BYTES:
            return 0
        return min(ROOM_BYTES_MAX, self._around.bytes_max // ROOM_SHARE)

    @property
    def crowded(self) -> bool:
        return self._waiting_bytes > self._around.bytes_max // ROOM_SHARE

    def when_room(self, call: Callable[[], bool], *, first: bool = False) -> None:
        self._wanting.append(call)
        if self.room_bytes:
            self._wake()

    def hold(self, size_bytes: int) -> None:
        self._held_bytes += size_bytes
        self._note()

    def _note(self) -> None:
        if self._around.budget is not None:
            self._around.budget.holds(self, self.held_bytes())

    # --- what the channel says

    def _mergeable(self, push: MergeablePush) -> None:
        update = push.payload
        assert isinstance(update, ProgressUpdate), "a task's channel merges nothing else"
        self.dialect = update.dialect
        self._text(update.offset, update.delta, update.logprobs)

    def _replied(self, reply: Reply) -> None:
        response: Any = reply.response
        if reply.status == "ok":
            self.dialect = response["task"]["dialect"]
            self._text(response["offset"], response["delta"])
        elif response["reason"] == "not found":
            self.give_up(NotFound(f"there is no task {self.task_id}", field="task_id"))
        else:
            self.give_up(_unfollowed(response["reason"]))

    def _message(self, name: str, payload: Any) -> None:
        if name == "progress":
            self.dialect = payload["dialect"]
            self._text(payload["offset"], payload["delta"])
        elif name == "completed":
            self.over = True
            self._wake()
        elif name == "failed":
            self.give_up(errors.failed(payload["error"]))
        elif name == "cancelled":
            self.give_up(errors.cancelled())
        elif name == "phx_error":
            self.give_up(_unfollowed("its channel has failed"))

    def _text(self, offset: int, text: str, tokens: list[TokenLogprob] | None = None) -> None:
        fresh = text[max(0, self._reached - offset) :]
        if not fresh or not self._wants_text:
            return
        if tokens is None:
            self._untold.append((self._reached, offset + len(text)))
        else:
            self._logprobs += (each for each in tokens if each.offset >= self._reached)
        self._reached = offset + len(text)
        self._pieces.append(fresh)
        self._waiting_bytes += CHAR_MEMORY_BYTES * len(fresh)
        self._note()
        self._wake()


class SlowReader(ConnectionError, ElwiftError):
    """A client holds more than all slow ones may together."""


def _unfollowed(reason: str) -> Overloaded:
    return Overloaded(f"the task cannot be followed: {reason}", retry_after_ms=AGAIN_MS)


class Wake:
    """Something has happened: several in a row are one."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def __call__(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        """Until it is called, or was called since the last time."""
        await self._event.wait()
        self._event.clear()
