"""Counters and histograms, folded from the events of telemetry.

Names are Prometheus's: seconds and bytes, counters by what they count. No label has a client's, a
task's or an address's name: each has the few values that its event can have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from edge.metrics.frames import FrameCollector
from edge.metrics.state import State, StateCollector
from edge.telemetry import Event, Telemetry
from edge.telemetry.buckets import Buckets

WAIT_S: Final = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200)
FIRST_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
TOKEN_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
COMMIT_S: Final = (0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)

OTHER: Final = "other"
SOURCES: Final = frozenset({"model", "history", "fallback_model", "notice"})
CHILDREN: Final = frozenset(
    {
        "engine", "outage", "standby", "fallback", "follower", "tasks", "status", "health",
        "janitor", "learning", "timekeeper",
    }
)  # fmt: skip
"""Children of the node's tree, which are told apart; the others are tasks' own actors."""

CAUSES_MAX: Final = 64
"""Codes of errors that are told apart: there are some forty."""

_US_PER_S: Final = 1_000_000
_MS_PER_S: Final = 1_000


class Metrics:
    """The node's metrics: attached to its telemetry from the beginning; ``registry`` is what
    `prometheus_client` writes out. On the loop's thread."""

    def __init__(
        self, telemetry: Telemetry, state: Callable[[], State], step_to_frame: Buckets
    ) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=True)
        self._task_metrics(registry)
        self._engine_metrics(registry)
        self._store_metrics(registry)
        self._node_metrics(registry)
        registry.register(StateCollector(state))
        registry.register(FrameCollector(step_to_frame))
        for name, fold in self._folds().items():
            telemetry.attach(fold, [name])

    def _task_metrics(self, registry: CollectorRegistry) -> None:
        self._accepted = Counter(
            "elwift_tasks_accepted", "Tasks that were made durable.", registry=registry
        )
        self._ended = Counter(
            "elwift_tasks_ended", "Tasks that ended, by their end and by who answered.",
            ("state", "source"), registry=registry,
        )  # fmt: skip
        self._retries = Counter(
            "elwift_task_retries", "Attempts that failed and are repeated.", registry=registry
        )
        self._wait = Histogram(
            "elwift_task_wait_seconds", "From ready to run to the turn.",
            buckets=WAIT_S, registry=registry,
        )  # fmt: skip
        self._first = Histogram(
            "elwift_task_first_token_seconds", "From ready to run to the first text.",
            buckets=FIRST_S, registry=registry,
        )  # fmt: skip
        self._per_token = Histogram(
            "elwift_task_token_seconds", "Decoding per generated token, by task.",
            buckets=TOKEN_S, registry=registry,
        )  # fmt: skip

    def _engine_metrics(self, registry: CollectorRegistry) -> None:
        self._prefilled = Counter(
            "elwift_tokens_prefilled", "Tokens of prompts that the model read.", registry=registry
        )
        self._reused = Counter(
            "elwift_tokens_reused", "Tokens of prompts found in a cache.", registry=registry
        )
        self._generated = Counter(
            "elwift_tokens_generated", "Tokens that the model wrote.", registry=registry
        )
        self._decode = Histogram(
            "elwift_engine_decode_seconds", "One decode step in the model.",
            buckets=TOKEN_S, registry=registry,
        )  # fmt: skip
        self._deaths = Counter(
            "elwift_engine_deaths", "Times that the engine died.", registry=registry
        )
        self._stalls = Counter(
            "elwift_engine_stalls", "Times that the engine fell silent.", registry=registry
        )

    def _store_metrics(self, registry: CollectorRegistry) -> None:
        self._commit = Histogram(
            "elwift_store_commit_seconds", "One commit of the database.",
            buckets=COMMIT_S, registry=registry,
        )  # fmt: skip
        self._rows = Counter(
            "elwift_store_rows_committed", "Rows that were made durable.", registry=registry
        )
        self._failures = Counter(
            "elwift_store_failures", "Commits and reads that the disk refused.", registry=registry
        )

    def _node_metrics(self, registry: CollectorRegistry) -> None:
        self._outages = Counter(
            "elwift_fallback_openings", "Times that tasks were answered without the model.",
            registry=registry,
        )  # fmt: skip
        self._restarts = Counter(
            "elwift_supervisor_restarts", "Parts that were started anew.",
            ("child",), registry=registry,
        )  # fmt: skip
        self._crashes = Counter(
            "elwift_actor_crashes", "Defects that ended an actor.", registry=registry
        )
        self._requests = Counter(
            "elwift_requests", "Requests that were answered.", ("status",), registry=registry
        )
        self._refused = Counter(
            "elwift_requests_refused", "Requests that ended in an error, by its code.",
            ("cause",), registry=registry,
        )  # fmt: skip
        self._causes: set[str] = set()
        self._detached = Counter(
            "elwift_telemetry_detached", "Handlers of telemetry that failed.", registry=registry
        )

    def _folds(self) -> dict[str, Callable[[Event], object]]:
        return {
            "task.accepted": lambda _event: self._accepted.inc(),
            "task.started": lambda event: _observe_ms(self._wait, event, "queued_ms"),
            "task.first_text": lambda event: _observe_ms(self._first, event, "ttft_ms"),
            "task.retrying": lambda _event: self._retries.inc(),
            "task.finished": self._finished,
            "engine.step": self._step,
            "engine.died": lambda _event: self._deaths.inc(),
            "engine.stalled": lambda _event: self._stalls.inc(),
            "store.committed": self._committed,
            "store.failed": lambda _event: self._failures.inc(),
            "fallback.opened": lambda _event: self._outages.inc(),
            "supervisor.restarted": self._restarted,
            "actor.crashed": lambda _event: self._crashes.inc(),
            "request.stop": self._answered,
            "telemetry.detached": lambda _event: self._detached.inc(),
        }

    def _finished(self, event: Event) -> None:
        source = event.metadata["source"]
        self._ended.labels(str(event.metadata["state"]), _known(source)).inc()
        decode_ms: Any = event.measurements["decode_ms"]
        tokens: Any = event.measurements["completion_tokens"]
        if decode_ms and tokens:
            self._per_token.observe(decode_ms / _MS_PER_S / tokens)

    def _step(self, event: Event) -> None:
        measured: Any = event.measurements
        self._generated.inc(measured["tokens"])
        if measured["prefilled_tokens"] or measured["reused_tokens"]:
            self._prefilled.inc(measured["prefilled_tokens"])
            self._reused.inc(measured["reused_tokens"])
        self._decode.observe(measured["decode_us"] / _US_PER_S)

    def _committed(self, event: Event) -> None:
        measured: Any = event.measurements
        self._commit.observe(measured["commit_us"] / _US_PER_S)
        self._rows.inc(measured["rows"])

    def _answered(self, event: Event) -> None:
        self._requests.labels(str(event.measurements["status"])).inc()
        cause = event.metadata["cause"]
        if cause is None:
            return
        if len(self._causes) < CAUSES_MAX:
            self._causes.add(str(cause))
        self._refused.labels(str(cause) if cause in self._causes else OTHER).inc()

    def _restarted(self, event: Event) -> None:
        child = event.metadata["child"]
        self._restarts.labels(str(child) if child in CHILDREN else OTHER).inc()


def _known(source: object) -> str:
    if source is None:
        return "none"
    return str(source) if source in SOURCES else OTHER


def _observe_ms(histogram: Histogram, event: Event, name: str) -> None:
    value: Any = event.measurements[name]
    if value is not None:
        histogram.observe(value / _MS_PER_S)
