"""Writes `manifest.toml`, which names the shipped model to the node."""

from __future__ import annotations

from pathlib import Path

TRAINING_DATA = (
    "TinyStories (CDLA-Sharing-1.0); African Storybook and Pratham StoryWeaver (CC BY, see"
    " ATTRIBUTION.tsv); TinyFabulist fables (MIT); public-domain children's books; stories of the"
    " project's own generator"
)
TEMPLATE = """\
# The models that ship with the project. Written by models/train/export.py.
[[model]]
name = "elwift-tiny"
file = "{file}"
size_bytes = {size_bytes}
sha256 = "{sha256}"
description = "A tiny storyteller: short, simple English stories on request."
architecture = "llama"
quantisation = "Q8_0"
parameters = {parameters}
context = {context}
licence = "Apache-2.0"
training_data = "{training_data}"
trained = "{trained}"
tokens_trained = {tokens_trained}
{losses}
"""


def write_manifest(
    path: Path,
    *,
    file: Path,
    sha256: str,
    parameters: int,
    context: int,
    tokens_trained: int,
    minutes_trained: int,
    losses: dict[str, float],
) -> None:
    """Write the manifest of one model; `losses` are per piece, by source of held-out text."""
    trained = (
        f"from scratch in PyTorch on 2 processor cores for {minutes_trained} minutes:"
        f" {tokens_trained / 1e6:.1f} million tokens, Muon and AdamW, loss on answers only"
    )
    lines = [f"validation_loss_{name} = {loss:.4f}" for name, loss in sorted(losses.items())]
    path.write_text(
        TEMPLATE.format(
            file=file.name,
            size_bytes=file.stat().st_size,
            sha256=sha256,
            parameters=parameters,
            context=context,
            training_data=TRAINING_DATA,
            trained=trained,
            tokens_trained=tokens_trained,
            losses="\n".join(lines),
        )
    )
