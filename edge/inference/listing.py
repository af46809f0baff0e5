"""What a person wants to know of a model before choosing it: what it is, under which licence, and
whether it fits on this box now. Reads the headers of files and blocks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.errors import ModelError
from edge.inference.fit import SPARE_SHARE, fit
from edge.inference.model_file import ModelFile, checked
from edge.inference.pulling.catalogue import Entry
from edge.settings import Model

CONTEXT_WANTED: Final = 4_096
"""Tokens of one task that a chat needs."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One model. ``fault`` says why it cannot be used, and is empty when it can. ``fits_tokens`` of
    the ``wanted_tokens`` of context fit for one task, 0 when not even the least does;
    ``needs_bytes`` is the memory for them. Both are None when the file is silent about that."""

    model: ModelFile
    fault: str = ""
    needs_bytes: int | None = None
    fits_tokens: int | None = None
    wanted_tokens: int = 0


def listed(model: ModelFile, settings: Model, free_bytes: int) -> Listed:
    """What there is to say of a model where so much memory is free."""
    try:
        sound = checked(model)
    except ModelError as error:
        return Listed(model, str(error))
    if not sound.shape.kv_heads:
        return Listed(sound)
    return _fitted(sound, settings, free_bytes)


def offered(entry: Entry, settings: Model, free_bytes: int) -> Listed:
    """The same of one that could be pulled."""
    size_bytes = entry.shape.weights_bytes
    model = ModelFile(
        entry.name, Path(), size_bytes, 0, description=entry.description, shape=entry.shape,
        quantisation=entry.quantisation, licence=entry.licence,
    )  # fmt: skip
    return _fitted(model, settings, free_bytes)


def _fitted(sound: ModelFile, settings: Model, free_bytes: int) -> Listed:
    wanted = min(CONTEXT_WANTED, sound.context_tokens or CONTEXT_WANTED)
    room = fit(
        sound.shape,
        free_bytes=free_bytes,
        slots=1,
        context_tokens=wanted,
        batch_tokens=settings.batch_tokens,
        kv_type=settings.kv_type,
    )
    fits = room.needs_bytes <= free_bytes * (1 - SPARE_SHARE)
    return Listed(sound, "", room.needs_bytes, room.cache_tokens if fits else 0, wanted)
