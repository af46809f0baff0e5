"""The life of the engine process: one table of transitions, no process, no timer, no clock.

``Lifecycle.apply(event, now_ns)`` returns the effects that its owner carries out, in order. A pair
of state and event that is not in `TRANSITIONS` raises `IllegalTransition` and changes nothing.

::

    stopped ──Start──▶ loading ──Up──▶ ready ◀──Heard── stalled
                        │  ▲             └──Tick: silent──▶ │
                        │  │                                └──Tick: too long──▶ killed
                        │  └──TimeUp── backoff ◀── Exited, from any of them ───────┘
                        └──Refused──▶ refused ──Exited──▶ given_up ◀── Exited, restarts used up
                                                            └──TimeUp, after a long while──▶ loading
    Stop leads from every state to stopped, by way of stopping while there is a process.

A worker that dies of a processor fault before it is up, in fast mode, is started again in safe mode
at once: so the first load is also the probe of whether this machine can run the fast kernels.

There is one timer. `Arm` replaces the one before; its end is `TimeUp`, and while the engine is up
that is the watchdog's tick.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Any, Final

from edge.clock import NS_PER_MS
from edge.inference.deaths import Deaths
from edge.inference.policy import LifecyclePolicy

CRASH_SIGNALS: Final = frozenset(
    {signal.SIGILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGTRAP}
)
"""Deaths that the worker's own code brought about; a SIGKILL or SIGTERM came from elsewhere."""


class State(Enum):
    STOPPED = "stopped"
    LOADING = "loading"
    READY = "ready"
    STALLED = "stalled"
    KILLED = "killed"
    REFUSED = "refused"
    BACKOFF = "backoff"
    GIVEN_UP = "given_up"
    STOPPING = "stopping"


WITH_PROCESS: Final = frozenset(
    {State.LOADING, State.READY, State.STALLED, State.KILLED, State.REFUSED, State.STOPPING}
)
"""The states in which there is a process, or one is being started."""


# ---- events


@dataclass(frozen=True, slots=True)
class Start:
    """The engine is wanted."""


@dataclass(frozen=True, slots=True)
class Up:
    """The worker has loaded the model and decoded a token."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The worker says that this model cannot be used; the sentence is for people."""

    message: str


@dataclass(frozen=True, slots=True)
class Heard:
    """A sign of life from the decode loop."""


@dataclass(frozen=True, slots=True)
class TimeUp:
    """The timer of the last `Arm` has run out."""


@dataclass(frozen=True, slots=True)
class Exited:
    """The process is gone. ``code`` as in subprocess: negative for a signal, None when it could
    not even be started. ``reason`` is a sentence for people. ``culprit``: should it have died of
    what it was doing, it is known who asked for that. ``outside``: whether it was ended from
    outside rather than by what it was doing, where that is known by other signs."""

    code: int | None
    reason: str
    culprit: bool = False
    outside: bool | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """The engine is not wanted any more."""


Event = Start | Up | Refused | Heard | TimeUp | Exited | Stop


# ---- effects


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a worker."""

    safe: bool


@dataclass(frozen=True, slots=True)
class Kill:
    """End the process by force; `Exited` is to follow."""


@dataclass(frozen=True, slots=True)
class Shut:
    """Ask the process to exit; `Exited` is to follow."""


@dataclass(frozen=True, slots=True)
class Arm:
    """Set the one timer; the former one is void."""

    delay_ms: int


@dataclass(frozen=True, slots=True)
class Disarm:
    """The timer is void."""


@dataclass(frozen=True, slots=True)
class SendPing:
    """Ask the decode loop for a sign of life."""


@dataclass(frozen=True, slots=True)
class Probed:
    """It is known now whether the fast mode works here; ``exit_code`` is 0 when it does."""

    safe_mode: bool
    exit_code: int


@dataclass(frozen=True, slots=True)
class Stalled:
    """The engine has been silent for longer than is normal."""

    silent_ms: int


@dataclass(frozen=True, slots=True)
class Lost:
    """All that ran is lost. ``own_fault``: the engine crashed or hung by what it was doing, and
    was not ended from outside."""

    reason: str
    own_fault: bool


@dataclass(frozen=True, slots=True)
class BackingOff:
    """The next attempt comes in ``delay_ms``; ``deaths`` counts those within the window."""

    reason: str
    delay_ms: int
    deaths: int


@dataclass(frozen=True, slots=True)
class GaveUp:
    """There will be no further attempt for a long while unless somebody asks for one (`Start`).
    ``refused``: the worker itself said that it is of no use."""

    reason: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Stopped:
    """The engine was stopped as asked; no process is left."""


Effect = (
    Spawn | Kill | Shut | Arm | Disarm | SendPing | Probed | Stalled | Lost | BackingOff | GaveUp
    | Stopped
)  # fmt: skip


class IllegalTransition(Exception):
    """This cannot happen in this state; nothing was changed."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"{type(event).__name__} in state {state.value}")


