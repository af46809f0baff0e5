"""A task's updates as Server-Sent Events (WHATWG HTML, "Server-sent events").

The stream is one more transport of the channel ``task:{id}``: a socket's machine with one topic,
whose frames are written as events. ``id`` is the offset that a client has reached, so that a
browser's `EventSource` comes back with it as ``Last-Event-ID`` and reads on where it left; the last
event has the id ``end``, and who comes back with that is told by ``204`` to stay away.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import orjson
from aiohttp import web

from edge.clock import NS_PER_MS, Clock, Timer
from edge.errors import InvalidRequest
from edge.gateway.budget import Budget
from edge.gateway.machine_port import TopicPort
from edge.gateway.outbox import BUSY_BYTES, ROOM_BYTES_MAX, ROOM_SHARE
from edge.phoenix import Encoded, MergeablePush, Reply, Router
from edge.services.task import wire
from edge.services.task.wire import ProgressUpdate
from edge.services.watchers.channel import ChannelFactory, Channels

END_ID: Final = "end"
ENDS: Final = frozenset({"completed", "failed", "cancelled"})
KEEP_ALIVE_MS: Final = 15_000
_KEEP_ALIVE: Final = b": keep-alive\n\n"
_HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    # A proxy that collects the answer before it passes it on would make live text late.
    "X-Accel-Buffering": "no",
}


def read_event_id(last_event_id: str | None) -> int | None:
    """The offset in a ``Last-Event-ID``: 0 without one, None for the end. InvalidRequest when it
    is none of ours."""
    if not last_event_id:
        return 0
    if last_event_id == END_ID:
        return None
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 16):
        raise InvalidRequest(
            "Last-Event-ID has to be the id of an event of this stream", field="Last-Event-ID"
        )
    return int(last_event_id)


def event(name: str, json: bytes, event_id: str | None = None) -> bytes:
    """One event with this JSON, which has no bare line breaks, so that its data is one line."""
    head = f"event: {name}\n" + (f"id: {event_id}\n" if event_id is not None else "")
    return head.encode() + b"data: " + json + b"\n\n"


class EventStream(TopicPort):
    """One client that reads one task's updates. Everything that waits is written at once; while a
    slow client is written to, progress merges, and long text waits with its task. More than
    ``bytes_max`` bytes end the stream; who reads nothing is cut off by its connection."""

    def __init__(
        self,
        client: str,
        channels: Channels,
        router: Router[ChannelFactory],
        clock: Clock,
        bytes_max: int,
        cut: Callable[[], object],
        budget: Budget | None = None,
    ) -> None:
        """``cut`` breaks the connection to a client that reads too slowly."""
        super().__init__(client, router, channels)
        self._clock = clock
        self._bytes_max = bytes_max
        self._cut = cut
        self._budget = budget
        self._written_bytes = 0  # of what is being written
        self._waiting: list[bytes | MergeablePush] = []
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._over = False
        self._writing = False
        self._wanting: deque[Callable[[], bool]] = deque()  # its channel, that wants room
        self._keep_alive: Timer | None = None

    async def run(self, response: web.StreamResponse, task_id: str, offset: int) -> None:
        """Writes until the task has ended, the client is gone, or `end` is called."""
        try:
            self._join(wire.topic(task_id), {"offset": offset})
            while True:
                await self._wake.wait()
                self._wake.clear()
                if data := self._take():
                    self._writing, self._written_bytes = True, len(data)
                    # Returns when the client has taken nearly all of what is long.
                    await response.write(data)
                    self._writing, self._written_bytes = False, 0
                if self._over and not self._waiting:
                    return
                while self._wanting and self.room_bytes:
                    self._wanting.popleft()()
                self._keep_alive_later()
        except ConnectionError:
            return  # the client is gone, and comes back if it wants to
        finally:
            self.end()
            self._perform(self._machine.lost("the client is gone"))
            if self._budget is not None:
                self._budget.holds(self, 0)

    def held_bytes(self) -> int:
        """What waits for the client (`edge.gateway.budget.Holder`)."""
        return self._waiting_bytes + self._written_bytes

    def cut_off(self) -> None:
        """The budget of all clients is spent, and this one holds most."""
        self._waiting.clear()
        self._waiting_bytes = 0
        self.end()
        self._cut()

    @property
    def room_bytes(self) -> int:
        if self._writing or self._waiting_bytes > BUSY_BYTES:
            return 0
        return min(ROOM_BYTES_MAX, self._bytes_max // ROOM_SHARE)

    @property
    def crowded(self) -> bool:
        return self._waiting_bytes > self._bytes_max // 2

    def when_room(self, call: Callable[[], bool], *, first: bool = False) -> None:
        self._wanting.append(call)
        self._wake.set()

    def end(self) -> None:
        """Ends the stream once what waits is written; the client may come back."""
        self._over = True
        if self._keep_alive is not None:
            self._keep_alive.cancel()
        self._wake.set()

    def _keep_alive_later(self) -> None:
        if self._keep_alive is not None:
            self._keep_alive.cancel()
        self._keep_alive = self._clock.call_after(
            KEEP_ALIVE_MS * NS_PER_MS, lambda: self._put(_KEEP_ALIVE, len(_KEEP_ALIVE))
        )

    def _replied(self, reply: Reply) -> None:
        response: Any = reply.response
        if reply.status == "ok":
            reached = response["offset"] + len(response["delta"])
            self._put_event("task", response, str(reached))
        else:
            # Only a task that is not there is worth no further question.
            final = response["reason"] == "not found"
            self._put_event("refused", response, END_ID if final else None)
            self.end()

    def _message(self, name: str, payload: Any) -> None:
        if name in ("phx_close", "phx_error"):
            self.end()
            return
        event_id = END_ID if name in ENDS else None
        if name == "rewind":
            event_id = str(payload["offset"])
        elif name == "progress":
            event_id = str(payload["offset"] + len(payload["delta"]))
        self._put_event(name, payload, event_id)

    def _put_event(self, name: str, payload: Any, event_id: str | None) -> None:
        json = payload.json if isinstance(payload, Encoded) else orjson.dumps(payload)
        data = event(name, json, event_id)
        self._put(data, len(data))

    def _mergeable(self, push: MergeablePush) -> None:
        last = self._waiting[-1] if self._waiting and not self._over else None
        if isinstance(last, MergeablePush) and last.event == push.event:
            before_bytes = last.payload.size_bytes
            merged = last.payload.merge(push.payload)
            if merged is not None:
                self._waiting[-1] = last._replace(payload=merged)
                self._grown(merged.size_bytes - before_bytes)
                return
        self._put(push, push.payload.size_bytes)

    def _put(self, entry: bytes | MergeablePush, size_bytes: int) -> None:
        if self._over:
            return
        self._waiting.append(entry)
        self._grown(size_bytes)

    def _grown(self, size_bytes: int) -> None:
        self._waiting_bytes += size_bytes
        self._wake.set()
        if self._waiting_bytes > self._bytes_max:
            self.cut_off()
        elif self._budget is not None:
            self._budget.holds(self, self.held_bytes())

    def _take(self) -> bytes:
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        return b"".join(each if isinstance(each, bytes) else _progress(each) for each in waiting)


def _progress(push: MergeablePush) -> bytes:
    update = push.payload
    assert isinstance(update, ProgressUpdate), "a task's channel merges nothing else"
    return event(push.event, update.encode().json, str(update.end))


class EventStreams:
    """All streams of events that are open."""

    def __init__(
        self,
        task_channel: ChannelFactory,
        channels: Channels,
        clock: Clock,
        bytes_max: int,
        budget: Budget | None = None,
    ) -> None:
        self._router = Router([(f"{wire.TOPIC_PREFIX}*", task_channel)])
        self._channels = channels
        self._clock = clock
        self._bytes_max = bytes_max
        self._budget = budget
        self._open: set[EventStream] = set()

    async def serve(
        self, request: web.Request, client: str, task_id: str, offset: int
    ) -> web.StreamResponse:
        """Answers with the task's updates from ``offset`` on, until it has ended."""
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        transport = request.transport
        if transport is None:  # gone already
            return response
        stream = EventStream(
            client,
            self._channels,
            self._router,
            self._clock,
            self._bytes_max,
            transport.abort,
            self._budget,
        )
        self._open.add(stream)
        try:
            await stream.run(response, task_id, offset)
        finally:
            self._open.discard(stream)
        return response

    def end_all(self) -> None:
        """Ends all streams; their clients come back, to the next node."""
        for stream in self._open:
            stream.end()
