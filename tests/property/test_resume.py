"""Any cuts, crashes, merges and slow readers: what a client has assembled is the task's text.

Real task actors, channels, socket machines and outboxes; the engine, the wire and time are played.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clock import NS_PER_MS
from edge.gateway.machine_port import MachinePort
from edge.gateway.outbox import BUSY_BYTES, Counters, Outbox
from edge.phoenix import (
    V2,
    CloseSocket,
    Effect,
    MergeablePush,
    Message,
    Socket,
    StartChannel,
    StopChannel,
)
from tests.support.rows import uid
from tests.support.workshop import Workshop

TASK = uid(1)
WINDOW_MS = 8
STALL_NS = 1 << 60
CRASHES_MAX = 3  # more in so short a time and the task is given up
LONG = "long " * 600
PAGES_MAX = 200
CUTS = ["cut", "come back", "stall", "read"]


class Connection(MachinePort):
    """One socket with its outbox, on a wire of the test's own (`Wire`)."""

    client = "ada"

    def __init__(self, shop: Workshop, viewer: Viewer) -> None:
        self._shop = shop
        self._viewer = viewer
        self._machine = Socket(V2, shop.router)
        self.unread = b""
        self.reads = True
        self.open = True
        self._outbox = Outbox(
            self,
            shop.clock,
            around=V2.around,
            fail=lambda code, reason: self.cut(),
            window_ns=WINDOW_MS * NS_PER_MS,
            bytes_max=BUSY_BYTES + 20_000,
            stall_ns=STALL_NS,
            counters=Counters(),
        )
        self._perform(self._machine.receive(viewer.join()))

    def write(self, data: bytes) -> None:
        self.unread += data
        if self.reads:
            self.read()

    def get_write_buffer_size(self) -> int:
        return 0 if self.reads else BUSY_BYTES + 1

    def is_closing(self) -> bool:
        return not self.open

    @property
    def room_bytes(self) -> int:
        return self._outbox.room_bytes

    @property
    def crowded(self) -> bool:
        return self._outbox.crowded

    def when_room(self, call: Callable[[], bool], *, first: bool = False) -> None:
        self._outbox.when_room(call, first=first)

    def read(self) -> None:
        """Takes in all whole frames."""
        while self.unread:
            size_bytes, start = self.unread[1], 2
            if size_bytes == 126:
                (size_bytes,), start = struct.unpack("!H", self.unread[2:4]), 4
            elif size_bytes == 127:
                (size_bytes,), start = struct.unpack("!Q", self.unread[2:10]), 10
            frame = self.unread[start : start + size_bytes]
            self.unread = self.unread[start + size_bytes :]
            self._viewer.hear(json.loads(frame))

    def cut(self) -> None:
        """The connection is gone, with all that was under way."""
        self.open = False
        self._outbox.close()
        self._perform(self._machine.lost("cut"))

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, StartChannel):
                effect.subscription.channel = self._shop.channels.start(self, effect)
            elif isinstance(effect, StopChannel):
                self._shop.channels.stop(effect)
            elif isinstance(effect, MergeablePush):
                self._outbox.send_mergeable(effect)
            else:
                assert not isinstance(effect, CloseSocket)
                self._outbox.send(effect.topic, V2.encode(effect))  # type: ignore[union-attr, arg-type]


class Viewer:
    """A client that comes back after each cut, and what it has assembled."""

    def __init__(self, shop: Workshop, topic: str) -> None:
        self.shop = shop
        self.topic = topic
        self.text = ""
        self.seq = 0
        self.ends: list[str] = []
        self.connection = Connection(shop, self)

    def join(self) -> Message:
        known = len(self.text)
        payload = {"offset": known} if self.topic != "tasks:mine" else {"offsets": {TASK: known}}
        return Message("1", "1", self.topic, "phx_join", payload)

    def come_back(self) -> None:
        if not self.connection.open:
            self.connection = Connection(self.shop, self)

    def hear(self, frame: list[Any]) -> None:
        _, _, _, event, payload = frame
        if event == "phx_reply":
            assert payload["status"] == "ok", payload
            if "task" in payload["response"]:
                self._begin(payload["response"])
        elif event == "updates":
            for entry in payload["updates"]:
                self._hear(entry["event"], entry)
        else:
            self._hear(event, payload)

    def _begin(self, payload: dict[str, Any]) -> None:
        # What was unknown to the client and what it had beyond the kept text are both told.
        self.text = self.text[: payload["offset"]] + payload["delta"]
        self.seq = payload["task"]["seq"]
        if payload["task"]["result"] is not None:
            self.ends.append("told")

    def _hear(self, event: str, payload: dict[str, Any]) -> None:
        if event == "task":
            self._begin(payload)
        elif event == "rewind":
            self.text = self.text[: payload["offset"]]
            self.seq = payload["seq"]
        elif event == "progress":
            if payload["phase"] != "catch_up":
                assert payload.get("from_seq", payload["seq"]) == self.seq + 1, "a gap in the order"
            assert payload["offset"] == len(self.text), "no gap and no repeat"
            self.text += payload["delta"]
            self.seq = payload["seq"]
        elif event == "completed":
            assert payload["result"]["text"] in (self.text, None)
            self.ends.append("heard")
        if "seq" in payload:
            self.seq = payload["seq"]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("output"), st.text(max_size=12), st.just(0)),
        st.tuples(st.just("output"), st.just("LONG"), st.just(0)),
        st.tuples(st.just("advance"), st.just(""), st.integers(0, 20)),
        st.tuples(st.sampled_from(CUTS), st.just(""), st.integers(0, 3)),
        st.tuples(st.sampled_from(["lose engine", "crash"]), st.just(""), st.just(0)),
    ),
    max_size=40,
)


def take(shop: Workshop, viewers: list[Viewer], step: tuple[str, str, int]) -> None:
    kind, text, number = step
    viewer = viewers[number % len(viewers)]
    connection = viewer.connection
    if kind == "output":
        shop.output(1, LONG if text == "LONG" else text)
    elif kind == "advance":
        shop.clock.advance(number * NS_PER_MS)
        shop.work()
    elif kind == "cut" and connection.open:
        connection.cut()
    elif kind == "come back":
        viewer.come_back()
    elif kind == "stall":
        connection.reads = False
    elif kind == "read":
        connection.reads = True
        connection.read()
    elif kind == "lose engine":
        shop.lose_engine(1)
    elif kind == "crash":
        shop.crash(1)
    shop.work()


async def run(script: list[tuple[str, str, int]]) -> None:
    shop = Workshop()
    await shop.submit(1)
    viewers = [Viewer(shop, topic) for topic in (f"task:{TASK}", "tasks:mine") * 2]
    crashes = 0
    for step in script:
        crashes += step[0] == "crash"
        if step[0] != "crash" or crashes <= CRASHES_MAX:
            take(shop, viewers, step)
    shop.finish(1)
    for viewer in viewers:
        viewer.connection.reads = True
        viewer.connection.read()
        viewer.come_back()
        shop.work()
    # Long text comes in pages, each when the client has taken the one before.
    for _ in range(PAGES_MAX):
        shop.clock.advance(WINDOW_MS * NS_PER_MS)
        shop.work()
    snapshot = json.loads(shop.shelf.rows[TASK].snapshot)
    for viewer in viewers:
        assert viewer.text == snapshot["text"]
        assert viewer.ends


@settings(deadline=None, max_examples=300)
@given(steps)
def test_every_client_has_the_text(script: list[tuple[str, str, int]]) -> None:
    asyncio.run(run(script))