class Lifecycle:
    """See the module. ``safe`` is remembered for as long as this object lives. `rng` spreads the
    waits. The owner sets ``fruitful`` when the present process has made a token."""

    def __init__(self, policy: LifecyclePolicy, rng: Random, *, safe: bool = False) -> None:
        self.policy = policy
        self.state = State.STOPPED
        self.safe = safe
        self.last_heard_ns = 0
        self.fruitful = False
        self._probed = safe
        self._ticked_ns = 0
        self._deaths = Deaths(policy, rng)
        self._killed_because = ""

    def apply(self, event: Event, now_ns: int) -> list[Effect]:
        """Moves on and says what is to be done for it, in this order."""
        transition = TRANSITIONS.get((self.state, type(event)))
        if transition is None:
            raise IllegalTransition(self.state, event)
        return transition(self, event, now_ns)

    def _load(self, _event: Start | TimeUp, _now_ns: int) -> list[Effect]:
        self.state = State.LOADING
        self.fruitful = False
        return [Spawn(self.safe), Arm(self.policy.load_timeout_ms)]

    def _start(self, event: Start, now_ns: int) -> list[Effect]:
        self._deaths.forget()
        return self._load(event, now_ns)

    def _up(self, _event: Up, now_ns: int) -> list[Effect]:
        self.state = State.READY
        self.last_heard_ns = self._ticked_ns = now_ns
        probed: list[Effect] = [] if self._probed else [Probed(safe_mode=False, exit_code=0)]
        self._probed = True
        return [*probed, Arm(self.policy.tick_ms)]

    def _refused(self, event: Refused, _now_ns: int) -> list[Effect]:
        self.state = State.REFUSED
        self._killed_because = event.message
        return [Disarm(), Kill()]

    def _refusal_over(self, _event: Exited, _now_ns: int) -> list[Effect]:
        self.state = State.GIVEN_UP
        reason, self._killed_because = self._killed_because, ""
        return [
            Lost(reason, own_fault=False),
            Arm(self.policy.given_up_ms),
            GaveUp(reason, refused=True),
        ]

    def _load_timeout(self, _event: TimeUp, _now_ns: int) -> list[Effect]:
        return self._kill(f"the model was not loaded within {self.policy.load_timeout_ms} ms")

    def _kill(self, because: str) -> list[Effect]:
        self.state = State.KILLED
        self._killed_because = because
        return [Disarm(), Kill()]

    def _tick(self, _event: TimeUp, now_ns: int) -> list[Effect]:
        policy = self.policy
        if now_ns - self._ticked_ns > policy.stall_report_ms * NS_PER_MS:
            # The node itself stood still (a debugger, a sleeping machine): that silence was ours.
            self.last_heard_ns = now_ns
        self._ticked_ns = now_ns
        silent_ms = (now_ns - self.last_heard_ns) // NS_PER_MS
        if silent_ms >= policy.stall_kill_ms:
            return self._kill(f"the engine made no step for {silent_ms} ms")
        effects: list[Effect] = [Arm(policy.tick_ms)]
        if self.state is State.READY and silent_ms >= policy.stall_report_ms:
            self.state = State.STALLED
            effects.append(Stalled(silent_ms))
        # Also after a silence: within a long step every `Ping` is answered for itself.
        return [*effects, SendPing()]

    def _heard(self, _event: Heard, now_ns: int) -> list[Effect]:
        self.state = State.READY
        self.last_heard_ns = now_ns
        return []

    def _late_sign(self, _event: Heard | Up | Refused, _now_ns: int) -> list[Effect]:
        """What was under way when the process was told to end."""
        return []

    def _died_loading(self, event: Exited, now_ns: int) -> list[Effect]:
        crashed = event.code is not None and -event.code in CRASH_SIGNALS
        if crashed and not self.safe:
            assert event.code is not None
            self.safe = self._probed = True
            return [
                Lost(event.reason, own_fault=True),
                Probed(safe_mode=True, exit_code=event.code),
                Spawn(safe=True),
                Arm(self.policy.load_timeout_ms),
            ]
        return self._died(event, now_ns)

    def _died(self, event: Exited, now_ns: int) -> list[Effect]:
        reason = self._killed_because or event.reason
        outside = event.outside
        if outside is None:
            by_others = event.code is None or (event.code < 0 and -event.code not in CRASH_SIGNALS)
            outside = by_others and not self._killed_because
        own_fault = not outside
        lost = Lost(reason, own_fault)
        self._killed_because = ""
        deaths = self._deaths.add(
            now_ns, fruitful=self.fruitful, explained=own_fault and event.culprit
        )
        if self._deaths.too_many:
            self.state = State.GIVEN_UP
            minutes = self.policy.deaths_window_ms / 60_000
            return [
                lost,
                Arm(self.policy.given_up_ms),
                GaveUp(f"the engine died {deaths} times in {minutes:g} minutes; last: {reason}"),
            ]
        self.state = State.BACKOFF
        delay_ms = self._deaths.delay_ms()
        return [lost, BackingOff(reason, delay_ms, deaths), Arm(delay_ms)]

    def _stop(self, _event: Stop, _now_ns: int) -> list[Effect]:
        self.state = State.STOPPING
        return [Shut(), Arm(self.policy.stop_ms)]

    def _stop_by_force(self, _event: Stop, _now_ns: int) -> list[Effect]:
        # A worker that loads reads no messages, and one that was killed will read none.
        self.state = State.STOPPING
        return [Disarm(), Kill()]

    def _stop_overdue(self, _event: TimeUp, _now_ns: int) -> list[Effect]:
        return [Disarm(), Kill()]

    def _stopped(self, event: Exited | Stop, _now_ns: int) -> list[Effect]:
        self.state = State.STOPPED
        self._killed_because = ""
        return [Lost("the engine was stopped", own_fault=False), Disarm(), Stopped()]

    def _still_stopping(self, _event: Stop, _now_ns: int) -> list[Effect]:
        return []


