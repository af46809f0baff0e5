"""One life of the node: its real parts (`edge.parts`) in a simulated world."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from edge.actors import Reason, Ref, System
from edge.clock import ManualClock
from edge.errors import StartupError, StorageError
from edge.gateway.connection import Connection
from edge.gateway.handshake import Handshake
from edge.inference import ModelFile
from edge.inference.gguf import UNKNOWN
from edge.inference.known import KnownModels
from edge.inference.process import Process
from edge.parts import Outside, Parts
from edge.phoenix import V2
from edge.services.watchers.channel import Channel
from edge.storage import StoreOptions
from edge.telemetry import Event, Telemetry
from tests.simulation.disk import Disk, open_store
from tests.simulation.engine import Machine
from tests.simulation.http import Http
from tests.simulation.limits import Config
from tests.simulation.loop import SimLoop
from tests.simulation.sockets import Link


def model_file(name: str, weights_mib: int) -> ModelFile:
    """A model that takes some more memory than its weights."""
    shape = replace(UNKNOWN, weights_bytes=weights_mib << 20)
    return ModelFile(name, Path(f"{name}.gguf"), 0, 4_096, shape=shape)


MODEL = model_file("simulated", 200)
OTHERS = (model_file("first other", 100), model_file("second other", 300))
SECOND = "second"
"""The command line of the fallback's engine; that of the first says something else."""

VITAL = frozenset({"engine", "follower", "tasks"})
"""Without these there is no node."""


class NodeClock(ManualClock):
    """The clock of a node's process, which may come late to its timers, as an event loop does."""

    def come_to(self, now_ns: int) -> None:
        """It is this late: whatever is due by now is called now."""
        self.advance(0)
        late = []
        while (due_ns := self.next_due_ns()) is not None and due_ns <= now_ns:
            late.append(heapq.heappop(self._timers)[2])
        self._now_ns = now_ns
        for timer in late:
            call = timer.call
            timer.cancel()
            if call is not None:
                call()


class Life:
    """From a start to a kill. ``serving`` once clients are let in."""

    def __init__(
        self,
        config: Config,
        outside: ManualClock,
        disk: Disk,
        machine: Machine,
        second: Machine,
        others: Mapping[str, Machine],
        rng: Random,
        on_over: Callable[[], object],
    ) -> None:
        self.config = config
        self.clock = NodeClock(outside.now_ns(), outside.wall_ns(), "the machine's only boot")
        self.alive = True
        self.serving = False
        self.frozen = False  # it gets no processor
        self.asking: dict[object, Callable[[Exception], object]] = {}
        self.links: list[Link] = []
        self.health_crashes = 0
        self._outside = outside
        self._rng = rng
        self.on_over = on_over
        self.loop = SimLoop(self._read_later)
        self.telemetry = Telemetry()
        self.failures: list[Any] = []
        self.overflows: list[object] = []
        self.telemetry.attach(self._hear)
        self.loop.call_now(lambda: self._build(disk, machine, second, others))

    def _read_later(self, call: Any) -> None:
        delay_ns = self._rng.choice((0, 300_000, 4_000_000))
        self._outside.call_after(delay_ns, call)

    def _hear(self, event: Event) -> None:
        if event.name in ("actor.crashed", "channel.crashed"):
            self.failures.append(event.fields["error"])
        elif event.name == "actor.overflowed":
            self.overflows.append(event.fields["name"])
        elif event.name == "supervisor.exhausted" and event.fields["child"] in VITAL:
            self.serving = False  # all of the tree is about to end

    def _build(
        self, disk: Disk, machine: Machine, second: Machine, others: Mapping[str, Machine]
    ) -> None:
        config = self.config
        self.system = System(
            self.clock,
            self.loop.call_soon,
            mailbox_messages_max=config.mailbox_messages_max,
            turn_messages_max=config.turn_messages_max,
            pump_messages_max=config.pump_messages_max,
            on_event=self.telemetry.emit,
        )
        options = StoreOptions(
            rows_waiting_max=config.rows_waiting_max,
            rows_per_commit_max=config.rows_per_commit_max,
        )
        self.store = open_store(disk, self.telemetry, self.clock, options, lambda: self.alive)

        def start_process(command: Any, /, **calls: Any) -> Process:
            chosen = second if SECOND in command else others.get(command[0], machine)
            return chosen.start_process(command, read=self.loop.call_soon, **calls)

        outside = Outside(
            system=self.system,
            store=self.store,
            telemetry=self.telemetry,
            rng=self._rng,
            model=MODEL,
            known=KnownModels(
                MODEL, lambda: OTHERS[: len(others)], self.clock, off_loop=_at_once, check=_sound
            ),
            other_command=lambda model: lambda _safe: (model.name,),
            command=lambda _safe: ("first",),
            fallback_command=(lambda _safe: (SECOND,)) if config.second_model else None,
            start_process=start_process,
            memory_free_bytes=lambda: 1 << 34,
        )
        self.parts = Parts(config.settings(), outside)
        self.turns = self.parts.turns
        self.tasks = self.parts.tasks
        self.http = Http(self.parts.application(), self.loop.real)
        self.parts.root.add_watcher(self)
        self.loop.spawn(self._start())

    async def _start(self) -> None:
        try:
            await self.parts.begin()
        except (StartupError, StorageError):
            self.on_over()
        else:
            self.serving = True

    async def stop(self) -> None:
        """SIGTERM: nothing new, everybody is sent away, what is left is written down."""
        self.serving = False
        await self.parts.dismiss(drain=True)
        await self.parts.end()

    def down(self, _ref: Ref, reason: Reason) -> None:
        """The tree of supervisors has ended: with it the node."""
        if not reason.abnormal:
            self.parts.journal.flush()
        self.on_over()

    def pass_until(self, at_ns: int) -> None:
        """Time passes for the node; when it was frozen, all at once."""
        if self.frozen:
            return
        due_ns = self.clock.next_due_ns()
        if due_ns is None or due_ns > at_ns:
            self.clock.advance(at_ns - self.clock.now_ns())
        else:
            self.loop.call_now(lambda: self.clock.come_to(at_ns))

    # ---- the doors

    def has_place(self) -> bool:
        """Whether one more connection is taken."""
        return len(self.asking) + len(self.links) < self.config.connections_max

    def accept(self, link: Link, client: str) -> None:
        """A client's socket."""
        self.links.append(link)

        async def serve() -> None:
            connection = Connection(
                self.parts.sockets,
                Handshake(V2, {}, None, None),
                client,
                None,
                link,  # type: ignore[arg-type]
            )
            await connection.run(link)  # type: ignore[arg-type]  # the part that is used
            self.links.remove(link)

        self.loop.spawn(serve())

    def channels_of(self, topic: str) -> list[str]:
        """The names of all channels that are joined to this topic."""
        found = []
        for name in self.system.registry.names("channel:"):
            ref = self.ref(name)
            if ref is not None and ref.alive:
                channel = ref.actor()
                assert isinstance(channel, Channel)
                if channel.topic == topic:
                    found.append(name)
        return found

    def ref(self, name: str) -> Ref | None:
        return self.system.registry.whereis(name)

    def kill(self) -> None:
        """SIGKILL: everything in memory is gone."""
        self.alive = self.serving = False
        self.telemetry = Telemetry()
        self.loop.die()
        for link in tuple(self.links):
            link.node_died()


async def _at_once(call: Callable[[], Any]) -> Any:
    return call()


def _sound(model: ModelFile) -> ModelFile:
    return model
