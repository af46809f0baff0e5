"""The branch of the node's supervision tree that looks after the node itself; see `edge.parts`."""

from __future__ import annotations

from typing import Final

from edge.actors import ChildSpec, System
from edge.clock import NS_PER_S
from edge.services.health.readiness import HealthActor, HealthSources
from edge.services.keeping.janitor import Janitor, Written
from edge.services.keeping.learning import Learning
from edge.services.keeping.timekeeper import Timekeeper
from edge.settings import Settings
from edge.storage import Pruned, Store
from edge.telemetry import Telemetry

JANITOR_NAME: Final = "janitor"


def children(
    settings: Settings,
    system: System,
    store: Store,
    telemetry: Telemetry,
    sources: HealthSources,
    *,
    model: str,
) -> list[ChildSpec]:
    """The children, and the way from the store to one of them: the janitor hears of each commit.
    `model` is the one that the node runs."""
    data = settings.data

    async def prune() -> Pruned:
        return await store.prune(
            max_age_ns=data.keep_hours * 3_600 * NS_PER_S, max_tasks=data.keep_tasks_max
        )

    def committed(rows: int) -> None:
        janitor = system.registry.whereis(JANITOR_NAME)
        if janitor is not None:
            janitor.send(Written(rows))

    store.on_committed = committed
    return [
        ChildSpec("health", lambda: HealthActor(sources, settings.health), own_budget=True),
        ChildSpec(
            JANITOR_NAME, lambda: Janitor(prune, telemetry, data.prune_every_ms), own_budget=True
        ),
        ChildSpec(
            "learning",
            lambda: Learning(sources.turns.forecast, model, store.keep_learnt),
            own_budget=True,
        ),
        ChildSpec("timekeeper", lambda: Timekeeper(store.note_time, telemetry), own_budget=True),
    ]
