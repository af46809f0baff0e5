"""Clients that read a task as Server-Sent Events: as `EventSource` does, they come back with the id
of the last event, until they are told to stay away."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

import orjson

from edge.clock import NS_PER_MS
from tests.simulation.http import Writer
from tests.simulation.limits import bound_of, token_of
from tests.simulation.node import Life
from tests.simulation.truth import STATES, Known, View, Violation, end_of

if TYPE_CHECKING:
    from tests.simulation.world import World


class Listener:
    """One page that shows one task."""

    def __init__(self, world: World, known: Known, rng: Random) -> None:
        self.view = View(known)
        self._world = world
        self._rng = rng
        self._last_id: str | None = None
        self._writer: Writer | None = None
        self._unread = b""
        self._due_ns = 0
        self.over = False  # nobody looks any more

    # ---- the connection

    def connect(self) -> None:
        """Asks for the stream, from where the last one ended."""
        life = self._world.life
        if self.over or self.view.closed:
            return
        if life is None or not life.serving or not life.has_place():
            self._later()
            return
        writer = self._writer = Writer(life.loop.real, lambda data: self._sent(writer, data))
        self._unread = b""
        life.asking[writer] = lambda _error: self._ended(writer)
        life.loop.spawn(self._read(life, writer))

    async def _read(self, life: Life, writer: Writer) -> None:
        known = self.view.known
        headers = {} if self._last_id is None else {"Last-Event-ID": self._last_id}
        # The end of an answer to somebody who is gone cannot be written.
        with suppress(ConnectionResetError):
            await life.http.serve(
                writer, "GET", f"/tasks/{known.task_id}/events",
                token=token_of(known.client), headers=headers,
            )  # fmt: skip
        del life.asking[writer]
        # What was written before is still under way.
        self._world.clock.call_after(9 * NS_PER_MS, lambda: self._ended(writer))

    def cut(self) -> None:
        """The connection breaks; the node notices when it writes."""
        writer = self._writer
        if writer is not None:
            writer.abort()
            self._ended(writer)

    def stall(self, ms: int) -> None:
        """It stops reading for a while."""
        writer = self._writer
        if writer is not None:
            writer.stall()
            self._world.clock.call_after(ms * NS_PER_MS, writer.resume)

    def leave(self) -> None:
        """Nobody looks any more."""
        self.over = True
        self.cut()

    def _ended(self, writer: Writer) -> None:
        if writer is not self._writer:
            return
        self._writer = None
        self.view.joined = False
        if writer.status == 204:
            self.view.close()
        elif writer.status == 404 and self.view.known.task_id in self._world.truth.tasks:
            raise Violation("never lost", f"{self.view} was told that there is no such task")
        elif writer.status not in (0, 200, 404, 503):
            raise Violation("answers", f"{self.view} was answered {writer.status}")
        else:
            self._later()

    def _later(self) -> None:
        self._world.clock.call_after(self._rng.randrange(20, 400) * NS_PER_MS, self.connect)

    # ---- the events

    def _sent(self, writer: Writer, data: bytes) -> None:
        sent_ns, life = self._world.clock.now_ns(), self._world.life
        durable = life is not None and life.store.durable
        delay_ns = self._rng.choice((0, 100_000, 2 * NS_PER_MS))

        def arrive() -> None:
            if writer is self._writer and not writer.gone:
                self._receive(data, sent_ns, durable)

        # In order: one that is late holds up those behind it.
        self._due_ns = max(self._due_ns, sent_ns + delay_ns)
        self._world.clock.call_after(self._due_ns - sent_ns, arrive)

    def _receive(self, data: bytes, sent_ns: int, durable: bool) -> None:
        if self._writer is not None and self._writer.status != 200:
            return
        *whole, self._unread = (self._unread + data).split(b"\n\n")
        for block in whole:
            fields = dict(
                line.split(": ", 1) for line in block.decode().splitlines() if line[:1] != ":"
            )
            if fields:
                self._hear(fields, sent_ns, durable)

    def _hear(self, fields: dict[str, str], sent_ns: int, durable: bool) -> None:
        name, payload = fields["event"], orjson.loads(fields["data"])
        view = self.view
        self._world.note("read", view.known.client, view.known.number, name, payload)
        if name == "task":
            view.begin(payload["offset"], payload["delta"], payload["task"]["seq"])
        elif name == "refused":
            self._world.reach(bound_of(payload["reason"]))
            if payload["reason"] == "not found":
                raise Violation("never lost", f"{view} was refused: {payload}")
        else:
            view.hear(name, payload, self._world.clock.now_ns())
            if name in STATES:
                end = end_of(name, payload)
                self._world.told_end(view.known, end, sent_ns, durable)
                view.ended(end)
        self._keep(fields.get("id"))

    def _keep(self, event_id: str | None) -> None:
        """Who comes back with this id reads on behind the text that it has."""
        if event_id is None:
            return
        if event_id.isdigit() and int(event_id) != len(self.view.text):
            raise Violation(
                "text", f"{self.view} has {len(self.view.text)} characters at the id {event_id}"
            )
        self._last_id = event_id