_Transition = Callable[[Lifecycle, Any, int], list[Effect]]

TRANSITIONS: Final[dict[tuple[State, type[Event]], _Transition]] = {
    (State.STOPPED, Start): Lifecycle._start,
    (State.STOPPED, Stop): Lifecycle._stopped,
    (State.LOADING, Up): Lifecycle._up,
    (State.LOADING, Refused): Lifecycle._refused,
    (State.LOADING, TimeUp): Lifecycle._load_timeout,
    (State.LOADING, Exited): Lifecycle._died_loading,
    (State.LOADING, Stop): Lifecycle._stop_by_force,
    (State.READY, Heard): Lifecycle._heard,
    (State.READY, TimeUp): Lifecycle._tick,
    (State.READY, Exited): Lifecycle._died,
    (State.READY, Stop): Lifecycle._stop,
    (State.STALLED, Heard): Lifecycle._heard,
    (State.STALLED, TimeUp): Lifecycle._tick,
    (State.STALLED, Exited): Lifecycle._died,
    (State.STALLED, Stop): Lifecycle._stop,
    (State.KILLED, Heard): Lifecycle._late_sign,
    (State.KILLED, Up): Lifecycle._late_sign,
    (State.KILLED, Refused): Lifecycle._late_sign,
    (State.KILLED, Exited): Lifecycle._died,
    (State.KILLED, Stop): Lifecycle._stop_by_force,
    (State.REFUSED, Heard): Lifecycle._late_sign,
    (State.REFUSED, Up): Lifecycle._late_sign,
    (State.REFUSED, Refused): Lifecycle._late_sign,
    (State.REFUSED, Exited): Lifecycle._refusal_over,
    (State.REFUSED, Stop): Lifecycle._stop_by_force,
    (State.BACKOFF, TimeUp): Lifecycle._load,
    (State.BACKOFF, Start): Lifecycle._start,
    (State.BACKOFF, Stop): Lifecycle._stopped,
    (State.GIVEN_UP, TimeUp): Lifecycle._load,
    (State.GIVEN_UP, Start): Lifecycle._start,
    (State.GIVEN_UP, Stop): Lifecycle._stopped,
    (State.STOPPING, Heard): Lifecycle._late_sign,
    (State.STOPPING, Up): Lifecycle._late_sign,
    (State.STOPPING, Refused): Lifecycle._late_sign,
    (State.STOPPING, TimeUp): Lifecycle._stop_overdue,
    (State.STOPPING, Exited): Lifecycle._stopped,
    (State.STOPPING, Stop): Lifecycle._still_stopping,
}
