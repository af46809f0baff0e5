"""The channel ``node:status``: how the node is doing, once a second to everybody who joined.

The figures are read when they are wanted: while nobody listens nothing is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import psutil  # type: ignore[import-untyped]  # it ships no types

from edge.actors import Actor
from edge.clock import NS_PER_MS, NS_PER_S, Clock
from edge.engine.messages import CacheUse
from edge.phoenix import Encoded
from edge.services.health.readiness import PAUSED, models_of, no_chats, unreadable
from edge.services.task import wire
from edge.services.task.ends import Ends
from edge.services.task.turns import Turns
from edge.services.watchers.channel import Channel, Decision, Ok
from edge.services.watchers.pubsub import PubSub

STATUS_TOPIC: Final = "node:status"
PUSH_MS: Final = 1_000


class Rate:
    """How many there were in the last whole second."""

    __slots__ = ("_count", "_last", "_second")

    def __init__(self) -> None:
        self._second = 0
        self._count = 0
        self._last = 0

    def add(self, count: int, now_ns: int) -> None:
        """Counts, in the second that `now_ns` is in. Time must not go backwards."""
        self._roll(now_ns)
        self._count += count

    def read(self, now_ns: int) -> int:
        """The count of the second before the one that `now_ns` is in."""
        self._roll(now_ns)
        return self._last

    def _roll(self, now_ns: int) -> None:
        second = now_ns // NS_PER_S
        if second != self._second:
            self._last = self._count if second == self._second + 1 else 0
            self._second = second
            self._count = 0


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the figures come from. ``sockets`` gives the counters of the Phoenix socket;
    ``quarantined`` is where an unreadable database was put at the start; ``engine_pid`` the
    engine's process, None while there is none; ``room`` what was chosen for lack of memory, and
    ``threads`` why the engine may have so many; ``template_fault`` is why it refuses chats."""

    turns: Turns
    ends: Ends
    durable: Callable[[], bool]
    model: Callable[[], str]
    sockets: Callable[[], Mapping[str, int]]
    engine_pid: Callable[[], int | None]
    quarantined: str | None = None
    room: str = ""
    threads: str = ""
    template_fault: Callable[[], str] = str


class Figures:
    """The node's figures: the tokens are counted, the others read on demand."""

    def __init__(self, sources: Sources, clock: Clock) -> None:
        self._sources = sources
        self._clock = clock
        self._started_ns = clock.now_ns()
        self._tokens = Rate()
        self._threads: int | None = None
        self._cache_use: CacheUse | None = None
        self._process = psutil.Process()

    def saw_tokens(self, count: int) -> None:
        """The engine has generated so many."""
        self._tokens.add(count, self._clock.now_ns())

    def saw_cache_use(self, use: CacheUse) -> None:
        """What came of the caches of prompts since the engine's start."""
        self._cache_use = use

    @property
    def cache(self) -> dict[str, int] | None:
        """The same by name; None before anything came of them."""
        return None if self._cache_use is None else asdict(self._cache_use)

    @property
    def room(self) -> str:
        """What was chosen for lack of memory."""
        return self._sources.room

    @property
    def threads_because(self) -> str:
        """Why the engine may have so many threads."""
        return self._sources.threads

    @property
    def threads(self) -> int | None:
        """How many the engine works with; None before it has said so."""
        return self._threads

    def saw_threads(self, number: int) -> None:
        """The engine works with so many now: fewer than at its start where the box is busy."""
        self._threads = number

    @property
    def tokens_per_second(self) -> int:
        """What the model has written in the last second."""
        return self._tokens.read(self._clock.now_ns())

    def read(self) -> dict[str, Any]:
        """The figures as they are now; ``degraded`` lists what is wrong, one sentence each."""
        sources, turns = self._sources, self._sources.turns
        durable, now_ns = sources.durable(), self._clock.now_ns()
        degraded = []
        if not turns.engine_is_well:
            degraded.append(f"the engine is {turns.engine}")
        if turns.outage:
            degraded.append("tasks that allow it are answered without the model")
        if turns.paused:
            degraded.append(PAUSED)
        fault = sources.template_fault()
        if fault:
            degraded.append(no_chats(fault))
        if not durable:
            degraded.append("the database refuses to write; tasks live in memory alone")
        if sources.quarantined is not None:
            degraded.append(unreadable(sources.quarantined))
        return {
            "at": wire.rfc3339(self._clock.wall_ns()),
            "uptime_ms": (now_ns - self._started_ns) // NS_PER_MS,
            "status": "degraded" if degraded else "ok",
            "degraded": degraded,
            "durable": durable,
            "quarantined": sources.quarantined,
            "engine": turns.engine,
            "model": sources.model(),
            "models": models_of(turns),
            "slots": turns.slots,
            "room": sources.room or None,
            "running": turns.busy,
            "queued": turns.waiting,
            "wait_ms": turns.wait_ms_at_end(),
            "threads": self._threads,
            "threads_because": sources.threads or None,
            "cache": self.cache,
            "tokens_per_second": self.tokens_per_second,
            "ended": sources.ends.counts,
            "memory_bytes": self._process.memory_info().rss,
            "engine_memory_bytes": _resident_bytes(sources.engine_pid()),
            "sockets": sources.sockets(),
        }


def _resident_bytes(pid: int | None) -> int | None:
    try:
        return None if pid is None else int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:  # it has died, and its successor is not ready yet
        return None


class _Listened:
    """Somebody joined."""


class _Push:
    """It is time to tell."""


_PUSH: Final = _Push()


class StatusActor(Actor):
    """Pushes the figures while somebody listens."""

    def __init__(self, pubsub: PubSub, figures: Figures) -> None:
        self._pubsub = pubsub
        self._figures = figures
        self._armed = False

    def started(self) -> None:
        # After a crash there may be listeners already.
        self._arm()

    def handle(self, message: object) -> None:
        if type(message) is _Push:
            self._armed = False
            if self._pubsub.subscribers(STATUS_TOPIC):
                self._pubsub.broadcast(STATUS_TOPIC, "status", Encoded.of(self._figures.read()))
        self._arm()

    def _arm(self) -> None:
        if not self._armed and self._pubsub.subscribers(STATUS_TOPIC):
            self._armed = True
            self.send_after(PUSH_MS, _PUSH)


class StatusChannel(Channel):
    """``node:status``. The join's reply has the figures as they are, `status` events follow.

    Open to everybody who may connect: the figures name nobody's tasks.
    """

    def __init__(self, actor_name: str, figures: Figures) -> None:
        self._actor_name = actor_name
        self._figures = figures

    def join(self, topic: str, payload: Any) -> Decision:
        actor = self.system.registry.whereis(self._actor_name)
        if actor is not None:
            actor.send(_Listened())
        return Ok(self._figures.read())
