"""The branch of the node's supervision tree that looks after the node itself; see `edge.parts`."""

from __future__ import annotations

from collections.abc import Callable

from edge.actors import ChildSpec
from edge.clock import NS_PER_S
from edge.services.health.readiness import HealthActor, HealthSources, free_memory_bytes
from edge.services.keeping.janitor import Janitor
from edge.services.keeping.learning import Learning
from edge.services.keeping.timekeeper import Timekeeper
from edge.services.task.turns import Turns
from edge.settings import Settings
from edge.storage import Pruned, Store
from edge.telemetry import Telemetry


def children(
    settings: Settings,
    turns: Turns,
    store: Store,
    telemetry: Telemetry,
    accepts: Callable[[], bool],
    memory_free_bytes: Callable[[], int] = free_memory_bytes,
    *,
    model: str,
) -> list[ChildSpec]:
    """The children. `accepts` says whether the node takes new tasks, `model` which one it runs."""
    data = settings.data

    async def prune() -> Pruned:
        return await store.prune(
            max_age_ns=data.keep_hours * 3_600 * NS_PER_S, max_tasks=data.keep_tasks_max
        )

    sources = HealthSources(turns, store, accepts, memory_free_bytes)
    return [
        ChildSpec(
            "health", lambda: HealthActor(sources, telemetry, settings.health), own_budget=True
        ),
        ChildSpec(
            "janitor", lambda: Janitor(prune, telemetry, data.prune_every_ms), own_budget=True
        ),
        ChildSpec(
            "learning", lambda: Learning(turns.forecast, model, store.keep_learnt), own_budget=True
        ),
        ChildSpec("timekeeper", lambda: Timekeeper(store.note_time, telemetry), own_budget=True),
    ]
