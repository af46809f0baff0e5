"""The branch of the supervision tree that has the engines of other models than the node's own, and
what is needed to start one; see `edge.parts`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from edge.actors import ChildSpec, Supervisor, System
from edge.errors import SettingsError
from edge.inference import EngineActor, EngineCommand, ModelFile, check_cache, policy_of
from edge.inference.fit import SPARE_SHARE
from edge.inference.known import KnownModels
from edge.inference.pool import SUPERVISOR_NAME, Limits, Loadable, Pool
from edge.inference.process import StartProcess
from edge.settings import Model as ModelSettings
from edge.settings import Settings
from edge.telemetry import Event, Telemetry

Command = Callable[[bool], tuple[str, ...]]

SHUTDOWN_MS: Final = 15_000
"""For an engine to end, and for the supervisor of all of them: as the node's own has."""
_NOT_PASSED_ON: Final = frozenset({"engine.step"})
"""It comes with every token, and only figures of the node's own are made of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What the engines of other models need of the node. ``command`` replaces their command lines.
    ``stepped`` is told of each step: the name of the engine's actor, and as `EngineActor` does."""

    settings: Settings
    system: System
    telemetry: Telemetry
    rng: Random
    start_process: StartProcess
    stepped: Callable[[str, int, int, int], object]
    command: Callable[[ModelFile], Command] | None = None


def make_pool(around: Around, known: KnownModels, own: EngineCommand, own_command: Command) -> Pool:
    """The pool of all models, which together have the memory that the node's own may take."""
    limits, free_bytes = around.settings.models, own.free_bytes or 0

    async def find(wanted: str | None) -> Loadable:
        model = await known.find(wanted)
        return mine if model is known.own else _loadable(model, around, free_bytes)

    mine = Loadable(known.own, own_command, own.room.needs_bytes, own.context_tokens)
    return Pool(
        mine,
        around.system,
        Limits(int(free_bytes * (1 - SPARE_SHARE)), limits.share_ms, limits.keep_alive_ms),
        find=find,
        spec=lambda loadable, name: _spec(loadable, name, around),
    )


def budget_bytes(settings: Settings, free_bytes: int) -> int:
    """What all models together may have of the memory that is free."""
    most = settings.models.memory_bytes_max
    return min(most, free_bytes) if most else free_bytes


def child() -> ChildSpec:
    """The supervisor of the engines. Whoever follows an engine that it has given up hears that by
    the engine's end."""
    return ChildSpec(
        SUPERVISOR_NAME,
        lambda: Supervisor(budget="child"),
        shutdown_ms=SHUTDOWN_MS,
        own_budget=True,
    )


def _loadable(model: ModelFile, around: Around, free_bytes: int) -> Loadable:
    settings = _suited(model, around.settings)
    command = EngineCommand(model, settings, None, free_bytes)
    chosen = around.command(model) if around.command is not None else command
    return Loadable(model, chosen, command.room.needs_bytes, command.context_tokens)


def _suited(model: ModelFile, settings: Settings) -> ModelSettings:
    """The settings of the node's own model, but for those that this one cannot have."""
    wanted = settings.model
    if model.context_tokens and wanted.context_tokens > model.context_tokens:
        wanted = replace(wanted, context_tokens=model.context_tokens)
    try:
        check_cache(model, wanted)
    except SettingsError:
        return replace(wanted, kv_type="f16")
    return wanted


def _spec(loadable: Loadable, name: str, around: Around) -> ChildSpec:
    # What happens to it is told under another name: the node's figures are of its own engine.
    own = Telemetry()

    def pass_on(event: Event) -> None:
        if event.name not in _NOT_PASSED_ON:
            around.telemetry.emit(
                "model.engine", model=loadable.name, event=event.name, fields=event.fields
            )

    own.attach(pass_on)
    return ChildSpec(
        name,
        lambda: EngineActor(
            loadable.command,
            telemetry=own,
            policy=policy_of(around.settings.model),
            rng=around.rng,
            start_process=around.start_process,
            on_step=lambda *step: around.stepped(name, *step),
        ),
        shutdown_ms=SHUTDOWN_MS,
    )
