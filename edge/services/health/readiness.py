"""Whether the node can do its work, found out by having it done: ``GET /readyz``.

A part is well when it has proved it within the last second: the engine by a step, the store by a
commit. While there is no such proof one is asked for, of the engine a single token and of the store
a commit of its own. What gives none within ``limit_ms`` has failed. So a part that hangs cannot
pass for well, and whoever asks is answered within the limit, whatever hangs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from edge.actors import Actor, Down, Ref, Reply
from edge.clock import NS_PER_MS, Clock
from edge.engine.messages import Finished, Generate, Output, Rejected, Sampling
from edge.errors import StorageError
from edge.inference import EngineDown, EngineGivenUp, EngineLost, Run, follow_engine
from edge.inference.box import free_memory_bytes
from edge.inference.pool import ENGINE_NAME
from edge.services.task.turns import Turns
from edge.settings import Health

FRESH_MS: Final = 1_000
"""An older proof proves nothing any more."""
SOON_MS: Final = 20
LAG_TICK_MS: Final = 250
LAG_WINDOW_TICKS: Final = 40

PROBE_KEY: Final = 0
"""The keys of turns begin at 1."""
_PROBE: Final = Generate(
    key=PROBE_KEY,
    # Long enough to be found again in the slot of the last probe: it takes no other's cache.
    prompt=" ".join(map(str, range(24))),
    messages=None,
    sampling=Sampling(max_tokens=1, temperature=0.0),
)

PAUSED: Final = (
    "the queue is paused: tasks are accepted and wait until somebody resumes it"
    " (elwift queue resume)"
)
"""What the admin has to know then; a start of the node resumes it, too."""

Status = Literal["ok", "degraded", "failed"]
Probed = Callable[[StorageError | None, int], object]


class ProbedStore(Protocol):
    """What is asked of the store; see `edge.storage.Store`."""

    @property
    def durable(self) -> bool: ...

    @property
    def quarantined(self) -> str | None: ...

    def probe(self, done: Probed) -> None: ...


class Look:
    """A call, answered with the report within ``limit_ms``."""


class _Tick:
    """It is time to see how late the loop is."""


class _Stepped:
    """The engine has made a step, which somebody waited for."""


class _TimeUp:
    """Whoever waits has waited long enough."""


@dataclass(frozen=True, slots=True)
class Part:
    """How one part of the node is; ``reason`` is a sentence unless it is ok."""

    status: Status
    reason: str | None
    figures: dict[str, Any]

    def document(self) -> dict[str, Any]:
        return {"status": self.status, "reason": self.reason, **self.figures}


def report(parts: dict[str, Part]) -> dict[str, Any]:
    """The parts as one document: unavailable when one has failed, degraded when one is."""
    kinds = {part.status for part in parts.values()}
    overall = "unavailable" if "failed" in kinds else "degraded" if "degraded" in kinds else "ok"
    return {
        "status": overall,
        "reasons": [part.reason for part in parts.values() if part.reason is not None],
        "parts": {name: part.document() for name, part in parts.items()},
    }


class Proof:
    """The last answer to whether something works, and the question for the next."""

    __slots__ = ("_answered_ns", "_asked_ns", "error")

    def __init__(self) -> None:
        self._answered_ns: int | None = None
        self._asked_ns: int | None = None
        self.error: str | None = None

    def ask(self, now_ns: int, since_ns: int) -> bool:
        """Asks unless there is an answer since then, or it is asked already; whether it did."""
        answered_ns = self._answered_ns
        if self._asked_ns is not None or (answered_ns is not None and answered_ns >= since_ns):
            return False
        self._asked_ns = now_ns
        return True

    def answer(self, now_ns: int, error: str | None = None) -> None:
        """It works, or it said why not."""
        self._answered_ns, self._asked_ns, self.error = now_ns, None, error

    def seen(self, at_ns: int) -> None:
        """It worked at this time, unasked: that answers what was asked before."""
        if at_ns >= max(self._answered_ns or 0, self._asked_ns or 0):
            self.answer(at_ns)

    @property
    def known(self) -> bool:
        """The question is answered."""
        return self._asked_ns is None and self._answered_ns is not None

    def silent_ms(self, now_ns: int) -> int:
        """How long the question has been under way; 0 when it is answered."""
        return 0 if self._asked_ns is None else (now_ns - self._asked_ns) // NS_PER_MS


class Steps:
    """When the engine last made a step: whoever hears of all of them calls `saw`.

    That is between the engine's bytes and the first frame, so a look at the health is only sent a
    message, and only while it waits for one: its own work, and its own faults, stay its own.
    """

    __slots__ = ("_clock", "_waiting", "last_ns")

    def __init__(self, clock: Clock) -> None:
        self.last_ns: int | None = None
        self._clock = clock
        self._waiting: Ref | None = None

    def saw(self) -> None:
        """There was one just now."""
        self.last_ns = self._clock.now_ns()
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.send(_Stepped())

    def tell_next(self, ref: Ref) -> None:
        """The health's actor is told of the next one."""
        self._waiting = ref

    def forget(self) -> None:
        """They were another engine's."""
        self.last_ns = None


