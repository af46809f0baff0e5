"""The composition root: gives the node's parts (`edge.parts`) a machine, starts them, drains them,
stops them."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from edge.actors import Reason, System
from edge.clock import SystemClock
from edge.collector import Collector
from edge.embedding_branch import models_of
from edge.errors import StartupError, StorageError
from edge.gateway.http.descriptors import places_for_clients, raise_limit
from edge.gateway.http.server import HttpServer
from edge.gateway.listen import close_all, listen, url_of
from edge.gateway.own_names import own_names
from edge.gateway.refusals import refusal
from edge.inference import ModelFile, check_cache, check_context, resolve
from edge.inference.known import KnownModels
from edge.inference.models import everything
from edge.parts import Outside, Parts, cannot_go_on, mailbox_messages_max
from edge.services.embedding import Models as EmbeddingModels
from edge.services.task.tasks import Tasks
from edge.settings import Server, Settings, check_reach
from edge.storage import Store, StoreOptions, check_name
from edge.telemetry import Telemetry

DATABASE = "elwift.duckdb"


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
    room: str = ""
    """What the model got for lack of memory, and how to have more; empty where it has all."""
    threads: str = ""
    """How many the engine may have, and why."""


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
            self.clock,
            # Whoever writes to an actor first begins its turn, and what it does is not theirs.
            partial(asyncio.get_running_loop().call_soon, context=Context()),
            mailbox_messages_max=mailbox_messages_max(settings),
            on_event=self.telemetry.emit,
        )
        self._store: Store | None = None
        self._parts: Parts | None = None
        self._collector = Collector()
        self._http: HttpServer | None = None

    @property
    def tasks(self) -> Tasks | None:
        """The node's tasks; None before it has started so far."""
        return None if self._parts is None else self._parts.tasks

    async def start(self) -> Started:
        """Opens the database, loads the model, brings unfinished tasks back, listens."""
        settings = self.settings
        data_dir = settings.data_dir()
        check_name(data_dir / DATABASE)
        model = resolve(settings.model.name, data_dir)
        check_context(model, settings.model)
        check_cache(model, settings.model)
        embedding_models = models_of(settings.embeddings, data_dir)
        # Before the database: a port that is taken is said at once, not after minutes of recovery.
        listeners = _listen(settings.server)
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            close_all(listeners)
            raise StartupError(
                f"cannot make the data directory {data_dir}: {error.strerror};"
                " choose another with --data-dir"
            ) from error
        try:
            return await self._start(listeners, data_dir, model, embedding_models)
        except BaseException:
            gc.enable()
            close_all(listeners)
            await self.stop(drain=False)
            raise

    async def _start(
        self,
        listeners: list[socket.socket],
        data_dir: Path,
        model: ModelFile,
        embedding_models: EmbeddingModels,
    ) -> Started:
        settings = self.settings
        store = self._store = await Store.open(
            data_dir / DATABASE,
            telemetry=self.telemetry,
            clock=self.clock,
            options=StoreOptions(rows_waiting_max=settings.data.rows_waiting_max),
        )
        outside = Outside(
            system=self.system,
            store=store,
            telemetry=self.telemetry,
            rng=Random(),
            model=model,
            known=KnownModels(
                model,
                lambda: everything(data_dir),
                self.clock,
                aliases=settings.model.aliases,
            ),
            command=self._engine_command,
            fallback_command=self._fallback_command,
            embedding_models=embedding_models,
        )
        parts = self._parts = Parts(settings, outside)
        # A hundred thousand tasks make no garbage, and looking for it would take half the time.
        gc.disable()
        recovered, up, degraded = await parts.begin()
        own = await own_names(settings.server.host, [each.getsockname()[0] for each in listeners])
        places = places_for_clients(raise_limit(), settings.server.connections_max)
        # Served last: who came before the tasks were back would hear that there is no such task.
        self._http = HttpServer(
            parts.application(own), settings.server, self.clock, places, refusal
        )
        await self._http.start(listeners)
        url = url_of(listeners[0])
        self._collector.start()
        self.telemetry.emit(
            "node.started", url=url, model=model.name, database=str(data_dir / DATABASE)
        )
        return Started(
            url, model.name, up.slots if up else 0, up.context_tokens if up else 0,
            up is not None and up.safe_mode, data_dir / DATABASE, recovered, store.quarantined,
            degraded, parts.room.sentence, f"{parts.threads.number}: {parts.threads.why}",
        )  # fmt: skip

    async def failed(self) -> str:
        """Waits until the node cannot go on, if ever; why, in a sentence. To be stopped then."""
        assert self._store is not None, "the node has started"
        assert self._parts is not None, "the node has started"
        ends: set[asyncio.Future[Reason | StorageError]] = {
            asyncio.shield(self._parts.root_end),
            asyncio.shield(self._store.dead),
        }
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        return cannot_go_on(done.pop().result())

    async def stop(self, *, drain: bool = True) -> int:
        """Stops in order; how many tasks are left for the next start. May be called at any time.

        Nothing new is accepted; running tasks get ``drain_ms`` to end; sockets are told to come
        back; what is left is written down; the engine ends; the database is closed.
        """
        # From the outside inwards, so that nobody asks for what is gone already. Clients are told
        # first, while what they are owed can still be said and written.
        if self._parts is not None:
            await self._parts.dismiss(drain=drain)
        # Before the tree ends: a request that came between the two would find no task.
        if self._http is not None:
            await self._http.stop()
        # The last words of tasks are rows, so the store outlives them.
        left = 0 if self._parts is None else await self._parts.end()
        if self._store is not None:
            await self._store.close()
        self._collector.stop()
        self.telemetry.emit("node.stopped", orphaned=left)
        return left


def _listen(server: Server) -> list[socket.socket]:
    """The node's sockets. StartupError when they cannot be had, or reach farther than they may."""
    listeners = listen(server.host, server.port)
    try:
        for each in listeners:
            # The settings have been checked, but a name may stand for another address than it says.
            check_reach(server, each.getsockname()[0])
    except StartupError:
        close_all(listeners)
        raise
    return listeners
