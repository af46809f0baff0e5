"""The network between clients and the node: it delays, stalls and cuts, and keeps the order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Final, Protocol

from aiohttp import WSMessage, WSMsgType

from edge.clock import NS_PER_MS, ManualClock

WEIGHT: Final = 40
"""Bytes that wait for a stalled client count so much more: a few frames fill its buffer."""


class Receiver(Protocol):
    """The client at the other end."""

    def receive(self, link: Link, data: bytes, sent_ns: int, durable: bool) -> None: ...

    def closed(self, link: Link, code: int | None) -> None: ...


class Link:
    """One connection, both of its ends: an asyncio transport and an aiohttp response to the node.

    ``durable`` tells whether the node's store works, at the moment of a write.
    """

    def __init__(
        self,
        clock: ManualClock,
        rng: Random,
        loop: asyncio.AbstractEventLoop,
        client: Receiver,
        durable: Callable[[], bool],
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._loop = loop
        self._client = client
        self._durable = durable
        self._unread: deque[tuple[bytes, int, bool]] = deque()
        self._unread_bytes = 0
        self._to_client_ns = 0
        self._to_node_ns = 0
        self._received: deque[Any] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._closing: asyncio.Future[None] | None = None
        self.slow = False
        self.cut = False  # nothing arrives any more, in either direction
        self.gone = False  # and the node has noticed
        self.node_dead = False
        self.close_code: int | None = None

    @property
    def closed(self) -> bool:
        """As aiohttp's: the node has closed it, or knows that it is gone."""
        return self.gone or self.close_code is not None

    # ---- the node's transport

    def write(self, data: bytes) -> None:
        if self.cut or self.node_dead:
            return
        self._unread.append((data, self._clock.now_ns(), self._durable()))
        self._unread_bytes += len(data)
        if not self.slow:
            self._flow()

    def get_write_buffer_size(self) -> int:
        return self._unread_bytes * WEIGHT

    def set_write_buffer_limits(self, high: int) -> None:
        """What is written leaves at once, here always."""

    def is_closing(self) -> bool:
        return self.gone

    def abort(self) -> None:
        """The node cuts it off."""
        self.break_off()
        self.notice()

    # ---- the node's response

    async def receive(self) -> WSMessage:
        while not self._received:
            if self.gone:
                return WSMessage(WSMsgType.CLOSED, None, None)
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        message: WSMessage = self._received.popleft()
        return message

    async def close(self, *, code: int, drain: bool) -> bool:
        self.close_code = code
        if not self.gone:
            self._closing = self._loop.create_future()
            if not self.cut:
                self._later(self._delay_to_client_ns(), lambda: self._client_closes(code))
            await self._closing
        return True

    # ---- the client's end

    def send(self, text: str) -> None:
        """A frame of the client."""
        if not self.cut:
            self._later(self._delay_to_node_ns(), lambda: self._arrive(text))

    def stall(self) -> None:
        """The client stops reading."""
        self.slow = True

    def resume(self) -> None:
        """The client reads again."""
        self.slow = False
        self._flow()

    def break_off(self) -> None:
        """The connection is cut: what is under way is lost, and the client notices at once."""
        if not self.cut:
            self.cut = True
            self._unread.clear()
            self._unread_bytes = 0
            self._client.closed(self, None)

    def notice(self) -> None:
        """The node hears that the connection is gone."""
        if self.gone or self.node_dead:
            return
        self.gone = True
        for waiting in (self._reader, self._closing):
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

    def node_died(self) -> None:
        """The node is dead: nothing of this connection reaches it any more."""
        self.node_dead = True
        self.break_off()

    # ---- in between

    def _flow(self) -> None:
        while self._unread:
            data, sent_ns, durable = self._unread.popleft()
            self._unread_bytes -= len(data)
            self._deliver(data, sent_ns, durable)

    def _deliver(self, data: bytes, sent_ns: int, durable: bool) -> None:
        def deliver() -> None:
            if not self.cut:
                self._client.receive(self, data, sent_ns, durable)

        self._later(self._delay_to_client_ns(), deliver)

    def _arrive(self, text: str) -> None:
        if self.cut or self.gone or self.node_dead:
            return
        self._received.append(WSMessage(WSMsgType.TEXT, text, None))
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _client_closes(self, code: int) -> None:
        if not self.cut:
            self.cut = True
            self._client.closed(self, code)
            self._later(self._latency_ns(), self.notice)

    def _latency_ns(self) -> int:
        return self._rng.choice((0, 100_000, 2 * NS_PER_MS, 15 * NS_PER_MS))

    def _delay_to_client_ns(self) -> int:
        now_ns = self._clock.now_ns()
        self._to_client_ns = max(self._to_client_ns, now_ns + self._latency_ns())
        return self._to_client_ns - now_ns

    def _delay_to_node_ns(self) -> int:
        now_ns = self._clock.now_ns()
        self._to_node_ns = max(self._to_node_ns, now_ns + self._latency_ns())
        return self._to_node_ns - now_ns

    def _later(self, delay_ns: int, call: Callable[[], object]) -> None:
        self._clock.call_after(delay_ns, call)


def frames(data: bytes) -> list[bytes]:
    """The contents of WebSocket frames as a server writes them: unmasked and whole."""
    found = []
    at = 0
    while at < len(data):
        size = data[at + 1]
        at += 2
        if size == 126:
            size = int.from_bytes(data[at : at + 2], "big")
            at += 2
        elif size == 127:
            size = int.from_bytes(data[at : at + 8], "big")
            at += 8
        found.append(data[at : at + size])
        at += size
    return found
