"""The node's parts, wired to one another: all that is the same on a real machine and in a simulated
world. `edge.node` gives them a machine, `tests.simulation` a made-up one.

The supervision tree::

    node
    ├── engine       owns the engine process of the node's own model
    ├── engines      has those of other models as its children, while they are in memory
    ├── outage       notices that the engine is out for long
    ├── standby      has the engine of the fallback's model as its child, while that is wanted
    ├── fallback     answers what the model cannot
    ├── embedding engine, rerank engine
    │                own the processes for texts to vectors, while they are wanted
    ├── follower     tells the waiting lines of the engines
    ├── tasks        one transient actor per task, each with a restart budget of its own
    ├── status       tells the node's figures to who joined ``node:status``
    ├── health       has the parts prove that they work, for ``/readyz``
    ├── janitor      clears the database of what need not be kept
    ├── learning     has it remembered what the estimates have learnt
    └── timekeeper   has it remembered how long the node has run

Status and the fallback's three have budgets of their own: they may fail for good without harm to
the rest. When the root has spent its restarts the node has failed (`Parts.root_end`).

Channels belong to their sockets. Nothing else wires anything to anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, NamedTuple

import psutil  # type: ignore[import-untyped]  # it ships no types
from aiohttp import web

from edge import embedding_branch, fallback_branch, models_branch, upkeep_branch
from edge.actors import ChildSpec, Reason, Ref, Supervisor, System
from edge.clock import NS_PER_MS, NS_PER_S, Clock
from edge.engine.messages import Ready
from edge.errors import Forbidden, InternalError, StartupError
from edge.gateway import problems
from edge.gateway.access import Access
from edge.gateway.archive_api import ArchiveApi
from edge.gateway.budget import Budget
from edge.gateway.calls.calls import Calls
from edge.gateway.calls.entrance import Entrance
from edge.gateway.calls.following import Surroundings
from edge.gateway.calls.models import Models
from edge.gateway.events import EventStreams
from edge.gateway.facts import EngineListener, NodeFacts
from edge.gateway.gate import Gate, Rules
from edge.gateway.handshake import Refusal
from edge.gateway.health_api import HealthApi
from edge.gateway.length import LengthCheck
from edge.gateway.log_api import LogApi
from edge.gateway.metrics_api import MetricsApi
from edge.gateway.ollama import errors as ollama_errors
from edge.gateway.ollama.api import OllamaApi
from edge.gateway.ollama.pulls import Pulls
from edge.gateway.openai import errors as openai_errors
from edge.gateway.openai.api import OpenAiApi
from edge.gateway.openai.embeddings import EmbeddingsApi
from edge.gateway.openapi import OpenApi
from edge.gateway.own_names import LOOPBACK, OwnNames
from edge.gateway.pages_api import PagesApi
from edge.gateway.queue_api import QueueApi
from edge.gateway.requests import Requests
from edge.gateway.socket import Accepted, ConnectInfo, SocketApp, mount
from edge.gateway.tasks_api import TasksApi
from edge.inference import EngineActor, EngineCommand, ModelFile, policy_of
from edge.inference.box import free_memory_bytes
from edge.inference.known import KnownModels
from edge.inference.process import StartProcess, Worker
from edge.metrics import Metrics, State
from edge.services.embedding import EmbeddingService
from edge.services.embedding import Models as EmbeddingModels
from edge.services.health.readiness import HealthSources, Steps
from edge.services.health.status import STATUS_TOPIC, Figures, Sources, StatusActor, StatusChannel
from edge.services.keeping import learning
from edge.services.keeping.archive import EXPORTS_MAX, EXPORTS_PER_CLIENT_MAX, Archive
from edge.services.task.audience import Followers
from edge.services.task.ends import Ends
from edge.services.task.journal import Journal
from edge.services.task.live_task import Dependencies
from edge.services.task.queue_page import QueuePages
from edge.services.task.tasks import RECOVER_BATCH, Tasks
from edge.services.task.turns import EngineFollower, Turns
from edge.services.watchers.channel import Channels
from edge.services.watchers.mine_channel import MINE_TOPIC, MineChannel
from edge.services.watchers.pubsub import PubSub
from edge.services.watchers.task_channel import TaskChannel
from edge.settings import Settings
from edge.storage import Store
from edge.tasks.retry import RetryPolicy
from edge.telemetry import Telemetry

READ_BYTES_MAX: Final = 262_144
"""The event loops, asyncio's and uvloop, read so much at once."""

