"""From the settings to the worker's command line and to how patient its owner is."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.errors import SettingsError
from edge.inference.box import Cores, choose_cores
from edge.inference.fit import KV_BLOCK, Room, buffer_bytes, fit, layer_bytes, needs_bytes
from edge.inference.model_file import ModelFile
from edge.inference.policy import LifecyclePolicy
from edge.settings import Model

CONTEXT_TOKENS_DEFAULT: Final = 4_096
"""What a task may use of a model that was trained with more, unless the settings say so."""

CONTEXT_TOKENS_MIN: Final = 128
"""With less, a chat template and the shortest question leave no room for an answer."""


@dataclass(frozen=True, slots=True)
class EngineCommand:
    """The worker's command line, for fast or safe mode (`EngineActor`). In ``cache_dir`` it may
    keep over a restart what it has read of prompts; None is nowhere. ``free_bytes`` of memory are
    there for the model; None is as many as it wants."""

    model: ModelFile
    settings: Model
    cache_dir: Path | None = None
    free_bytes: int | None = None

    def __call__(self, safe: bool) -> tuple[str, ...]:
        settings, room = self.settings, self.room
        numbers: dict[str, int | str] = {
            "slots": room.slots,
            "context-tokens": room.context_tokens,
            "cache-tokens": room.cache_tokens,
            "batch-tokens": settings.batch_tokens,
            "step-ms": settings.step_ms,
            "threads": self.threads.number,
            "gpu-layers": settings.gpu_layers,
            "layers": self.model.shape.layers,
            "layer-bytes": layer_bytes(self.model.shape, room.cache_tokens, settings.kv_type),
            "buffer-bytes": buffer_bytes(
                self.model.shape, room.cache_tokens, settings.batch_tokens, room.slots
            ),
            "prompt-cache-bytes": settings.prompt_cache_mib << 20,
            "kv-type": settings.kv_type,
            "flash-attn": settings.flash_attn,
        }
        flags = [part for name, value in numbers.items() for part in (f"--{name}", str(value))]
        return (
            *(sys.executable, "-m", "edge.engine.worker", "--fd", "{fd}"),
            *("--model", str(self.model.path)),
            *flags,
            *(() if settings.speculation else ("--no-speculation",)),
            *self._cache_flags(),
            *(() if settings.mmap else ("--no-mmap",)),
            *(("--mlock",) if settings.mlock else ()),
            *(("--safe",) if safe else ()),
        )

    def _cache_flags(self) -> tuple[str, ...]:
        size_bytes = self.settings.prompt_cache_disk_bytes_max
        if self.cache_dir is None or not size_bytes:
            return ()
        folder = str(self.cache_dir)
        return ("--prompt-cache-dir", folder, "--prompt-cache-dir-bytes", str(size_bytes))

    @property
    def threads(self) -> Cores:
        """The most that the engine works with, and why."""
        number = self.settings.threads
        return Cores(number, "as model.threads says") if number else choose_cores()

    @property
    def wants_bytes(self) -> int:
        """Memory for all that it wants, whatever is free."""
        settings, room = self.settings, self.room
        return (settings.prompt_cache_mib << 20) + needs_bytes(
            self.model.shape,
            cache_tokens=room.wanted_tokens,
            batch_tokens=settings.batch_tokens,
            slots=settings.slots,
            kv_type=settings.kv_type,
        )

    @property
    def context_tokens(self) -> int:
        """Tokens one task may use; 0 when neither the settings nor the file say."""
        return self.room.context_tokens

    @property
    def room(self) -> Room:
        """What the model gets of the memory that is free. What the settings say is kept."""
        settings = self.settings
        wanted = settings.context_tokens or min(self.model.context_tokens, CONTEXT_TOKENS_DEFAULT)
        if self.free_bytes is None or not wanted:
            whole = settings.slots * wanted
            return Room(settings.slots, wanted, whole, whole, 0, 0)
        return fit(
            self.model.shape,
            free_bytes=self.free_bytes,
            slots=settings.slots,
            context_tokens=wanted,
            batch_tokens=settings.batch_tokens,
            kv_type=settings.kv_type,
            other_bytes=settings.prompt_cache_mib << 20,
            context_fixed=bool(settings.context_tokens),
        )


def check_context(model: ModelFile, settings: Model) -> None:
    """Raises `SettingsError` when a task is to have more room than the model was trained with, or
    too little to say anything."""
    wanted, trained = settings.context_tokens, model.context_tokens
    if not wanted:
        return
    key = "model.context_tokens"
    if trained and wanted > trained:
        raise SettingsError(
            f"{key} is {wanted}, but the model {model.name} was trained with a context of"
            f" {trained} tokens and makes no sense beyond; set at most that (--context {trained}),"
            " or leave it out",
            key=key,
        )
    least = min(CONTEXT_TOKENS_MIN, trained or CONTEXT_TOKENS_MIN)
    if wanted < least:
        raise SettingsError(
            f"{key} is {wanted}, which leaves no room for a question and its answer; set at least"
            f" {least}, or leave it out",
            key=key,
        )


def check_cache(model: ModelFile, settings: Model) -> None:
    """Raises `SettingsError` when the cache cannot be of this type: a head's numbers have to fill
    whole blocks of it."""
    shape, kv_type = model.shape, settings.kv_type
    if kv_type == "f16":
        return
    for width in (shape.key_length, shape.value_length):
        if width % KV_BLOCK:
            raise SettingsError(
                f"model.kv_type cannot be {kv_type} with the model {model.name}, whose heads have"
                f" {width} numbers, which is no multiple of {KV_BLOCK}; leave it at f16",
                key="model.kv_type",
            )


def policy_of(settings: Model) -> LifecyclePolicy:
    """The settings' limits; the rest as it is by default."""
    return LifecyclePolicy(
        load_timeout_ms=settings.load_timeout_ms,
        stall_report_ms=settings.stall_report_ms,
        stall_kill_ms=settings.stall_kill_ms,
        backoff_base_ms=settings.restart_base_ms,
        backoff_max_ms=settings.restart_max_ms,
        deaths_max=settings.deaths_max,
        given_up_ms=settings.given_up_ms,
    )
