"""One life of the node: its real parts (`edge.parts`) in a simulated world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from edge.actors import Reason, Ref, System
from edge.clock import ManualClock
from edge.errors import StartupError, StorageError
from edge.gateway.connection import Connection
from edge.gateway.handshake import Handshake
from edge.inference import ModelFile
from edge.inference.process import Process
from edge.parts import Outside, Parts
from edge.phoenix import V2
from edge.services.channel import Channel
from edge.settings import Settings
from edge.storage import StoreOptions
from edge.telemetry import Event, Telemetry
from tests.simulation.disk import Disk, open_store
from tests.simulation.engine import Machine
from tests.simulation.loop import SimLoop
from tests.simulation.sockets import Link

MODEL = ModelFile("simulated", Path("simulated.gguf"), 0, 0)
SECOND = "second"
"""The command line of the fallback's engine; that of the first says something else."""


@dataclass(frozen=True)
class Config:
    """The settings of one world's node: all limits small, so that they are reached."""

    slots: int
    step_ms: int
    queue_max: int
    queue_per_client_max: int
    rows_waiting_max: int
    rows_per_commit_max: int
    snapshot_ms: int
    finished_keep_ms: int
    position_push_ms: int
    flush_window_ms: int
    outbox_bytes_max: int
    deaths_max: int
    stall_kill_ms: int
    turn_messages_max: int
    pump_messages_max: int
    fallback: bool
    second_model: bool
    notice: str
    outage_ms: int
    drain_ms: int

    @staticmethod
    def draw(rng: Random) -> Config:
        return Config(
            slots=rng.choice((1, 2, 4)),
            step_ms=rng.choice((3, 20, 100)),
            queue_max=rng.choice((3, 8, 100)),
            queue_per_client_max=rng.choice((2, 5, 100)),
            rows_waiting_max=rng.choice((6, 200, 10_000)),
            rows_per_commit_max=rng.choice((1, 4, 1_000)),
            snapshot_ms=rng.choice((50, 500)),
            finished_keep_ms=rng.choice((0, 100, 5_000)),
            position_push_ms=rng.choice((10, 250)),
            flush_window_ms=rng.choice((0, 8, 100)),
            outbox_bytes_max=rng.choice((60_000, 400_000)),
            deaths_max=rng.choice((3, 30)),
            stall_kill_ms=rng.choice((3_000, 20_000)),
            turn_messages_max=rng.choice((1, 64)),
            pump_messages_max=rng.choice((1, 3, 512)),
            fallback=rng.random() < 0.7,
            second_model=rng.random() < 0.5,
            notice=rng.choice(("", "try later")),
            outage_ms=rng.choice((500, 5_000)),
            drain_ms=rng.choice((0, 300, 3_000)),
        )

    def settings(self) -> Settings:
        """As an admin would have written them."""
        settings = Settings()
        settings.server.drain_ms = self.drain_ms
        model, data, tasks = settings.model, settings.data, settings.tasks
        model.load_timeout_ms = 5_000
        model.stall_report_ms = 1_000
        model.stall_kill_ms = self.stall_kill_ms
        model.restart_max_ms = 2_000
        model.deaths_max = self.deaths_max
        model.given_up_ms = 5_000
        data.snapshot_ms = self.snapshot_ms
        tasks.queue_max = self.queue_max
        tasks.queue_per_client_max = self.queue_per_client_max
        tasks.retry_max_ms = 10_000
        tasks.finished_keep_ms = self.finished_keep_ms
        tasks.position_push_ms = self.position_push_ms
        fallback, socket = settings.fallback, settings.socket
        fallback.enabled = self.fallback
        fallback.slots = 1
        fallback.outage_ms = self.outage_ms
        fallback.embedded = self.second_model
        fallback.idle_ms = 2_000
        fallback.notice = self.notice
        socket.flush_window_ms = self.flush_window_ms
        socket.idle_ms = 45_000
        socket.outbox_bytes_max = self.outbox_bytes_max
        return settings


class Life:
    """From a start to a kill. ``serving`` once clients are let in."""

    def __init__(
        self,
        config: Config,
        outside: ManualClock,
        disk: Disk,
        machine: Machine,
        second: Machine,
        rng: Random,
        on_over: Callable[[], object],
    ) -> None:
        self.config = config
        self.clock = ManualClock(outside.now_ns(), outside.wall_ns(), "the machine's only boot")
        self.alive = True
        self.serving = False
        self.asking: dict[object, Callable[[Exception], object]] = {}
        self.links: list[Link] = []
        self._outside = outside
        self._rng = rng
        self.on_over = on_over
        self.loop = SimLoop(self._read_later)
        self.telemetry = Telemetry()
        self.failures: list[Any] = []
        self.telemetry.attach(self._hear)
        self.loop.call_now(lambda: self._build(disk, machine, second))

    def _read_later(self, call: Any) -> None:
        delay_ns = self._rng.choice((0, 300_000, 4_000_000))
        self._outside.call_after(delay_ns, call)

    def _hear(self, event: Event) -> None:
        if event.name in ("actor.crashed", "channel.crashed"):
            self.failures.append(event.fields["error"])
        elif event.name == "supervisor.exhausted" and event.fields["supervisor"] == "node":
            self.serving = False  # all of the tree is about to end

    def _build(self, disk: Disk, machine: Machine, second: Machine) -> None:
        config = self.config
        self.system = System(
            self.clock,
            self.loop.call_soon,
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
            return (second if SECOND in command else machine).start_process(command, **calls)

        outside = Outside(
            system=self.system,
            store=self.store,
            telemetry=self.telemetry,
            rng=self._rng,
            model=MODEL,
            command=lambda _safe: ("first",),
            fallback_command=(lambda _safe: (SECOND,)) if config.second_model else None,
            start_process=start_process,
        )
        self.parts = Parts(config.settings(), outside)
        self.board = self.parts.board
        self.tasks = self.parts.tasks
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
        """Time passes for the node."""
        delta_ns = at_ns - self.clock.now_ns()
        due_ns = self.clock.next_due_ns()
        if due_ns is None or due_ns > at_ns:
            self.clock.advance(delta_ns)
        else:
            self.loop.call_now(lambda: self.clock.advance(delta_ns))

    # ---- the doors

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
