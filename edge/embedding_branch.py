"""The branch of the supervision tree that turns texts into vectors; see `edge.parts`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from edge.actors import ChildSpec
from edge.inference import policy_of, resolve
from edge.inference.embedding.actor import EmbeddingActor
from edge.inference.embedding.command import EmbeddingCommand
from edge.inference.model_file import checked_for_embeddings, checked_for_ranking
from edge.inference.process import StartProcess, Worker
from edge.services.embedding import EMBEDDING_NAME, RERANK_NAME, Models
from edge.settings import Embeddings, Settings
from edge.telemetry import Event, Telemetry


def models_of(settings: Embeddings, data_dir: Path) -> Models:
    """Those that the settings name. Reads their headers and blocks; `ModelError` for one that is
    of no use."""
    for_vectors = partial(checked_for_embeddings, pooling=settings.pooling)
    return Models(
        resolve(settings.model, data_dir, check=for_vectors) if settings.model else None,
        resolve(settings.rerank_model, data_dir, check=checked_for_ranking)
        if settings.rerank_model
        else None,
    )


def children(
    settings: Settings,
    models: Models,
    telemetry: Telemetry,
    rng: Random,
    free_bytes: Callable[[], int],
    start_process: StartProcess = Worker,
) -> list[ChildSpec]:
    """The children, none where there is no model. Their engines are started by the first call."""
    # What happens to them is told under another name: the node's figures are of its own engine.
    own = Telemetry()

    def pass_on(event: Event) -> None:
        telemetry.emit("embedding.engine", event=event.name, fields=event.fields)

    own.attach(pass_on)

    def child(name: str, command: EmbeddingCommand) -> ChildSpec:
        return ChildSpec(
            name,
            lambda: EmbeddingActor(
                command,
                telemetry=own,
                policy=policy_of(settings.model),
                rng=rng,
                keep_alive_ms=settings.embeddings.keep_alive_ms,
                lacks=lambda: command.lacks(free_bytes()),
                start_process=start_process,
            ),
            shutdown_ms=10_000,
            own_budget=True,
        )

    children = []
    if models.embeds is not None:
        command = EmbeddingCommand(models.embeds, settings.embeddings)
        children.append(child(EMBEDDING_NAME, command))
    if models.ranks is not None:
        command = EmbeddingCommand(models.ranks, settings.embeddings, ranks=True)
        children.append(child(RERANK_NAME, command))
    return children
