"""The composition root: builds the house, starts it, drains it, stops it.

The supervision tree::

    node
    ├── engine       owns the engine process
    ├── outage       notices that the engine is out for long
    ├── standby      has the engine of the fallback's model as its child, while that is wanted
    ├── fallback     answers what the model cannot
    ├── dispatcher   owns the waiting line
    ├── tasks        one transient actor per task, each with a restart budget of its own
    ├── status       tells the node's figures to who joined ``node:status``
    ├── health       has the parts prove that they work, for ``/readyz``
    └── janitor      clears the database of what need not be kept

Status and the fallback's three have budgets of their own: they may fail for good without harm to
the rest. When the root has spent its restarts the node has failed (`Node.failed`).

Channels belong to their sockets. Nothing else in the house wires anything to anything.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import web

from edge import fallback_branch, upkeep_branch
from edge.actors import ChildSpec, Reason, Ref, Supervisor, System
from edge.clock import NS_PER_MS, SystemClock
from edge.engine.messages import Ready
from edge.errors import Forbidden, InternalError, StartupError, StorageError
from edge.gateway import problems
from edge.gateway.access import Access
from edge.gateway.archive_api import ArchiveApi
from edge.gateway.events import EventStreams
from edge.gateway.facts import EngineListener, NodeFacts
from edge.gateway.handshake import Refusal
from edge.gateway.health_api import HealthApi
from edge.gateway.listen import listen, url_of
from edge.gateway.socket import Accepted, ConnectInfo, SocketApp, mount
from edge.gateway.tasks_api import TasksApi
from edge.inference import EngineActor, EngineCommand, ModelFile, policy_of, resolve
from edge.services.archive import Archive
from edge.services.audience import Followers
from edge.services.channel import Channels
from edge.services.dispatcher import Board, Dispatcher
from edge.services.journal import Journal
from edge.services.mine_channel import MINE_TOPIC, MineChannel
from edge.services.pubsub import PubSub
from edge.services.status import STATUS_TOPIC, Figures, Sources, StatusActor, StatusChannel
from edge.services.surroundings import Surroundings
from edge.services.task_channel import TaskChannel
from edge.services.tasks import Tasks
from edge.settings import Settings
from edge.storage import Store, StoreOptions
from edge.tasks.retry import RetryPolicy
from edge.telemetry import Event, Telemetry

DATABASE = "elwift.duckdb"
TOLD_MS = 100


@dataclass(frozen=True, slots=True)
class Started:
    """What a node that is ready says of itself."""

    url: str
    model: str
    slots: int
    context_tokens: int
    safe_mode: bool
    database: Path
    recovered: int
    quarantined: str | None
    degraded: str = ""
    """Why there is no engine, if there is none; ``slots`` and ``context_tokens`` are 0 then."""


class Node:
    """One node: `start`, then `stop`. Raises `StartupError` when it cannot start as configured.

    To be made and used on a running event loop.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        telemetry: Telemetry | None = None,
        engine_command: Callable[[bool], tuple[str, ...]] | None = None,
        fallback_command: Callable[[bool], tuple[str, ...]] | None = None,
    ) -> None:
        """`engine_command` replaces the worker's own command line; see `EngineActor`; and
        `fallback_command` that for the fallback's model."""
        self.settings = settings
        self._engine_command = engine_command
        self._fallback_command = fallback_command
        self.telemetry = telemetry or Telemetry()
        self.clock = SystemClock(asyncio.get_running_loop())
        self.system = System(
            self.clock, asyncio.get_running_loop().call_soon, on_event=self.telemetry.emit
        )
        self._store: Store | None = None
        self._journal: Journal | None = None
        self._runner: web.AppRunner | None = None
        self._sockets: SocketApp | None = None
        self._streams: EventStreams | None = None
        self._root: Ref | None = None
        self._root_end: asyncio.Future[Reason] = asyncio.get_running_loop().create_future()
        self._pubsub = PubSub()
        self.tasks: Tasks | None = None

    async def start(self) -> Started:
        """Opens the database, loads the model, brings unfinished tasks back, listens."""
        settings = self.settings
        data_dir = settings.data_dir()
        model = resolve(settings.model.name, data_dir)
        listener = listen(settings.server.host, settings.server.port)
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            listener.close()
            raise StartupError(
                f"cannot make the data directory {data_dir}: {error.strerror};"
                " choose another with --data-dir"
            ) from error
        try:
            return await self._start(listener, data_dir, model)
        except BaseException:
            gc.enable()
            listener.close()
            await self.stop(drain=False)
            raise

    async def _start(self, listener: socket.socket, data_dir: Path, model: ModelFile) -> Started:
        settings = self.settings
        store = self._store = await Store.open(
            data_dir / DATABASE,
            telemetry=self.telemetry,
            clock=self.clock,
            options=StoreOptions(rows_waiting_max=settings.data.rows_waiting_max),
        )
        self._journal = Journal(store, self.clock, settings.data.snapshot_ms)
        command = self._engine_command or EngineCommand(model, settings.model)
        fallback = settings.fallback
        board = Board(settings.tasks.queue_max, fallback.slots if fallback.enabled else 0)
        facts = NodeFacts(self.system, store, model.name)
        sources = Sources(
            board, facts.durable, lambda: facts.model, self._socket_figures, store.quarantined
        )
        figures = Figures(sources, self.telemetry, self.clock)
        self._build(command, model, board, figures)
        listening = EngineListener(facts)
        self.system.spawn(listening, name="engine listener")
        tasks = self._make_tasks(store, board)
        # A hundred thousand tasks make no garbage, and looking for it would take half the time.
        gc.disable()
        # While the model loads.
        recovered = await tasks.recover()
        up, degraded = await self._first_word(listening)
        app = self._application(tasks, facts, figures)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()
        url = url_of(listener)
        # What lives now lives for ever: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.enable()
        self.telemetry.emit(
            "node.started", url=url, model=model.name, database=str(data_dir / DATABASE)
        )
        return Started(
            url, model.name, up.slots if up else 0, up.context_tokens if up else 0,
            up is not None and up.safe_mode, data_dir / DATABASE, recovered, store.quarantined,
            degraded,
        )  # fmt: skip

    async def _first_word(self, listening: EngineListener) -> tuple[Ready | None, str]:
        """What the engine says of itself, or why there is none and the node starts all the same:
        a model that is of no use is for the admin to change, one that dies may work again."""
        words: set[asyncio.Future[Any]] = {listening.first_word, self._root_end}
        await asyncio.wait(words, return_when=asyncio.FIRST_COMPLETED)
        if not listening.first_word.done():
            raise StartupError(self._failure(self._root_end.result()))
        word = listening.first_word.result()
        if isinstance(word, Ready):
            return word, ""
        if word.model_at_fault or not self.settings.fallback.enabled:
            raise StartupError(word.reason)
        return None, word.reason

    def _build(
        self,
        command: Callable[[bool], tuple[str, ...]],
        model: ModelFile,
        board: Board,
        figures: Figures,
    ) -> None:
        """The supervision tree, but for the tasks themselves."""
        settings = self.settings
        assert self._store is not None
        engine = ChildSpec(
            "engine",
            lambda: EngineActor(
                command,
                telemetry=self.telemetry,
                policy=policy_of(settings.model),
                rng=Random(),
            ),
            shutdown_ms=15_000,
        )
        # Ended in reverse order: whoever serves tasks outlives them.
        children = (
            engine,
            *fallback_branch.children(
                settings, board, self._store, self.telemetry, model, self._fallback_command
            ),
            ChildSpec(
                "dispatcher",
                lambda: Dispatcher(board, "engine", settings.tasks.position_push_ms),
            ),
            ChildSpec("tasks", self._task_supervisor, shutdown_ms=30_000),
            ChildSpec("status", lambda: StatusActor(self._pubsub, figures), own_budget=True),
            *upkeep_branch.children(settings, board, self._store, self.telemetry, self._accepts),
        )
        self._root = self.system.spawn(Supervisor(children), name="node")
        self._root.add_watcher(_Watcher(self._root_end))

    def _accepts(self) -> bool:
        return self.tasks is not None and self.tasks.accepts

    def _task_supervisor(self) -> Supervisor:
        if self.tasks is not None:
            # All task actors went with it. They are in the store: the node ends, and begins anew.
            raise InternalError("the supervisor of the tasks has ended")
        return Supervisor(budget="child", on_exhausted=self._task_exhausted)

    async def failed(self) -> str:
        """Waits until the node cannot go on, if ever; why, in a sentence. To be stopped then."""
        assert self._store is not None, "the node has started"
        ends = asyncio.shield(self._root_end), asyncio.shield(self._store.dead)
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        return self._failure(done.pop().result())

    @staticmethod
    def _failure(reason: Reason | StorageError) -> str:
        return f"the node cannot go on ({reason}), which is a defect; its log has the details"

    def _task_exhausted(self, name: str, reason: object) -> None:
        if self.tasks is not None:
            self.tasks.give_up(name, reason)

    def _make_tasks(self, store: Store, board: Board) -> Tasks:
        settings = self.settings.tasks
        assert self._journal is not None
        around = Surroundings(
            board=board,
            journal=self._journal,
            telemetry=self.telemetry,
            retry=RetryPolicy(settings.retry_base_ms, settings.retry_max_ms),
            rng=Random(),
            followers=Followers(),
            finished_keep_ms=settings.finished_keep_ms,
            dispatcher_name="dispatcher",
            on_ended=lambda task_id: self.tasks.forget(task_id) if self.tasks else None,
        )
        supervisor = self.system.registry.whereis("tasks")
        assert supervisor is not None, "the tree has been built"
        self.tasks = Tasks(
            self.system,
            Supervisor.of(supervisor),
            store,
            self._journal,
            around,
            settings.queue_per_client_max,
        )
        return self.tasks

    def _socket_figures(self) -> dict[str, int]:
        return {} if self._sockets is None else self._sockets.figures()

    def _application(self, tasks: Tasks, facts: NodeFacts, figures: Figures) -> web.Application:
        settings = self.settings
        access = Access(settings.server.tokens)
        app = web.Application(
            middlewares=[problems.middleware], client_max_size=settings.server.body_bytes_max
        )
        channels = Channels(self.system, self._pubsub, self.telemetry)
        self._streams = EventStreams(
            lambda: TaskChannel(tasks), channels, self.clock, settings.socket.outbox_bytes_max
        )
        assert self._store is not None
        # Its /tasks/export comes before /tasks/{task_id}.
        ArchiveApi(Archive(tasks, self._store), access, self.clock).mount(app)
        TasksApi(tasks, access, settings, facts, self._streams).mount(app)
        HealthApi(self.system, tasks.board, facts, settings.health.limit_ms).mount(app)

        def connect(info: ConnectInfo) -> Accepted | Refusal:
            try:
                return Accepted(access.client(info.token))
            except Forbidden as error:
                return Refusal(403, f"{error}\n")

        self._sockets = SocketApp(
            [
                ("task:*", lambda: TaskChannel(tasks)),
                (MINE_TOPIC, lambda: MineChannel(tasks)),
                (STATUS_TOPIC, lambda: StatusChannel("status", figures)),
            ],
            connect,
            channels=channels,
            clock=self.clock,
            limits=settings.socket,
            telemetry=self.telemetry,
            origins=settings.server.origins,
        )
        mount(app, "/socket", self._sockets)
        return app

    async def stop(self, *, drain: bool = True) -> int:
        """Stops in order; how many tasks are left for the next start. May be called at any time.

        Nothing new is accepted; running tasks get ``drain_ms`` to end; sockets are told to come
        back; what is left is written down; the engine ends; the database is closed.
        """
        if self.tasks is not None:
            self.tasks.accepts = False
            if drain:
                await self._drain(self.tasks)
        if self._streams is not None:
            self._streams.end_all()
        if self._sockets is not None:
            await self._sockets.drain()
        if self._runner is not None:
            await self._runner.cleanup()
        left = 0
        if self.tasks is not None:
            left = self.tasks.board.waiting + self.tasks.board.busy
        if self._root is not None:
            self._root.stop()
            await self._root_end
        if self._journal is not None:
            self._journal.flush()
        if self._store is not None:
            await self._store.close()
        gc.unfreeze()
        self.telemetry.emit("node.stopped", orphaned=left)
        return left

    async def _drain(self, tasks: Tasks) -> None:
        """Waits until no task runs, within the limit; waiting ones keep waiting."""
        board = tasks.board
        board.draining = True
        self.telemetry.emit("node.draining", running=board.busy, queued=board.waiting)
        if not board.busy:
            return
        idle = asyncio.Event()
        # Those who watch are to hear the last end, which is told once it is written down.
        board.when_idle = lambda: self.clock.call_after(TOLD_MS * NS_PER_MS, idle.set)

        def hear(event: Event) -> None:
            if event.name == "task.finished" and not board.busy:
                idle.set()

        detach = self.telemetry.attach(hear)
        timer = self.clock.call_after(self.settings.server.drain_ms * NS_PER_MS, idle.set)
        try:
            await idle.wait()
        finally:
            timer.cancel()
            detach()


class _Watcher:
    """Has an actor's end in a future."""

    def __init__(self, end: asyncio.Future[Reason]) -> None:
        self._end = end

    def down(self, _ref: Ref, reason: Reason) -> None:
        if not self._end.done():
            self._end.set_result(reason)