STEP_BYTES_MIN: Final = 49
"""The shortest step of the engine takes so much in its pipe; it is a message to its task."""


def mailbox_messages_max(settings: Settings) -> int:
    """How many messages may wait for one actor.

    What comes from outside of all turns comes from requests, of which each connection has one; from
    tasks that are brought back, a batch at a time; and from the engine. A request and a task have
    at most two things to say to one actor. Half of a mailbox is for that; the other half is for
    what actors say in their turns (`edge.actors.System`)."""
    at_once = max(settings.server.connections_max, RECOVER_BATCH)
    return 2 * max(2 * at_once, READ_BYTES_MAX // STEP_BYTES_MIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What the node needs of the outside: time and its actors' turns (``system``), a store, chance,
    and processes for its engines. ``known`` are all models that clients may name; without it, the
    node's own alone. ``command``, ``other_command`` and ``fallback_command`` replace the workers'
    own command lines; see `EngineActor`."""

    system: System
    store: Store
    telemetry: Telemetry
    rng: Random
    model: ModelFile
    known: KnownModels | None = None
    command: Callable[[bool], tuple[str, ...]] | None = None
    other_command: Callable[[ModelFile], Callable[[bool], tuple[str, ...]]] | None = None
    fallback_command: Callable[[bool], tuple[str, ...]] | None = None
    start_process: StartProcess = Worker
    embedding_models: EmbeddingModels = field(default_factory=EmbeddingModels)
    memory_free_bytes: Callable[[], int] = free_memory_bytes


PROMPT_CACHE_DIR: Final = "prompt-cache"
"""In the data directory. It may be deleted at any time."""


class Begun(NamedTuple):
    """``recovered`` tasks are back. ``up`` is what the engine says of itself; None, and
    ``degraded`` says why, where there is none and the node starts all the same."""

    recovered: int
    up: Ready | None
    degraded: str


class Parts:
    """The node's parts from the start to the end: made, then `begin`, then `dismiss` and `end`.

    To be made and used on the loop's thread. Making them starts the supervision tree, and with it
    the engine. ``root_end`` has a result once the tree has ended, for whatever reason.
    """

    # While the rest of the node is being made there are none.
    _tasks: Tasks | None = None
    _sockets: SocketApp | None = None

    def __init__(self, settings: Settings, outside: Outside) -> None:
        self.settings = settings
        self._outside = outside
        self.system = outside.system
        self.telemetry = outside.telemetry
        store, clock = outside.store, self.system.clock
        self.root_end: asyncio.Future[Reason] = asyncio.get_running_loop().create_future()
        self.journal = Journal(store, clock, settings.data.snapshot_ms)
        own = self._choose_room()
        self.turns = self._make_turns(own)
        learning.resume(self.turns.forecast, _identity(outside.model), store.learnt, self.telemetry)
        self.pubsub = PubSub()
        self._facts = NodeFacts(
            self.system, store, outside.model.name, own.context_tokens,
            turns=self.turns, pool=self.pool,
        )  # fmt: skip
        self.ends = Ends()
        self._steps = Steps(clock)
        self._given_up: dict[str, str] = {}  # actors without which the node goes on, and why
        self._figures = Figures(
            Sources(
                self.turns, self.ends, self._facts.durable, lambda: self._facts.model,
                self._socket_figures, lambda: self._facts.engine_pid, store.quarantined,
                self.room.sentence, self.threads.why, lambda: self._facts.template_fault,
            ),
            clock,
        )  # fmt: skip
        self.root = self.system.spawn(
            Supervisor(self._children(), on_exhausted=self._gave_up), name="node"
        )
        self.root.add_watcher(_Watcher(self.root_end))
        self.listener = EngineListener(self._facts)
        self.system.spawn(self.listener, name="engine listener")
        self.tasks = self._tasks = self._make_tasks()
        channels = Channels(self.system, self.pubsub, self.telemetry)
        self._access = Access(settings.server.tokens)
        self._budget = Budget(settings.socket.outboxes_bytes_max)
        self.streams = EventStreams(
            lambda: TaskChannel(self.tasks),
            channels,
            clock,
            settings.socket.outbox_bytes_max,
            self._budget,
        )
        self.calls = Calls(
            self.tasks,
            Surroundings.of(
                lambda: TaskChannel(self.tasks), channels, settings.socket.outbox_bytes_max,
                self._budget,
            ),
            clock,
            LengthCheck(self._facts),
        )  # fmt: skip
        embeds = outside.embedding_models
        self.embedding = EmbeddingService(self.system, embeds, settings.embeddings)
        self.sockets = self._sockets = self._make_sockets(channels)
        self._metrics = Metrics(self.telemetry, self._state, self.sockets.counters.step_to_frame)

    def _state(self) -> State:
        return State.of(self._figures.read(), paused=self.turns.paused, held=self.tasks.held)

    def _choose_room(self) -> EngineCommand:
        """How the engine of the node's own model is started, in the memory that there is for it."""
        settings, outside = self.settings, self._outside
        standby_bytes = fallback_branch.memory_bytes(settings, outside.model)
        free_bytes = max(0, outside.memory_free_bytes() - standby_bytes)
        own = EngineCommand(
            outside.model, settings.model, settings.data_dir() / PROMPT_CACHE_DIR,
            models_branch.budget_bytes(settings, free_bytes),
        )  # fmt: skip
        self.room, self.threads = own.room, own.threads
        self._command = outside.command or own
        return own

    def _make_turns(self, own: EngineCommand) -> Turns:
        settings, outside = self.settings, self._outside
        others = outside.known if settings.models.others else None
        self.known = others or _only(outside.model, settings, self.system.clock)
        self.pool = models_branch.make_pool(self._around(), self.known, own, self._command)
        fallback = settings.fallback
        return Turns(
            self.system,
            waiting_max=settings.tasks.queue_max,
            step_ms=settings.tasks.priority_step_ms,
            fallback_slots=fallback.slots if fallback.enabled else 0,
            push_ms=settings.tasks.position_push_ms,
            pool=self.pool,
        )

    def _children(self) -> tuple[ChildSpec, ...]:
        """The supervision tree, but for the tasks themselves."""
        settings, outside = self.settings, self._outside
        engine = ChildSpec(
            "engine",
            lambda: EngineActor(
                self._command,
                telemetry=self.telemetry,
                policy=policy_of(settings.model),
                rng=outside.rng,
                start_process=outside.start_process,
                on_received=self._received,
                on_step=self._stepped,
                on_threads=self._figures.saw_threads,
                on_cache_use=self._figures.saw_cache_use,
            ),
            shutdown_ms=15_000,
        )
        # Ended in reverse order: whoever serves tasks outlives them.
        return (
            engine,
            models_branch.child(),
            *fallback_branch.children(
                settings, self.turns, outside.store, self.telemetry, outside.model,
                outside.fallback_command, outside.rng, outside.start_process,
            ),
            *embedding_branch.children(
                settings, outside.embedding_models, self.telemetry, outside.rng,
                outside.memory_free_bytes, outside.start_process,
            ),
            ChildSpec("follower", lambda: EngineFollower(self.turns)),
            ChildSpec("tasks", self._task_supervisor, shutdown_ms=30_000),
            ChildSpec("status", lambda: StatusActor(self.pubsub, self._figures), own_budget=True),
            *upkeep_branch.children(
                settings, self.system, outside.store, self.telemetry,
                HealthSources(
                    self.turns, outside.store, self._steps, self._accepts,
                    outside.memory_free_bytes, self._given_up, self.room.sentence,
                    lambda: self._facts.template_fault, lambda: self.telemetry.detached,
                ),
                model=_identity(outside.model),
            ),
        )  # fmt: skip

    def _received(self) -> None:
        """A step has come; before anything is done with it."""
        if self._sockets is not None:
            self._sockets.counters.step_ns = self.system.clock.now_ns()

    def _stepped(self, tokens: int, prompt_tokens: int, running: int) -> None:
        """The engine made a step. Called for each, before anything else is done in this turn."""
        self.turns.saw_step(tokens, prompt_tokens, running)
        self._figures.saw_tokens(tokens)
        self._steps.saw()

    def _stepped_other(self, engine: str, tokens: int, prompt_tokens: int, running: int) -> None:
        """The same of the engine of another model."""
        self.turns.saw_step(tokens, prompt_tokens, running, engine=engine)
        self._figures.saw_tokens(tokens)

    def _around(self) -> models_branch.Around:
        outside = self._outside
        return models_branch.Around(
            settings=self.settings,
            system=self.system,
            telemetry=self.telemetry,
            rng=outside.rng,
            start_process=outside.start_process,
            stepped=self._stepped_other,
            command=outside.other_command,
        )

    def _gave_up(self, name: str, reason: Reason) -> None:
        self._given_up[name] = str(reason)

    def _accepts(self) -> bool:
        return self._tasks is not None and self._tasks.accepts

    def _task_supervisor(self) -> Supervisor:
        if self._tasks is not None:
            # All task actors went with it. They are in the store: the node ends, and begins anew.
            raise InternalError("the supervisor of the tasks has ended")
        return Supervisor(
            budget="child", on_exhausted=lambda name, reason: self.tasks.give_up(name, reason)
        )

    def _make_tasks(self) -> Tasks:
        settings = self.settings.tasks
        deps = Dependencies(
            turns=self.turns,
            journal=self.journal,
            telemetry=self.telemetry,
            retry=RetryPolicy(settings.retry_base_ms, settings.retry_max_ms),
            rng=self._outside.rng,
            followers=Followers(),
            ends=self.ends,
            finished_keep_ms=settings.finished_keep_ms,
            on_ended=lambda task_id: self.tasks.forget(task_id),
            on_opened=lambda request: self.tasks.opened(request),
            on_closed=lambda request: self.tasks.closed(request),
        )
        supervisor = self.system.registry.whereis("tasks")
        assert supervisor is not None, "the tree has been built"
        return Tasks(
            self.system,
            Supervisor.of(supervisor),
            self._outside.store,
            self.journal,
            deps,
            queue_per_client_max=settings.queue_per_client_max,
            held_bytes_max=settings.held_bytes_max or psutil.virtual_memory().total // 4,
            tokens_per_client_max=settings.tokens_per_client_max,
            submissions_per_second_max=settings.submissions_per_second_max,
            submissions_burst_max=settings.submissions_burst_max,
        )

    def _socket_figures(self) -> dict[str, int]:
        return {} if self._sockets is None else self._sockets.figures()

    def _make_sockets(self, channels: Channels) -> SocketApp:
        def connect(info: ConnectInfo) -> Accepted | Refusal:
            try:
                return Accepted(self._access.client(info.token))
            except Forbidden as error:
                return Refusal(403, f"{error}\n")

        return SocketApp(
            [
                ("task:*", lambda: TaskChannel(self.tasks)),
                (
                    MINE_TOPIC,
                    lambda: MineChannel(self.tasks, self.settings.server.connections_max),
                ),
                (STATUS_TOPIC, lambda: StatusChannel("status", self._figures)),
            ],
            connect,
            channels=channels,
            clock=self.system.clock,
            limits=self.settings.socket,
            telemetry=self.telemetry,
            budget=self._budget,
        )

    def application(self, own: OwnNames = LOOPBACK) -> web.Application:
        """All that is served over HTTP, the socket included, behind the gate; ``own`` are the names
        by which the machine may be called."""
        settings, access = self.settings, self._access
        app = web.Application(
            middlewares=[
                problems.middleware,
                openai_errors.middleware,
                ollama_errors.middleware,
            ],
            client_max_size=settings.server.body_bytes_max,
        )
        Gate(Rules.of(own, settings.server)).guard(app)
        Requests(self.telemetry, self.system.clock).guard(app)
        # Its /tasks/export comes before /tasks/{task_id}.
        several = not access.open
        archive = Archive(
            self.tasks, self._outside.store, EXPORTS_PER_CLIENT_MAX if several else EXPORTS_MAX
        )
        ArchiveApi(archive, access, self.system.clock, settings.server.write_ms).mount(app)
        TasksApi(self.tasks, access, settings, self._facts, self.streams, self.pool).mount(app)
        QueueApi(
            self.turns, QueuePages(self.turns, self.system.clock), access, self.telemetry,
            lambda: self._figures.tokens_per_second,
        ).mount(app)  # fmt: skip
        entrance = self._entrance()
        vectors = EmbeddingsApi(self.embedding, entrance, settings.embeddings)
        vectors.mount(app)
        OpenAiApi(entrance, vectors.known).mount(app)
        pulls = Pulls(settings.data_dir(), settings.model.hub_url)
        ollama = OllamaApi(entrance, self._facts, lambda: self.room.needs_bytes, pulls, vectors)
        ollama.mount(app)
        OpenApi().mount(app)
        PagesApi(ollama.runs).mount(app)
        MetricsApi(self._metrics, access).mount(app)
        LogApi(access, settings.log.level).mount(app)
        HealthApi(
            self.system, self.turns, self._facts, self._figures, access, settings.health.limit_ms
        ).mount(app)
        mount(app, "/socket", self.sockets)
        return app

    def _entrance(self) -> Entrance:
        facts, begun_s = self._facts, self.system.clock.wall_ns() // NS_PER_S
        models = Models(facts, self.pool, self.known, begun_s)
        return Entrance(self.calls, self._access, self.settings, facts, models)

    # ---- from the start to the end

    async def begin(self) -> Begun:
        """Brings unfinished tasks back, while the model loads, and waits for the engine's first
        word. StartupError when the node cannot start, StorageError when the disk refuses."""
        recovered = await self.tasks.recover()
        up, degraded = await self._first_word()
        return Begun(recovered, up, degraded)

    async def _first_word(self) -> tuple[Ready | None, str]:
        """What the engine says of itself, or why there is none and the node starts all the same:
        a model that is of no use is for the admin to change, one that dies may work again."""
        words: set[asyncio.Future[Any]] = {self.listener.first_word, self.root_end}
        await asyncio.wait(words, return_when=asyncio.FIRST_COMPLETED)
        if not self.listener.first_word.done():
            raise StartupError(cannot_go_on(self.root_end.result()))
        word = self.listener.first_word.result()
        if isinstance(word, Ready):
            return word, ""
        if word.model_at_fault or not self.settings.fallback.enabled:
            raise StartupError(word.reason)
        return None, word.reason

    async def dismiss(self, *, drain: bool) -> None:
        """Nothing new is accepted; with ``drain``, running tasks get ``server.drain_ms`` to end;
        everybody who listens is told to come back. Returns when all sockets are gone."""
        # Before anything else: what is accepted during the drain would never get its turn.
        self.tasks.accepts = False
        # While the sockets are open, so that whoever watches hears the ends.
        if drain:
            await self._drain()
        self.streams.end_all()
        self.calls.end_all()
        self.embedding.close()
        await self.sockets.drain()

    async def _drain(self) -> None:
        """Waits until no task runs, within the limit; waiting ones keep waiting."""
        turns, ends = self.turns, self.ends
        turns.drain()
        self.telemetry.emit("node.draining", running=turns.busy, queued=turns.waiting)
        changed, late = asyncio.Event(), False

        def time_up() -> None:
            nonlocal late
            late = True
            changed.set()

        turns.when_idle = ends.on_told = changed.set
        timer = self.system.clock.call_after(self.settings.server.drain_ms * NS_PER_MS, time_up)
        try:
            # Looked at after the turn of whoever says so: a task gives its slot back first, and is
            # among those whose end is not told, which is once it is written down, only then.
            while not late and (turns.busy or ends.untold):
                changed.clear()
                await changed.wait()
        finally:
            timer.cancel()

    async def end(self) -> int:
        """Ends the tree, and has the journal take what is left; how many tasks that is."""
        # Counted before the actors go, whose ends give their turns back.
        left = self.turns.waiting + self.turns.busy
        self.pool.close()
        self.root.stop()
        await self.root_end
        # After the tree: an actor that ends before its task marks what it had not written yet.
        self.journal.flush()
        return left


def cannot_go_on(reason: object) -> str:
    """What is said when the tree, or the store, has ended by itself."""
    return f"the node cannot go on ({reason}), which is a defect; its log has the details"


def _only(model: ModelFile, settings: Settings, clock: Clock) -> KnownModels:
    """Where there is no other model than the node's own."""
    return KnownModels(model, lambda: (), clock, aliases=settings.model.aliases, off_loop=_at_once)


async def _at_once(call: Callable[[], Any]) -> Any:
    return call()


def _identity(model: ModelFile) -> str:
    """By which a model is told from another of the same name."""
    return f"{model.name} {model.size_bytes}"


class _Watcher:
    """Has an actor's end in a future."""

    def __init__(self, end: asyncio.Future[Reason]) -> None:
        self._end = end

    def down(self, _ref: Ref, reason: Reason) -> None:
        if not self._end.done():
            self._end.set_result(reason)
