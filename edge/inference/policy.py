"""How patient the owner of the engine process is: every limit of its lifecycle."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LifecyclePolicy:
    """How patient to be. More than ``deaths_max`` deaths in a row within ``deaths_window_ms`` and
    the engine is given up, until ``given_up_ms`` later; before that the wait doubles from
    ``backoff_base_ms`` with each of these deaths, up to ``backoff_max_ms``, and chance adds a share
    of at most ``jitter``.

    Deaths that do not count: of an engine that had made a token, for then the work goes on, if
    slowly; and by a task that is known to have caused it, for that is the task's own affair."""

    load_timeout_ms: int = 600_000
    stall_report_ms: int = 10_000
    stall_kill_ms: int = 60_000
    stop_ms: int = 5_000
    backoff_base_ms: int = 100
    backoff_max_ms: int = 30_000
    jitter: float = 0.1
    deaths_max: int = 10
    deaths_window_ms: int = 600_000
    given_up_ms: int = 60_000

    @property
    def tick_ms(self) -> int:
        """How often the watchdog looks: silence is noticed late by a quarter of its limit."""
        return max(10, self.stall_report_ms // 4)
