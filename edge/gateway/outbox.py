"""What waits for one client, and when it is written.

The first update of a topic leaves at once, in the caller's own turn. Within the flush window after
it, and while the client reads slower than it is written to, later updates of that topic merge into
one; everything else keeps its place. Whatever waits leaves in one write.

Long text does not wait here at all: who has some asks for room (`Outbox.when_room`) and is called
when the client has taken nearly all that was written before. So a text of any length goes at the
pace of its reader, and passes no limit.

The frames are built here (RFC 6455 section 5.2: from a server, unmasked, never fragmented) and go
straight to the transport: no queue, no runner, no turn of the event loop in between. What stands
before the payload in a frame of progress is the same every time, so it is kept, and the payload's
own JSON is that of all who watch the task: of a frame nothing is left to be encoded here.
"""

from __future__ import annotations

import logging
import struct
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from edge.clock import NS_PER_MS, Clock, Timer
from edge.gateway.budget import Budget
from edge.phoenix import (
    CLOSE_TRY_LATER,
    CLOSE_UNDECODABLE,
    Frame,
    Json,
    Mergeable,
    MergeablePush,
)
from edge.telemetry.buckets import Buckets

logger = logging.getLogger("elwift.gateway")

OPCODE_TEXT: Final = 0x1
OPCODE_BINARY: Final = 0x2
OPCODE_PONG: Final = 0xA

# A few kilobytes in the transport's buffer do not mean that the client is slow: there are also
# transports that write at the end of the loop's turn only. A client that is has more than this.
BUSY_BYTES: Final = 16_384

ROOM_BYTES_MAX: Final = 262_144
"""What is said at once to a client that has room: as much as one message may be long."""
ROOM_SHARE: Final = 4
"""Of its limit: behind long text there has to be space for what comes meanwhile."""

LOOKS_MAX: Final = 125
REST_MS: Final = 250
"""A client that reads slowly is looked at after each flush window; one that is still slow after so
many, only now and then: ten thousand of them must not keep the loop busy."""

_NEVER_NS: Final = -(1 << 62)
_pack_16: Final = struct.Struct("!BBH").pack
_pack_64: Final = struct.Struct("!BBQ").pack


def ws_frame(opcode: int, data: bytes) -> bytes:
    """One whole WebSocket frame as a server sends it."""
    size_bytes = len(data)
    if size_bytes < 126:
        return bytes((0x80 | opcode, size_bytes)) + data
    if size_bytes < 65_536:
        return _pack_16(0x80 | opcode, 126, size_bytes) + data
    return _pack_64(0x80 | opcode, 127, size_bytes) + data


STEP_TO_FRAME_NS: Final = tuple(
    us * NS_PER_MS // 1_000
    for us in (20, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000)
)
OF_STEPS: Final = "progress"
"""The event by which text and progress are told."""


class Wire(Protocol):
    """The part of an asyncio transport that is written to."""

    def write(self, data: bytes, /) -> None: ...

    def get_write_buffer_size(self) -> int: ...

    def is_closing(self) -> bool: ...


class Counters:
    """What all outboxes of a gateway did. ``merges`` are the frames that were never sent;
    ``step_ns`` is when the engine's last step came, and ``step_to_frame`` how long its text took
    from there into a socket."""

    __slots__ = ("frames", "merges", "overflows", "step_ns", "step_to_frame", "writes")

    def __init__(self) -> None:
        self.step_ns = 0
        self.step_to_frame = Buckets(STEP_TO_FRAME_NS)
        self.frames = 0
        self.writes = 0
        self.merges = 0
        self.overflows = 0


class _Head(NamedTuple):
    """What is the same in all frames of one event of one topic: ``before`` and ``behind`` stand
    around the payload."""

    topic: str
    event: str
    before: bytes
    behind: bytes


class _Waiting:
    """A mergeable push in the queue; a later one may be merged into it."""

    __slots__ = ("head", "payload", "step_ns")

    def __init__(self, head: _Head, payload: Mergeable, step_ns: int) -> None:
        self.head = head
        self.payload = payload
        self.step_ns = step_ns


class _Stream:
    """The mergeable pushes of a topic since anything else of it was sent: when the last of them was
    written, and the very last, if it waits."""

    __slots__ = ("flushed_ns", "head", "last")

    def __init__(self, head: _Head, flushed_ns: int) -> None:
        self.head = head
        self.flushed_ns = flushed_ns
        self.last: _Waiting | None = None


