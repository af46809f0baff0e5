"""One life of the node: the real house on simulated ground, wired as `edge.node` wires it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from edge.actors import Actor, ChildSpec, Reason, Ref, Supervisor, System
from edge.clock import ManualClock
from edge.errors import StorageError
from edge.gateway.connection import Connection
from edge.gateway.handshake import Handshake
from edge.gateway.socket import Accepted, SocketApp
from edge.inference import EngineActor, EngineGivenUp, EngineUp, LifecyclePolicy, Subscribe
from edge.phoenix import V2
from edge.services.audience import Followers
from edge.services.channel import Channel, Channels
from edge.services.dispatcher import Board, Dispatcher
from edge.services.fallback import FallbackActor
from edge.services.history import History
from edge.services.journal import Journal
from edge.services.outage import OutageWatch
from edge.services.pubsub import PubSub
from edge.services.surroundings import Surroundings
from edge.services.task_channel import TaskChannel
from edge.services.tasks import Tasks
from edge.settings import Socket as Limits
from edge.storage import StoreOptions
from edge.tasks.retry import RetryPolicy
from edge.telemetry import Event, Telemetry
from tests.simulation.disk import Disk, open_store
from tests.simulation.engine import Machine
from tests.simulation.loop import SimLoop
from tests.simulation.sockets import Link


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
        )


class _Listener(Actor):
    """Hears when the engine is up for the first time, or that it never will be."""

    def __init__(self) -> None:
        self.heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def started(self) -> None:
        engine = self.system.registry.whereis("engine")
        assert engine is not None
        engine.send(Subscribe(self.ref))

    def handle(self, message: object) -> None:
        if isinstance(message, EngineUp | EngineGivenUp) and not self.heard.done():
            self.heard.set_result(None)


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
        self.clock = ManualClock(outside.now_ns(), outside.wall_ns())
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
        self.journal = Journal(self.store, self.clock, config.snapshot_ms)
        self.board = Board(config.queue_max, 1 if config.fallback else 0)
        self.history = History(self.store, self.telemetry)
        self.root = self.system.spawn(Supervisor(self._children(machine, second)), name="node")
        around = Surroundings(
            board=self.board,
            journal=self.journal,
            telemetry=self.telemetry,
            retry=RetryPolicy(1_000, 10_000),
            rng=self._rng,
            followers=Followers(),
            finished_keep_ms=config.finished_keep_ms,
            dispatcher_name="dispatcher",
            on_ended=lambda task_id: self.tasks.forget(task_id),
        )
        supervisor = self.ref("tasks")
        assert supervisor is not None
        self.tasks = Tasks(
            self.system,
            Supervisor.of(supervisor),
            self.store,
            self.journal,
            around,
            config.queue_per_client_max,
        )
        self.sockets = SocketApp(
            [("task:*", lambda: TaskChannel(self.tasks))],
            lambda info: Accepted(info.token),
            channels=Channels(self.system, PubSub(), self.telemetry),
            clock=self.clock,
            limits=Limits(
                flush_window_ms=config.flush_window_ms,
                idle_ms=45_000,
                outbox_bytes_max=config.outbox_bytes_max,
            ),
            telemetry=self.telemetry,
        )
        self.root.add_watcher(self)
        self.listener = _Listener()
        self.system.spawn(self.listener, name="engine listener")
        self.loop.spawn(self._start())

    def _children(self, machine: Machine, second: Machine) -> tuple[ChildSpec, ...]:
        config = self.config
        return (
            ChildSpec("engine", lambda: self._engine(machine, self.telemetry)),
            *self._fallback(second),
            ChildSpec(
                "dispatcher",
                lambda: Dispatcher(self.board, "engine", config.position_push_ms),
            ),
            ChildSpec(
                "tasks",
                self._task_supervisor,
            ),
        )

    def _task_supervisor(self) -> Supervisor:
        return Supervisor(
            budget="child",
            on_exhausted=lambda name, reason: self.tasks.give_up(name, reason),
        )

    def _fallback(self, second: Machine) -> tuple[ChildSpec, ...]:
        config = self.config
        if not config.fallback:
            return ()
        model = ChildSpec("fallback engine", lambda: self._engine(second, Telemetry()))
        return (
            ChildSpec(
                "outage",
                lambda: OutageWatch("engine", "dispatcher", config.outage_ms, self.telemetry),
                own_budget=True,
            ),
            ChildSpec("standby", lambda: Supervisor(budget="child"), own_budget=True),
            ChildSpec(
                "fallback",
                lambda: FallbackActor(
                    find=self.history.find,
                    model=model if config.second_model else None,
                    supervisor_name="standby",
                    notice=config.notice,
                    idle_ms=2_000,
                    board=self.board,
                ),
                own_budget=True,
            ),
        )

    def _engine(self, machine: Machine, telemetry: Telemetry) -> EngineActor:
        return EngineActor(
            lambda _safe: ("simulated",),
            telemetry=telemetry,
            policy=LifecyclePolicy(
                load_timeout_ms=5_000,
                stall_report_ms=1_000,
                stall_kill_ms=self.config.stall_kill_ms,
                backoff_max_ms=2_000,
                deaths_max=self.config.deaths_max,
                deaths_window_ms=60_000,
                given_up_ms=5_000,
            ),
            rng=self._rng,
            start_process=machine.start_process,
        )

    async def _start(self) -> None:
        await self.listener.heard
        try:
            await self.tasks.recover()
        except StorageError:
            self.on_over()
        else:
            self.serving = True

    async def stop(self) -> None:
        """SIGTERM: nothing new, everybody is sent away, what is left is written down."""
        self.serving = self.tasks.accepts = False
        await self.sockets.drain()
        self.root.stop()

    def down(self, _ref: Ref, reason: Reason) -> None:
        """The tree of supervisors has ended: with it the node."""
        if not reason.abnormal:
            self.journal.flush()
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
                self.sockets,
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
