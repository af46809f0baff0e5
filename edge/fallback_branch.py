"""The branch of the supervision tree that answers when the model cannot; see `edge.parts`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final

from edge.actors import ChildSpec, Supervisor
from edge.inference import EngineActor, EngineCommand, ModelFile, policy_of, standby
from edge.inference.pool import ENGINE_NAME
from edge.inference.process import StartProcess, Worker
from edge.services.fallback import FallbackActor
from edge.services.health.outage import OutageWatch
from edge.services.keeping.history import History
from edge.services.task.current_turn import FALLBACK_NAME
from edge.services.task.turns import Turns
from edge.settings import Settings
from edge.storage import Store
from edge.telemetry import Event, Telemetry

SECOND_ENGINE: Final = "fallback engine"
LOAD_MS_MAX: Final = 60_000
DEATHS_MAX: Final = 2
"""Nobody is to wait long for the second best."""

Command = Callable[[bool], tuple[str, ...]]


def children(
    settings: Settings,
    turns: Turns,
    store: Store,
    telemetry: Telemetry,
    model: ModelFile,
    command: Command | None,
    rng: Random,
    start_process: StartProcess = Worker,
) -> list[ChildSpec]:
    """The children, in their order; none where the settings want no fallback. `model` is the
    node's own; `command` replaces the command line of the second engine."""
    wanted = settings.fallback
    if not wanted.enabled:
        return []
    history = History(store, telemetry)
    command = command or _command(settings, model)
    engine = command and _engine(settings, telemetry, command, rng, start_process)
    watch = ChildSpec(
        "outage",
        lambda: OutageWatch(ENGINE_NAME, turns.set_outage, wanted.outage_ms, telemetry),
        own_budget=True,
    )
    engines = ChildSpec(
        "standby", lambda: Supervisor(budget="child"), shutdown_ms=15_000, own_budget=True
    )
    fallback = ChildSpec(
        FALLBACK_NAME,
        lambda: FallbackActor(
            find=history.find if wanted.history else None,
            model=engine,
            supervisor_name="standby",
            notice=wanted.notice,
            idle_ms=wanted.idle_ms,
            busy=lambda: turns.on_fallback,
        ),
        own_budget=True,
    )
    return [watch, engines, fallback]


def memory_bytes(settings: Settings, model: ModelFile) -> int:
    """What the second engine takes beside the node's own `model`, while it runs."""
    command = _command(settings, model) if settings.fallback.enabled else None
    return 0 if command is None else command.wants_bytes


def _command(settings: Settings, model: ModelFile) -> EngineCommand | None:
    other = standby(model) if settings.fallback.embedded else None
    if other is None:
        return None
    # On the processor, which is sure to be there; it is gone before anybody comes back to a prompt.
    small = replace(
        settings.model, slots=settings.fallback.slots, context_tokens=0, gpu_layers=0,
        kv_type="f16", prompt_cache_mib=0,
    )  # fmt: skip
    return EngineCommand(other, small)


def _engine(
    settings: Settings,
    telemetry: Telemetry,
    command: Command,
    rng: Random,
    start_process: StartProcess,
) -> ChildSpec:
    # What happens to it is told under another name: the node's figures are of its own engine.
    own = Telemetry()

    def pass_on(event: Event) -> None:
        telemetry.emit("fallback.engine", event=event.name, fields=event.fields)

    own.attach(pass_on)
    policy = replace(policy_of(settings.model), load_timeout_ms=LOAD_MS_MAX, deaths_max=DEATHS_MAX)
    return ChildSpec(
        SECOND_ENGINE,
        lambda: EngineActor(
            command, telemetry=own, policy=policy, rng=rng, start_process=start_process
        ),
        shutdown_ms=10_000,
    )