@dataclass(frozen=True, slots=True)
class HealthSources:
    """Where the node's state is read. ``accepts`` says whether new tasks are taken, ``given_up``
    has the actors that failed for good although the node goes on, and why each did; ``room`` says
    what the model got for lack of memory, empty where it has all that it wants;
    ``template_fault`` why the engine refuses chats, empty where it does not; ``detached`` has the
    handlers of telemetry that raised."""

    turns: Turns
    store: ProbedStore
    steps: Steps
    accepts: Callable[[], bool]
    memory_free_bytes: Callable[[], int] = free_memory_bytes
    given_up: Mapping[str, str] = field(default_factory=dict)
    room: str = ""
    template_fault: Callable[[], str] = str
    detached: Callable[[], Sequence[str]] = tuple


class HealthActor(Actor):
    """Answers `Look`. Between two questions it measures the loop's lag and nothing else."""

    def __init__(self, sources: HealthSources, limits: Health) -> None:
        self._sources = sources
        self._limits = limits
        self._engine = Proof()
        self._store = Proof()
        self._probing = False
        self._disk_free_bytes: int | None = None
        self._waiting: list[Reply] = []
        self._lags_ms: list[int] = []
        self._tick_due_ns = 0

    def started(self) -> None:
        self._arm_tick()
        follow_engine(self, ENGINE_NAME)

    def handle(self, message: object) -> None:
        if isinstance(message, _Tick):
            late_ns = self.system.clock.now_ns() - self._tick_due_ns
            self._lags_ms = [*self._lags_ms[1 - LAG_WINDOW_TICKS :], late_ns // NS_PER_MS]
            self._arm_tick()
            return
        if isinstance(message, Finished | Rejected | EngineLost | Output):
            self._probe_answered(message)
        elif isinstance(message, EngineDown | EngineGivenUp | Down):
            # What this engine has done, or was asked, proves nothing of the next one.
            self._engine, self._probing = Proof(), False
            self._sources.steps.forget()
            if isinstance(message, Down):
                follow_engine(self, ENGINE_NAME)
        self._settle()
        if isinstance(message, _TimeUp) and self._waiting:
            # A timer of the loop may be early, by a millisecond.
            self.send_after(SOON_MS, message)

    def handle_call(self, _request: object, reply: Reply) -> None:
        self._waiting.append(reply)
        self._settle()
        if self._waiting:
            self.send_after(self._limits.limit_ms, _TimeUp())

    # ---- proofs

    def _ask(self, now_ns: int) -> None:
        since_ns = now_ns - FRESH_MS * NS_PER_MS
        turns = self._sources.turns
        if turns.engine == "ready":
            self._engine.ask(now_ns, since_ns)
            # While tasks run, the next step is the proof: a probe would be in their way.
            if not (self._engine.known or self._probing or turns.on_own_engine):
                self._probe_engine()
        if self._store.ask(now_ns, since_ns):
            self._sources.store.probe(self._store_answered)

    def _probe_engine(self) -> None:
        engine: Ref | None = self.system.registry.whereis(ENGINE_NAME)
        if engine is not None and engine.send(Run(_PROBE, self.ref)):
            self._probing = True
        else:
            self._engine.answer(self.system.clock.now_ns(), "the engine is being restarted")

    def _probe_answered(self, message: Finished | Rejected | EngineLost | Output) -> None:
        error = None
        self._probing = isinstance(message, Output)
        if isinstance(message, Rejected):
            error = f"the engine generates nothing: {message.message}"
        elif isinstance(message, EngineLost):
            error = f"the engine is gone: {message.reason}"
        self._engine.answer(self.system.clock.now_ns(), error)

    def _store_answered(self, error: StorageError | None, disk_free_bytes: int) -> None:
        if self.ref.alive:
            self._disk_free_bytes = disk_free_bytes
            self._store.answer(self.system.clock.now_ns(), None if error is None else str(error))
            self._settle()

    # ---- the answer

    def _settle(self) -> None:
        """Answers everybody who waits, once all is known and known of now, or one has failed."""
        if not self._waiting:
            return
        if self._sources.steps.last_ns is not None:
            self._engine.seen(self._sources.steps.last_ns)
        now_ns = self.system.clock.now_ns()
        # Of an engine that is out nothing is asked.
        engine_overdue = self._sources.turns.engine == "ready" and self._is_overdue(
            self._engine, now_ns
        )
        if not (engine_overdue or self._is_overdue(self._store, now_ns)):
            # Again: what was answered may have become old while the other was waited for.
            self._ask(now_ns)
            engine_known = self._engine.known or self._sources.turns.engine != "ready"
            if not (engine_known and self._store.known):
                self._sources.steps.tell_next(self.ref)
                return
        shown = report(self._parts(now_ns))
        waiting, self._waiting = self._waiting, []
        for reply in waiting:
            reply(shown)

    def _is_overdue(self, proof: Proof, now_ns: int) -> bool:
        return proof.silent_ms(now_ns) >= self._limits.limit_ms

    def _parts(self, now_ns: int) -> dict[str, Part]:
        limits = self._limits
        lag_ms = max(self._lags_ms, default=0)
        free = self._sources.memory_free_bytes()
        return {
            "engine": self._engine_part(now_ns),
            "store": self._store_part(now_ns),
            "queue": self._queue_part(),
            "loop": _at_most("the event loop was late by", lag_ms, limits.lag_max_ms, "lag_ms"),
            "disk": _room("disk", self._disk_free_bytes, limits.disk_free_min_mib),
            "memory": _room("memory", free, limits.memory_free_min_mib),
            "helpers": _helpers_part(self._sources.given_up, self._sources.detached()),
        }

    def _engine_part(self, now_ns: int) -> Part:
        turns = self._sources.turns
        figures = {
            "state": turns.engine, "room": self._sources.room or None, "models": models_of(turns)
        }  # fmt: skip
        if turns.engine != "ready" and turns.engine_is_well:
            # Nothing is asked of it, and others have its room.
            return Part("ok", None, figures)
        if turns.engine != "ready" and turns.fallback_slots:
            sentence = f"the engine is {turns.engine}; what allows it is answered without it"
            return Part("degraded", sentence, figures)
        if turns.engine != "ready":
            return Part("failed", f"the engine is {turns.engine}", figures)
        if not self._engine.known:
            silent_ms = self._engine.silent_ms(now_ns)
            return Part("failed", f"the engine has made no step for {silent_ms} ms", figures)
        error = self._engine.error
        fault = self._sources.template_fault()
        if error is None and fault:
            return Part("degraded", no_chats(fault), figures)
        return Part("ok" if error is None else "failed", error, figures)

    def _store_part(self, now_ns: int) -> Part:
        store = self._sources.store
        figures = {"durable": store.durable, "quarantined": store.quarantined}
        if not self._store.known:
            silent_ms = self._store.silent_ms(now_ns)
            return Part("failed", f"the database has not committed for {silent_ms} ms", figures)
        if self._store.error is not None or not store.durable:
            why = self._store.error or "the database refuses to write"
            return Part("degraded", f"{why}; tasks live in memory alone", figures)
        if store.quarantined is not None:
            return Part("degraded", unreadable(store.quarantined), figures)
        return Part("ok", None, figures)

    def _queue_part(self) -> Part:
        turns = self._sources.turns
        figures = {
            "waiting": turns.waiting, "waiting_max": turns.waiting_max, "paused": turns.paused
        }  # fmt: skip
        if not self._sources.accepts():
            return Part("failed", "the node is stopping", figures)
        if turns.paused:
            return Part("degraded", PAUSED, figures)
        if turns.full:
            return Part("degraded", "the queue is full", figures)
        return Part("ok", None, figures)

    def _arm_tick(self) -> None:
        self._tick_due_ns = self.system.clock.now_ns() + LAG_TICK_MS * NS_PER_MS
        self.send_after(LAG_TICK_MS, _Tick())


def models_of(turns: Turns) -> list[dict[str, Any]]:
    """What there is to say of the models that are in memory, or wanted, the node's own first."""
    return [
        {
            "model": each.model, "state": each.state, "needs_bytes": each.needs_bytes,
            "slots": each.slots, "running": each.running, "queued": each.waiting,
        }
        for each in turns.models()
    ]  # fmt: skip


def no_chats(template_fault: str) -> str:
    """What the admin has to know of a model whose chat template is of no use."""
    return f"chats are refused, and only single prompts run: {template_fault}"


def unreadable(kept_as: str) -> str:
    """What the admin has to know after an unreadable database was set aside."""
    return (
        "the database could not be read when the node started; it is kept as"
        f" {kept_as}, and its tasks are unknown here"
    )


def _helpers_part(given_up: Mapping[str, str], detached: Sequence[str]) -> Part:
    """Those without which the node goes on, though not for ever, and those that look on."""
    figures = {"given_up": sorted(given_up), "detached": list(detached)}
    failed = [f"the {name} has failed for good ({why})" for name, why in given_up.items()]
    failed += [f"{name} failed and hears no more of telemetry's events" for name in detached]
    if not failed:
        return Part("ok", None, figures)
    return Part("degraded", f"{'; '.join(failed)}; start the node anew", figures)


def _at_most(sentence: str, value_ms: int, max_ms: int, name: str) -> Part:
    bad = value_ms > max_ms
    return Part(
        "degraded" if bad else "ok", f"{sentence} {value_ms} ms" if bad else None, {name: value_ms}
    )


def _room(what: str, free_bytes: int | None, min_mib: int) -> Part:
    free_mib = None if free_bytes is None else free_bytes // 1_048_576
    bad = free_mib is not None and free_mib < min_mib
    return Part(
        "degraded" if bad else "ok",
        f"only {free_mib} MiB of {what} are free" if bad else None,
        {"free_bytes": free_bytes},
    )
