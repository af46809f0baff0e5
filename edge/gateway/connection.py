"""One open socket: it reads, and carries out what the protocol's machine decides.

aiohttp takes frames apart and runs the closing handshake. What the server sends is built by the
`Outbox` and written to the transport directly, pongs too; both sides only ever write whole frames,
so they cannot cut into each other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from aiohttp import WSCloseCode, WSMsgType, web

from edge.clock import NS_PER_MS, Clock, Timer
from edge.gateway.budget import Budget
from edge.gateway.handshake import Handshake
from edge.gateway.machine_port import MachinePort
from edge.gateway.outbox import OPCODE_PONG, Counters, Outbox, ws_frame
from edge.phoenix import (
    CLOSE_GOING_AWAY,
    CLOSE_UNDECODABLE,
    Broadcast,
    CloseSocket,
    Deliver,
    Effect,
    EncodeError,
    LeaveChannel,
    Mergeable,
    MergeablePush,
    Message,
    Reply,
    Router,
    Socket,
    StartChannel,
    State,
    StopChannel,
    Subscription,
)
from edge.services.watchers.channel import ChannelFactory, Channels
from edge.settings import Socket as Limits
from edge.telemetry import Telemetry

logger = logging.getLogger("elwift.gateway")

CLOSE_MS_MAX: Final = 2_000
"""How long a client may take to answer a close frame before it is cut off."""

# A client that writes faster than it is read must not keep the loop to itself.
_FRAMES_IN_A_ROW: Final = 32


class Mount(Protocol):
    """What all connections of one mounted socket share; see `edge.gateway.socket.SocketApp`."""

    router: Router[ChannelFactory]
    channels: Channels
    clock: Clock
    limits: Limits
    telemetry: Telemetry
    counters: Counters
    budget: Budget

    def opened(self, connection: Connection) -> None: ...

    def closed(self, connection: Connection) -> None: ...


class Connection(MachinePort):
    """One open socket: carries out what its machine decides. A `SocketPort` to its channels."""

    __slots__ = (
        "__weakref__",
        "_app",
        "_close_code",
        "_close_reason",
        "_idle_timer",
        "_outbox",
        "_reader",
        "_received_ns",
        "_transport",
        "client",
        "socket_id",
    )

    def __init__(
        self,
        app: Mount,
        handshake: Handshake,
        client: object,
        socket_id: str | None,
        transport: asyncio.Transport,
    ) -> None:
        limits = app.limits
        # uvloop collects what is written until its turn of the loop ends, unless that is more than
        # this limit: then it tries the socket at once. So each frame leaves before the next task is
        # looked at, by the transport's own way: what the kernel does not take waits there in its
        # order, and until that is gone nothing is tried.
        transport.set_write_buffer_limits(high=0)
        self.client = client
        self.socket_id = socket_id
        self._app = app
        self._transport = transport
        self._machine: Socket[ChannelFactory] = Socket(
            handshake.serializer, app.router, topics_max=limits.channels_max
        )
        self._outbox = Outbox(
            transport,
            app.clock,
            around=handshake.serializer.around,
            fail=self.close,
            window_ns=limits.flush_window_ms * NS_PER_MS,
            bytes_max=limits.outbox_bytes_max,
            stall_ns=limits.write_ms * NS_PER_MS,
            counters=app.counters,
            budget=app.budget,
        )
        self._reader: asyncio.Task[Any] | None = None  # the runner, while it waits for a frame
        self._close_code: int | None = None
        self._close_reason = ""
        self._received_ns = 0
        self._idle_timer: Timer | None = None

    async def run(self, response: web.WebSocketResponse) -> None:
        """Reads until either side closes. The caller's runner is this connection's only one."""
        app = self._app
        app.opened(self)
        app.telemetry.emit("socket.opened", client=self.client)
        self._received_ns = app.clock.now_ns()
        self._watch_idle(app.limits.idle_ms * NS_PER_MS)
        try:
            await self._read(response)
            if self._close_code is not None:
                await self._say_goodbye(response, self._close_code)
            elif not response.closed:
                # The client has said goodbye. 1006 is for what was not said (RFC 6455 section
                # 7.4.1): aiohttp takes it all the same.
                bad = response.close_code == WSCloseCode.ABNORMAL_CLOSURE
                answer = WSCloseCode.PROTOCOL_ERROR if bad else WSCloseCode.OK
                await response.close(code=answer, drain=False)
        finally:
            self._perform(self._machine.lost("the client is gone"))
            self._outbox.close()
            if self._idle_timer is not None:
                self._idle_timer.cancel()
            app.closed(self)
            code = self._close_code or response.close_code
            app.telemetry.emit(
                "socket.closed", client=self.client, code=code, reason=self._close_reason
            )

    def close(self, code: int, reason: str) -> None:
        """Ends all channels and closes with this code; the first close counts."""
        self._perform(self._machine.close(code, reason))

    # --- reading

    async def _read(self, response: web.WebSocketResponse) -> None:
        runner = asyncio.current_task()
        assert runner is not None
        in_a_row = 0
        while self._close_code is None:
            self._reader = runner
            try:
                message = await response.receive()
            except asyncio.CancelledError:
                # `close` cancels the wait for a frame; anything else is the server's own stop.
                if self._close_code is None or runner.uncancel() > 0:
                    raise
                return
            finally:
                self._reader = None
            self._received_ns = self._app.clock.now_ns()
            if not self._receive(message.type, message.data):
                return
            in_a_row += 1
            if in_a_row >= _FRAMES_IN_A_ROW:
                in_a_row = 0
                await asyncio.sleep(0)

    def _receive(self, kind: WSMsgType, data: Any) -> bool:
        """Takes one frame; False when it was the last."""
        try:
            if kind is WSMsgType.TEXT:
                self._perform(self._machine.receive_text(data))
            elif kind is WSMsgType.BINARY:
                self._perform(self._machine.receive_binary(data))
            elif kind is WSMsgType.PING:
                self._outbox.send_raw("", ws_frame(OPCODE_PONG, data))
            elif kind is not WSMsgType.PONG:
                return False
        except Exception:
            logger.exception("a frame could not be handled; its socket is closed")
            self.close(CLOSE_UNDECODABLE, "a frame could not be handled")
        return True

    def _watch_idle(self, wait_ns: int) -> None:
        self._idle_timer = self._app.clock.call_after(wait_ns, self._on_idle)

    def _on_idle(self) -> None:
        limit_ns = self._app.limits.idle_ms * NS_PER_MS
        left_ns = self._received_ns + limit_ns - self._app.clock.now_ns()
        if left_ns > 0:
            self._watch_idle(left_ns)
        else:
            self._idle_timer = None
            self.close(CLOSE_GOING_AWAY, "nothing heard from the client")

    async def _say_goodbye(self, response: web.WebSocketResponse, code: int) -> None:
        cut = self._app.clock.call_after(CLOSE_MS_MAX * NS_PER_MS, self._transport.abort)
        try:
            await response.close(code=code, drain=False)
        finally:
            cut.cancel()
            if self._transport.get_write_buffer_size():
                # A client that reads nothing would keep the transport open for ever.
                self._transport.abort()

    # --- room for long text

    @property
    def room_bytes(self) -> int:
        return self._outbox.room_bytes

    @property
    def crowded(self) -> bool:
        return self._outbox.crowded

    def when_room(self, call: Callable[[], bool], *, first: bool = False) -> None:
        self._outbox.when_room(call, first=first)

    # --- carrying out

    def _perform(self, effects: Iterable[Effect]) -> None:
        """Carries out all effects, in order. What one of them raises is raised at the end."""
        failure: EncodeError | None = None
        for effect in effects:
            try:
                _PERFORM[type(effect)](self, effect)
            except EncodeError as error:
                failure = error
        if failure is not None:
            raise failure

    def _send(self, effect: Any) -> None:
        topic = effect.topic if type(effect.topic) is str else ""
        self._outbox.send(topic, self._machine.serializer.encode(effect))

    def push_mergeable(self, subscription: Subscription, event: str, payload: Mergeable) -> None:
        # For every token: past the machine, which has nothing to decide of a joined topic.
        if subscription.state is State.JOINED:
            push = MergeablePush(subscription.join_ref, subscription.topic, event, payload)
            self._outbox.send_mergeable(push)
        else:
            super().push_mergeable(subscription, event, payload)

    def _send_mergeable(self, effect: MergeablePush) -> None:
        self._outbox.send_mergeable(effect)

    def _start(self, effect: StartChannel) -> None:
        try:
            effect.subscription.channel = self._app.channels.start(self, effect)
        except Exception:
            logger.exception("the channel of %s could not be made", effect.subscription.topic)
            self.crashed(effect.subscription)

    def _deliver(self, effect: Deliver) -> None:
        effect.subscription.channel.send(effect)

    def _leave(self, effect: LeaveChannel) -> None:
        effect.subscription.channel.send(effect)

    def _stop(self, effect: StopChannel) -> None:
        self._app.channels.stop(effect)

    def _close(self, effect: CloseSocket) -> None:
        self._close_code = effect.code
        self._close_reason = effect.reason
        # What waits for its flush window goes before the close frame. An outbox that overflowed
        # has dropped it already.
        self._outbox.flush()
        self._outbox.close()
        if self._reader is not None:
            self._reader.cancel()


_PERFORM: Final[dict[type, Callable[[Connection, Any], None]]] = {
    Message: Connection._send,
    Reply: Connection._send,
    Broadcast: Connection._send,
    MergeablePush: Connection._send_mergeable,
    StartChannel: Connection._start,
    Deliver: Connection._deliver,
    LeaveChannel: Connection._leave,
    StopChannel: Connection._stop,
    CloseSocket: Connection._close,
}
