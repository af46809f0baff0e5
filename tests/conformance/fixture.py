"""The application under test of the conformance vectors, on the real protocol core and transport.

``python -m tests.conformance.fixture --port N`` serves it, so that any conformance runner can be
pointed at it: topics ``room:*`` and ``exact`` under ``/socket``, the same with at most two topics
under ``/limited``. Pages of ``//example.com`` may connect; the query ``reject=true`` is refused
with 403, ``ratelimit=true`` with 429; ``id=…`` names the socket for `SocketApp.disconnect`.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import uvloop
from aiohttp import web

from edge.actors import System
from edge.clock import Clock, SystemClock
from edge.gateway import problems
from edge.gateway.gate import Gate, Rules
from edge.gateway.handshake import Refusal
from edge.gateway.own_names import LOOPBACK
from edge.gateway.socket import Accepted, ConnectInfo, SocketApp, mount
from edge.phoenix import Json
from edge.services.watchers.channel import (
    LATER,
    Answer,
    Channel,
    Channels,
    Decision,
    Error,
    Ok,
    Stop,
)
from edge.services.watchers.pubsub import PubSub
from edge.settings import Socket as Limits
from edge.settings import origin_patterns
from edge.telemetry.events import Telemetry

ORIGINS: Final = ("//example.com",)


class _Awake(NamedTuple):
    """The pause of a slow join (no ``ref``) or of a slow event is over."""

    is_join: bool
    ref: Json


class _Late(NamedTuple):
    ref: Json


class Room(Channel):
    """The channel of all topics: what it does follows the payload of the join and the event."""

    __slots__ = ("_asleep", "_behind")

    def __init__(self) -> None:
        self._asleep = False
        self._behind: list[tuple[str, Any, Json]] = []

    def join(self, topic: str, payload: Any) -> Decision:
        wish = payload if isinstance(payload, dict) else {}
        if "reject" in wish:
            return Error({"reason": "unauthorized"})
        if "crash" in wish:
            raise RuntimeError("the join was asked to crash")
        if "after" in wish:
            self.broadcast("user_entered", {"u": 1})
            self.push("joined", {"status": "connected"})
        if "slow" in wish:
            self.send_after(int(wish["slow"]), _Awake(True, None))
            return LATER
        return Ok(wish.get("reply", {}))

    def handle_in(self, event: str, payload: Any, ref: Json) -> Answer:
        if self._asleep:  # a handler that sleeps keeps its own topic waiting, and no other
            self._behind.append((event, payload, ref))
            return None
        handler = _EVENTS.get(event)
        if handler is None:
            # An application without a clause for everything else, as the vectors expect it.
            raise LookupError(f"no clause for the event {event!r}")
        return handler(self, payload, ref)

    def handle_info(self, message: object) -> None:
        if isinstance(message, _Late):
            self.reply(message.ref, Ok({"late": True}))
        elif isinstance(message, _Awake) and message.is_join:
            self.accept()
        elif isinstance(message, _Awake):
            self._asleep = False
            self.reply(message.ref, Ok())
            while self._behind and not self._asleep:
                event, payload, ref = self._behind.pop(0)
                answer = self.handle_in(event, payload, ref)
                if isinstance(answer, (Ok, Error)):
                    self.reply(ref, answer)

    def fall_asleep(self, payload: Any, ref: Json) -> Answer:
        self._asleep = True
        self.send_after(int(payload["ms"]), _Awake(False, ref))
        return None


def _crash(room: Room, payload: Any, ref: Json) -> Answer:
    raise RuntimeError("the event was asked to crash")


def _push_then_reply(room: Room, payload: Any, ref: Json) -> Answer:
    room.push("pushed", {"a": 1})
    return Ok({"b": 2})


def _shout(room: Room, payload: Any, ref: Json) -> Answer:
    room.broadcast("shout", payload)
    return Ok()


def _later(room: Room, payload: Any, ref: Json) -> Answer:
    room.send_after(100, _Late(ref))
    return None


def _bin(room: Room, payload: Any, ref: Json) -> Answer:
    room.push("bin", b"\x00\x01")
    return Ok(payload + b"\x03\x04")


def _bin_shout(room: Room, payload: Any, ref: Json) -> Answer:
    room.broadcast("bin_shout", payload)
    return None


_EVENTS: Final[dict[str, Callable[[Room, Any, Json], Answer]]] = {
    "echo": lambda room, payload, ref: Ok(payload),
    "ok": lambda room, payload, ref: Ok(),
    "fail": lambda room, payload, ref: Error({"reason": "bad"}),
    "silent": lambda room, payload, ref: None,
    "boom": _crash,
    "stop_normal": lambda room, payload, ref: Stop(),
    "stop_reply": lambda room, payload, ref: Stop(Ok({"bye": True})),
    "push_then_reply": _push_then_reply,
    "shout": _shout,
    "later": _later,
    "slow": Room.fall_asleep,
    "bin": _bin,
    "bin_shout": _bin_shout,
}


def connect(info: ConnectInfo) -> Accepted | Refusal:
    if info.params.get("reject") == "true":
        return Refusal(403)
    if info.params.get("ratelimit") == "true":
        return Refusal(429)
    return Accepted(client=info.token, socket_id=info.params.get("id"))


class Fixture:
    """The application with its parts at hand."""

    def __init__(self, clock: Clock, limits: Limits | None = None) -> None:
        self.telemetry = Telemetry()
        self.pubsub = PubSub()
        self.system = System(
            clock, asyncio.get_running_loop().call_soon, on_event=self.telemetry.emit
        )
        channels = Channels(self.system, self.pubsub, self.telemetry)
        routes = (("room:*", Room), ("exact", Room))
        limits = limits or Limits()
        limited = Limits(channels_max=2)
        self.app = web.Application(middlewares=[problems.middleware])
        Gate(Rules(LOOPBACK, (), origin_patterns(ORIGINS))).guard(self.app)
        self.sockets, self.limited = (
            SocketApp(
                routes,
                connect,
                channels=channels,
                clock=clock,
                limits=each,
                telemetry=self.telemetry,
            )
            for each in (limits, limited)
        )
        mount(self.app, "/socket", self.sockets)
        mount(self.app, "/limited", self.limited)

    async def drain(self) -> None:
        await asyncio.gather(self.sockets.drain(), self.limited.drain())


async def serve(host: str, port: int) -> None:
    """Serves until SIGINT or SIGTERM, then drains."""
    loop = asyncio.get_running_loop()
    fixture = Fixture(SystemClock(loop))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    runner = web.AppRunner(fixture.app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    print(f"ready {site.name}", flush=True)  # noqa: T201 a command's own output
    await stop.wait()
    await fixture.drain()
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description="Serves the conformance application.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    uvloop.run(serve(options.host, options.port))


if __name__ == "__main__":
    main()
