"""From the settings to the worker's command line and to how patient its owner is."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.errors import SettingsError
from edge.inference.models import ModelFile
from edge.inference.policy import LifecyclePolicy
from edge.settings import Model

CONTEXT_TOKENS_DEFAULT: Final = 4_096
"""What a task may use of a model that was trained with more, unless the settings say so."""

CONTEXT_TOKENS_MIN: Final = 128
"""With less, a chat template and the shortest question leave no room for an answer."""


@dataclass(frozen=True, slots=True)
class EngineCommand:
    """The worker's command line, for fast or safe mode (`EngineActor`). In ``cache_dir`` it may
    keep over a restart what it has read of prompts; None is nowhere."""

    model: ModelFile
    settings: Model
    cache_dir: Path | None = None

    def __call__(self, safe: bool) -> tuple[str, ...]:
        settings = self.settings
        numbers = {
            "slots": settings.slots,
            "context-tokens": self.context_tokens,
            "batch-tokens": settings.batch_tokens,
            "step-ms": settings.step_ms,
            "threads": settings.threads or _cores(),
            "gpu-layers": settings.gpu_layers,
        }
        flags = [part for name, value in numbers.items() for part in (f"--{name}", str(value))]
        return (
            *(sys.executable, "-m", "edge.engine.worker", "--fd", "{fd}"),
            *("--model", str(self.model.path)),
            *flags,
            *self._cache_flags(),
            *(("--safe",) if safe else ()),
        )

    def _cache_flags(self) -> tuple[str, ...]:
        size_bytes = self.settings.prompt_cache_disk_bytes_max
        if self.cache_dir is None or not size_bytes:
            return ()
        folder = str(self.cache_dir)
        return ("--prompt-cache-dir", folder, "--prompt-cache-dir-bytes", str(size_bytes))

    @property
    def context_tokens(self) -> int:
        """Tokens one task may use; 0 when neither the settings nor the file say."""
        return self.settings.context_tokens or min(
            self.model.context_tokens, CONTEXT_TOKENS_DEFAULT
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


def _cores() -> int:
    """The cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
