"""Pulls a model: from what a person typed to one of the user's own models. Blocks."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge.errors import ModelError
from edge.inference import models
from edge.inference.model_file import SUFFIX, ModelFile
from edge.inference.models import HERE, Sources
from edge.inference.pulling import web
from edge.inference.pulling.arrival import Progress, arrive, unfinished_dir
from edge.inference.pulling.hub import Hub
from edge.inference.pulling.wanted import Repository, Web, read


@dataclass(frozen=True, slots=True)
class Begun:
    """What is going to be fetched, said before it is; None is not known yet."""

    name: str
    source: str
    size_bytes: int | None = None
    licence: str | None = None


def pull(
    text: str,
    data_dir: Path,
    *,
    hub_url: str = "",
    name: str = "",
    sha256: str | None = None,
    begun: Callable[[Begun], None],
    progress: Progress,
    pause: web.Pause = asyncio.sleep,
    sources: Sources = HERE,
) -> ModelFile:
    """The pulled model, as ``name`` or by its own; or, where another program keeps that very file,
    the model that is there already. ``text`` is what `wanted.read` takes, ``sha256`` what the
    file has to have. `ModelError`, and what came so far is kept for the next time."""
    fetching = _Fetching(data_dir, name, sha256, begun, progress, pause)
    asked = read(text)
    if isinstance(asked, Web):
        return asyncio.run(fetching.from_web(asked))
    return asyncio.run(fetching.from_hub(asked, Hub(hub_url), sources))


@dataclass(frozen=True, slots=True)
class _Fetching:
    """One pull; its fields are what `pull` was given."""

    data_dir: Path
    name: str
    sha256: str | None
    begun: Callable[[Begun], None]
    progress: Progress
    pause: web.Pause

    async def from_web(self, asked: Web) -> ModelFile:
        target = models.place_for(self.name or asked.name, self.data_dir)
        folder = unfinished_dir(self.data_dir)
        self.begun(Begun(target.stem, web.shown(asked.url)))
        file = await web.fetch(asked.url, folder, self.progress, pause=self.pause)
        try:
            return arrive(file, target, sha256=self.sha256)
        finally:
            web.tidy(file)

    async def from_hub(self, asked: Repository, hub: Hub, sources: Sources) -> ModelFile:
        name = self.name or asked.name
        if name:
            # One that is taken is said before anybody is asked.
            models.place_for(name, self.data_dir)
        offer = await hub.ask(asked)
        file, promised = offer.file, offer.file.sha256
        if self.sha256 is not None and promised not in (None, self.sha256.lower()):
            raise ModelError(
                f"{file.path} of {offer.repository} has the SHA-256 {promised}, not {self.sha256}"
            )
        own = PurePosixPath(file.path).name.removesuffix(SUFFIX)
        source = f"{offer.repository}:{file.quantisation or own}"
        for model in models.elsewhere(sources=sources):
            if model.name == source and model.size_bytes == file.size_bytes:
                return model
        target = models.place_for(name or own, self.data_dir)
        folder = unfinished_dir(self.data_dir)
        _check_room(folder, file.size_bytes or 0)
        self.begun(Begun(target.stem, source, file.size_bytes, offer.licence))
        fetched = await web.fetch(
            offer.url, folder, self.progress, headers=hub.headers, pinned=True,
            remedy=hub.terms(offer.repository), pause=self.pause,
        )  # fmt: skip
        try:
            sha256 = promised or self.sha256
            return arrive(fetched, target, size_bytes=file.size_bytes, sha256=sha256)
        finally:
            web.tidy(fetched)


def _check_room(folder: Path, size_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < size_bytes:
        raise ModelError(
            f"the model has {size_bytes / 2**30:.1f} GiB, and the disk of {folder} only"
            f" {free_bytes / 2**30:.1f} free; make room, or choose another --data-dir"
        )