class Outbox:
    """The outbox of one socket.

    ``around`` is that of the socket's `Serializer`. ``fail`` is called at most
    once, with a close code: 1013 when more than ``bytes_max`` bytes wait, or something waits and
    the client has taken nothing for ``stall_ns``, or the ``budget`` of all is spent and this client
    holds most; 1011 when a payload could not be encoded. After that, and after `close`, everything
    is dropped.
    """

    __slots__ = (
        "_around",
        "_budget",
        "_bytes_max",
        "_clock",
        "_counters",
        "_fail",
        "_looks",
        "_open",
        "_stall_ns",
        "_stalled_ns",
        "_streams",
        "_timer",
        "_unread_bytes",
        "_waiting",
        "_wanting",
        "_window_ns",
        "_wire",
        "waiting_bytes",
    )

    def __init__(
        self,
        wire: Wire,
        clock: Clock,
        *,
        around: Callable[[Json, str, str], tuple[bytes, bytes]],
        fail: Callable[[int, str], None],
        window_ns: int,
        bytes_max: int,
        stall_ns: int,
        counters: Counters,
        budget: Budget | None = None,
    ) -> None:
        self._wire = wire
        self._budget = budget
        self._clock = clock
        self._around = around
        self._fail: Callable[[int, str], None] | None = fail
        self._window_ns = window_ns
        self._bytes_max = bytes_max
        self._stall_ns = stall_ns
        self._counters = counters
        self._open = True
        self._timer: Timer | None = None
        self._waiting: list[bytes | _Waiting] | None = None  # made when something has to wait
        self._streams: dict[str, _Stream] = {}  # of each topic whose last word was mergeable
        self._wanting: deque[Callable[[], bool]] | None = None  # who wants room, the first first
        self._looks = 0  # since the client has been slow
        self._unread_bytes = 0  # what the client had not taken at the last look,
        self._stalled_ns = 0  # and since when that has not become less
        self.waiting_bytes = 0

    def send(self, topic: str, frame: Frame) -> None:
        """A frame that is never merged; it keeps its place among those of its topic.

        Unless the client is slow it is written before this returns, behind all that waits.
        """
        self.send_raw(topic, ws_frame(OPCODE_BINARY if frame.binary else OPCODE_TEXT, frame.data))

    def send_raw(self, topic: str, data: bytes) -> None:
        """The same for a frame that is built already, as a pong is."""
        if not self._can_write():
            return
        self._streams.pop(topic, None)
        busy = self._wire.get_write_buffer_size() > BUSY_BYTES
        if not busy and not self._waiting:
            self._write(data, 1)
            return
        self._wait(data, len(data))
        if busy:
            self._check_and_arm(self._window_ns)
        else:
            self.flush()

    def send_mergeable(self, push: MergeablePush) -> None:
        """A push that merges with one of its topic and event that waits."""
        if not self._can_write():
            return
        join_ref, topic, event, payload = push
        stream = self._streams.get(topic)
        if stream is None or stream.head.event != event:
            head = _Head(topic, event, *self._around(join_ref, topic, event))
            stream = _Stream(head, _NEVER_NS if stream is None else stream.flushed_ns)
            self._streams[topic] = stream
        elif stream.last is not None and self._merge(stream.last, payload):
            return
        now_ns = self._clock.now_ns()
        due_ns = stream.flushed_ns + self._window_ns
        busy = self._wire.get_write_buffer_size() > BUSY_BYTES
        at_once = not busy and stream.last is None and now_ns >= due_ns
        if at_once and not self._waiting:
            stream.flushed_ns = now_ns
            data = self._frame(stream.head, payload)
            if data is not None:
                self._write(data, 1)
                if event == OF_STEPS:
                    # Not `now_ns`: the frame was made since.
                    written_ns = self._clock.now_ns()
                    self._counters.step_to_frame.add(written_ns - self._counters.step_ns)
            return
        waiting = _Waiting(stream.head, payload, self._counters.step_ns)
        self._wait(waiting, payload.size_bytes)
        if at_once:
            self.flush()
        else:
            stream.last = waiting
            self._check_and_arm(self._window_ns if busy else max(0, due_ns - now_ns))

    @property
    def room_bytes(self) -> int:
        """How much long text may be sent now; 0 while the client has not taken nearly all that
        was said before."""
        if self.waiting_bytes + self._wire.get_write_buffer_size() > BUSY_BYTES:
            return 0
        return min(ROOM_BYTES_MAX, self._bytes_max // ROOM_SHARE)

    @property
    def crowded(self) -> bool:
        """Half of what may wait does."""
        return self.waiting_bytes + self._wire.get_write_buffer_size() > self._bytes_max // 2

    def when_room(self, call: Callable[[], bool], *, first: bool = False) -> None:
        """Calls, once and later, when there is room. Those who want it are called in the order in
        which they asked, one in a turn of the loop, so that each finds what the one before has
        left; ``first`` is for who goes on with what it has begun. False, as an answer, gives the
        turn to the next."""
        if self._wanting is None:
            self._wanting = deque()
        if first:
            self._wanting.appendleft(call)
        else:
            self._wanting.append(call)
        self._arm(0)

    def flush(self) -> None:
        """Writes all that waits, in one write."""
        waiting, self._waiting = self._waiting, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._wanting:
            self._arm(0)
        if not waiting or not self._can_write():
            return
        self.waiting_bytes = 0
        now_ns = self._clock.now_ns()
        parts = []
        for entry in waiting:
            if type(entry) is bytes:
                parts.append(entry)
                continue
            assert type(entry) is _Waiting
            stream = self._streams.get(entry.head.topic)
            if stream is not None and stream.last is entry:
                stream.flushed_ns, stream.last = now_ns, None
            data = self._frame(entry.head, entry.payload)
            if data is None:
                return
            parts.append(data)
            if entry.head.event == OF_STEPS:
                self._counters.step_to_frame.add(now_ns - entry.step_ns)
        self._write(b"".join(parts) if len(parts) > 1 else parts[0], len(parts))

    def close(self) -> None:
        """Drops what waits and takes nothing more."""
        self._open = False
        if self._budget is not None:
            self._budget.holds(self, 0)
        self._fail = None  # it belongs to the owner of this outbox, and holds it
        self._waiting = None
        self._streams.clear()
        self._wanting = None
        self.waiting_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _can_write(self) -> bool:
        """False once closed; also when the connection broke and its reader has not heard yet,
        since uvloop raises on any use of such a transport."""
        if self._open and self._wire.is_closing():
            self.close()
        return self._open

    def _frame(self, head: _Head, payload: Mergeable) -> bytes | None:
        """The frame, or None when it could not be made and the socket is given up."""
        try:
            json = payload.encode().json
        except Exception:
            # A defect of the application at a point where nobody of it can hear: its socket is
            # closed, and the client comes back and asks again.
            logger.exception("a payload for %s could not be encoded", head.topic)
            self._give_up(CLOSE_UNDECODABLE, "a payload could not be encoded")
            return None
        return ws_frame(OPCODE_TEXT, b"%b%b%b" % (head.before, json, head.behind))

    def _merge(self, last: _Waiting, payload: Mergeable) -> bool:
        old_bytes = last.payload.size_bytes
        merged = last.payload.merge(payload)
        if merged is None:
            return False
        self.waiting_bytes += merged.size_bytes - old_bytes
        last.payload = merged
        self._counters.merges += 1
        self._check()
        return True

    def _wait(self, entry: bytes | _Waiting, size_bytes: int) -> None:
        if self._waiting is None:
            self._waiting = []
        self._waiting.append(entry)
        self.waiting_bytes += size_bytes

    def _write(self, data: bytes, frames: int) -> None:
        self._counters.frames += frames
        self._counters.writes += 1
        self._wire.write(data)
        if len(data) > BUSY_BYTES:
            self._note()
            if self._wire.get_write_buffer_size() > BUSY_BYTES:
                # Nothing may follow: somebody has to look whether the client takes it.
                self._arm(self._window_ns)

    def _check_and_arm(self, delay_ns: int) -> None:
        if self._check():
            self._arm(delay_ns)

    def _arm(self, delay_ns: int) -> None:
        if self._timer is None:
            self._timer = self._clock.call_after(delay_ns, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if not self._can_write():
            return
        unread_bytes = self._wire.get_write_buffer_size()
        if unread_bytes > BUSY_BYTES:
            self._look_again(unread_bytes)
            return
        self._looks = self._unread_bytes = 0
        self.flush()
        self._give_room()

    def _look_again(self, unread_bytes: int) -> None:
        """The client is slow: it is waited for, unless it has stopped reading."""
        now_ns = self._clock.now_ns()
        # While so much is unread nothing more is written: it becomes less only by being read.
        if not 0 < self._unread_bytes <= unread_bytes:
            self._stalled_ns = now_ns
        self._unread_bytes = unread_bytes
        if now_ns - self._stalled_ns >= self._stall_ns:
            self._overflow("the client has stopped reading")
            return
        self._looks += 1
        soon_ns = self._window_ns or NS_PER_MS
        self._check_and_arm(soon_ns if self._looks <= LOOKS_MAX else REST_MS * NS_PER_MS)

    def _give_room(self) -> None:
        while self._wanting and self.room_bytes:
            if self._wanting.popleft()():
                break
        if self._wanting:
            self._arm(0)

    def held_bytes(self) -> int:
        """What waits for the client (`edge.gateway.budget.Holder`)."""
        return self.waiting_bytes + (self._wire.get_write_buffer_size() if self._can_write() else 0)

    def cut_off(self) -> None:
        """The budget of all clients is spent, and this one holds most."""
        self._overflow("too much waits for slow clients, and most of it for this one")

    def _note(self) -> None:
        if self._budget is not None:
            self._budget.holds(self, self.held_bytes())

    def _check(self) -> bool:
        """Whether the client may have more waiting than now."""
        self._note()
        if not self._open:
            return False
        if self.waiting_bytes + self._wire.get_write_buffer_size() <= self._bytes_max:
            return True
        if self._wire.get_write_buffer_size() <= BUSY_BYTES:
            self.flush()  # it was only waiting for the flush window: the client is not slow
        else:
            self._overflow("the client reads too slowly")
        return False

    def _overflow(self, reason: str) -> None:
        self._counters.overflows += 1
        self._give_up(CLOSE_TRY_LATER, reason)

    def _give_up(self, code: int, reason: str) -> None:
        fail = self._fail
        self.close()
        if fail is not None:
            fail(code, reason)
