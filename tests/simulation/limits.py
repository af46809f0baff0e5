"""The settings of one world's node, and its bounds that are no settings: small, so that they are
reached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, Final
from unittest import mock

from edge.services.keeping import archive
from edge.services.task import audience, forecast, tasks
from edge.services.watchers import mine_channel
from edge.settings import Settings
from tests.simulation import script
from tests.simulation.bodies import BODY_BYTES_MAX

_CONSTANTS: Final[dict[str, tuple[Any, str]]] = {
    "connections_max": (tasks, "RECOVER_BATCH"),
    "held_beyond_queue_max": (tasks, "HELD_BEYOND_QUEUE_MAX"),
    "watchers_max": (audience, "WATCHERS_MAX"),
    "listed_max": (mine_channel, "LISTED_MAX"),
    "offsets_max": (mine_channel, "OFFSETS_MAX"),
    "asked_max": (mine_channel, "ASKED_MAX"),
    "places_max": (forecast, "NEAR_MAX"),
    "exports_max": (archive, "EXPORTS_MAX"),
}
"""Where the bounds are that nobody can set. As many tasks are brought back at a time as clients can
submit: more would not fit a mailbox."""

REFUSALS: Final[dict[str, str]] = {
    "queue": "which is as many as this node takes",
    "per client": "which is as many as you may have",
    "tokens": "in flight",
    "rate": "you submit faster than",
    "held": "tasks are in memory",
    "bytes": "bytes of requests are in memory",
    "backlog": "more waits for the disk than this node can keep",
    "watchers": "too many watch this task",
    "followers": "too many sockets follow the tasks of this client",
    "channels": "too many channels joined",
    "exports": "are under way",
}
"""What a client is told at each bound."""

BOUNDS: Final = frozenset(REFUSALS) | {"connections", "outbox", "listed"}
"""All that are reached in some world: besides refusals, as many connections as there may be, an
outbox that is given up, and a follower with more tasks than a join lists. No world fills half of a
mailbox: what a commit wakes goes in portions, and most is said in the sender's turn. What happens
there is shown by the tests of `edge.actors.System`."""


def bound_of(sentence: str) -> str | None:
    """Which bound a refusal speaks of."""
    return next((name for name, words in REFUSALS.items() if words in sentence), None)


@dataclass(frozen=True)
class Config:
    """What is drawn for a node."""

    slots: int
    step_ms: int
    queue_max: int
    queue_per_client_max: int
    tokens_per_client_max: int
    submissions_per_second_max: int
    held_beyond_queue_max: int
    held_bytes_max: int
    connections_max: int
    rows_waiting_max: int
    rows_per_commit_max: int
    snapshot_ms: int
    finished_keep_ms: int
    position_push_ms: int
    flush_window_ms: int
    outbox_bytes_max: int
    channels_max: int
    watchers_max: int
    listed_max: int
    offsets_max: int
    asked_max: int
    places_max: int
    exports_max: int
    deaths_max: int
    stall_kill_ms: int
    turn_messages_max: int
    pump_messages_max: int
    fallback: bool
    second_model: bool
    notice: str
    outage_ms: int
    drain_ms: int
    prune_every_ms: int
    keep_tasks_max: int
    others: int
    memory_bytes_max: int
    keep_alive_ms: int
    share_ms: int

    @staticmethod
    def draw(rng: Random, seed: int) -> Config:
        big, kept = script.is_big(seed), script.is_kept(seed)
        prunes = kept and rng.random() < 0.6
        models = Random(f"{seed} models")
        return Config(
            slots=rng.choice((4, 16)) if big else rng.choice((1, 2, 4)),
            step_ms=rng.choice((3, 20, 100)),
            queue_max=rng.choice((30, 150, 1_000)) if big else rng.choice((3, 8, 100)),
            queue_per_client_max=rng.choice((20, 1_000)) if big else rng.choice((2, 5, 100)),
            held_beyond_queue_max=rng.choice((5, 100_000)),
            held_bytes_max=1_000 if seed % 5 == 0 else 0,
            connections_max=rng.choice((24, 24, 500)),
            rows_waiting_max=rng.choice((6, 200, 10_000)),
            rows_per_commit_max=rng.choice((1, 4, 1_000)),
            snapshot_ms=rng.choice((50, 500)),
            finished_keep_ms=rng.choice((0, 100, 5_000)),
            position_push_ms=rng.choice((10, 250)),
            flush_window_ms=rng.choice((0, 8, 100)),
            outbox_bytes_max=rng.choice((20_000, 400_000)),
            channels_max=rng.choice((2, 100, 100)),
            watchers_max=rng.choice((1, 1_000, 1_000)),
            listed_max=rng.choice((3, 1_000, 1_000)),
            offsets_max=rng.choice((5, 500)),
            asked_max=rng.choice((1, 16)),
            places_max=rng.choice((2, 1_000)),
            exports_max=rng.choice((1, 4)),
            deaths_max=rng.choice((3, 30)),
            stall_kill_ms=rng.choice((3_000, 20_000)),
            turn_messages_max=rng.choice((1, 64)),
            # A big world's processor is not slower than its engine.
            pump_messages_max=512 if big else rng.choice((1, 3, 512)),
            fallback=rng.random() < 0.7,
            second_model=rng.random() < 0.5,
            notice=rng.choice(("", "try later")),
            outage_ms=rng.choice((500, 5_000)),
            drain_ms=rng.choice((0, 300, 3_000)),
            prune_every_ms=rng.choice((1_000, 5_000)) if prunes else 86_400_000,
            keep_tasks_max=rng.choice((0, 2, 1_000)),
            tokens_per_client_max=100 if seed % 7 == 0 else 0,
            submissions_per_second_max=2 if seed % 11 == 0 else 0,
            others=models.choice((0, 1, 2)),
            # In a quarter of them all fit, else hardly two.
            memory_bytes_max=models.choice((1 << 33, 1 << 30, 1 << 30, 1 << 30)),
            keep_alive_ms=models.choice((-1, 0, 500, 5_000)),
            share_ms=models.choice((0, 300, 2_000)),
        )

    @property
    def mailbox_messages_max(self) -> int:
        """As `edge.parts` derives it, from a batch that is as large as there may be connections."""
        return 4 * self.connections_max

    @property
    def prunes(self) -> bool:
        """Old tasks are cleared away."""
        return self.prune_every_ms < 3_600_000

    def settings(self) -> Settings:
        """As an admin would have written them."""
        settings = Settings()
        server, model, data, tasks = (
            settings.server, settings.model, settings.data, settings.tasks,
        )  # fmt: skip
        server.tokens = {user: token_of(user) for user in script.USERS}
        server.body_bytes_max = BODY_BYTES_MAX
        server.connections_max = self.connections_max
        server.drain_ms = self.drain_ms
        model.load_timeout_ms = 5_000
        model.stall_report_ms = 1_000
        model.stall_kill_ms = self.stall_kill_ms
        model.restart_max_ms = 2_000
        model.deaths_max = self.deaths_max
        model.given_up_ms = 5_000
        settings.models.memory_bytes_max = self.memory_bytes_max
        settings.models.keep_alive_ms = self.keep_alive_ms
        settings.models.share_ms = self.share_ms
        data.snapshot_ms = self.snapshot_ms
        data.prune_every_ms = self.prune_every_ms
        data.keep_tasks_max = self.keep_tasks_max
        tasks.queue_max = self.queue_max
        tasks.queue_per_client_max = self.queue_per_client_max
        tasks.tokens_per_client_max = self.tokens_per_client_max
        tasks.submissions_per_second_max = self.submissions_per_second_max
        tasks.submissions_burst_max = 2
        tasks.held_bytes_max = self.held_bytes_max
        tasks.retry_max_ms = 10_000
        tasks.finished_keep_ms = self.finished_keep_ms
        tasks.position_push_ms = self.position_push_ms
        fallback, socket = settings.fallback, settings.socket
        fallback.enabled = self.fallback
        fallback.slots = 1
        fallback.outage_ms = self.outage_ms
        fallback.embedded = self.second_model
        fallback.idle_ms = 2_000
        fallback.notice = self.notice
        socket.flush_window_ms = self.flush_window_ms
        socket.idle_ms = 45_000
        socket.outbox_bytes_max = self.outbox_bytes_max
        socket.channels_max = self.channels_max
        # How much of the real machine is free is no part of this world.
        settings.health.disk_free_min_mib = settings.health.memory_free_min_mib = 0
        return settings

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The bounds that are no settings, for the time of the block."""
        with ExitStack() as stack:
            for name, (module, constant) in _CONSTANTS.items():
                stack.enter_context(mock.patch.object(module, constant, getattr(self, name)))
            yield


def token_of(user: str) -> str:
    """The secret that a user calls with."""
    return f"the simulated secret of {user}"
