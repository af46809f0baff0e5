"""What happens to a world from outside, and when: drawn from the seed in advance, as plain data.

Each entry holds all that chance decides about it, so that entries can be left out without changing
the others: that is how a failure is shrunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

USERS: Final = ("ada", "bob", "cyd")
DEVICES: Final = 2
KINDS: Final = ("plain",) * 12 + ("overlong", "poison", "slow_poison")


@dataclass(frozen=True)
class Submit:
    """A client posts a task, again with the same body if it gets no answer."""

    number: int
    client: str
    kind: str
    size: int
    max_tokens: int
    stop: tuple[str, ...]
    priority: int
    schedule_in_ms: int
    own_id: bool
    key: str | None
    max_attempts: int
    timeout_ms: int | None
    watches: bool


@dataclass(frozen=True)
class Repeat:
    """The same submission again, from another thread of the same client."""

    number: int


@dataclass(frozen=True)
class Watch:
    """Its owner looks at the task on one of the devices."""

    number: int
    device: int


@dataclass(frozen=True)
class Leave:
    """And stops looking."""

    number: int
    device: int


@dataclass(frozen=True)
class Command:
    """Cancel or retry, over HTTP or over the channel; ``twice`` for an impatient finger."""

    number: int
    event: str
    http: bool
    then: str | None


@dataclass(frozen=True)
class Network:
    """``cut``: the client's socket breaks, the node hears of it after ``ms``; ``stall``: it stops
    reading for ``ms``."""

    user: str
    device: int
    what: str
    ms: int


@dataclass(frozen=True)
class Engine:
    """``crash``, ``hang``, ``kill``, ``fail_step``, or at the next load ``refuse``, ``crash_load``,
    ``hang_load``."""

    what: str


@dataclass(frozen=True)
class DiskFault:
    """``writes``, ``reads`` or ``both`` are refused, or commits are ``slow``, for ``ms``."""

    what: str
    ms: int


@dataclass(frozen=True)
class CrashActor:
    """An exception in an actor: ``task`` or ``channel`` of a task, ``dispatcher``, ``engine``; so
    many times in a row."""

    what: str
    number: int
    times: int


@dataclass(frozen=True)
class KillNode:
    """kill -9, or ``gently`` as an admin stops it; and started again after ``down_ms``."""

    down_ms: int
    gently: bool


@dataclass(frozen=True)
class SetClock:
    """Somebody sets the machine's wall clock, by so many seconds."""

    by_s: int


Entry = (
    Submit | Repeat | Watch | Leave | Command | Network | Engine | DiskFault | CrashActor
    | KillNode | SetClock
)  # fmt: skip
Script = tuple[tuple[int, Entry], ...]
"""Entries with their times in microseconds, in order."""


def draw(seed: int) -> Script:
    """The script of a seed. Some worlds are quiet, some have one kind of trouble, some all."""
    rng = Random(f"{seed} script")
    span_us = rng.choice((2_000_000, 8_000_000, 20_000_000))
    submissions = rng.randrange(1, 14)

    def moment_us(within_us: int) -> int:
        # Times on a coarse grid meet; times on a fine one come between everything else.
        grain_us = rng.choice((1_000_000, 50_000, 37))
        return rng.randrange(within_us) // grain_us * grain_us

    rush_us = rng.choice((1_000, span_us, span_us))
    entries: list[tuple[int, Entry]] = [
        (moment_us(rush_us), _submit(rng, number)) for number in range(submissions)
    ]
    for name in rng.sample(sorted(_TROUBLES), rng.randrange(len(_TROUBLES) + 1)):
        for _ in range(rng.randrange(1, 6)):
            at_us = moment_us(span_us)
            if rng.random() < 0.5:
                # While one of the tasks runs, probably.
                at_us = rng.choice(entries)[0] + moment_us(1_500_000)
            entries.append((at_us, _TROUBLES[name](rng, submissions)))
    return tuple(sorted(entries, key=lambda entry: entry[0]))


def _submit(rng: Random, number: int) -> Submit:
    return Submit(
        number=number,
        client=rng.choice(USERS),
        kind=rng.choice(KINDS),
        size=rng.randrange(1, 20),
        max_tokens=rng.choice((rng.randrange(1, 30), rng.randrange(1, 30), 80)),
        stop=rng.choice(((), (), ("END",), ("\n", "rain"))),
        priority=rng.choice((0, 0, 5, 9)),
        schedule_in_ms=rng.choice((0, 0, 0, rng.randrange(4_000))),
        own_id=rng.random() < 0.5,
        key=f"key {number}" if rng.random() < 0.4 else None,
        max_attempts=rng.randrange(1, 5),
        timeout_ms=rng.choice((None, None, None, rng.randrange(50, 2_000))),
        watches=rng.random() < 0.8,
    )


def _client_trouble(rng: Random, submissions: int) -> Entry:
    number = rng.randrange(submissions)
    device = rng.randrange(DEVICES)
    return rng.choice(
        (Repeat(number), Watch(number, device), Watch(number, device), Leave(number, device))
    )


def _command(rng: Random, submissions: int) -> Entry:
    event = rng.choice(("cancel", "retry"))
    then = rng.choice((None, None, "retry", "cancel"))
    return Command(rng.randrange(submissions), event, rng.random() < 0.7, then)


def _network(rng: Random, _submissions: int) -> Entry:
    what = rng.choice(("cut", "stall"))
    ms = rng.choice((0, 30, 1_000, 8_000))
    return Network(rng.choice(USERS), rng.randrange(DEVICES), what, ms)


def _engine(rng: Random, _submissions: int) -> Entry:
    whats = ("crash", "hang", "kill", "fail_step", "refuse", "crash_load", "hang_load")
    return Engine(rng.choice(whats))


def _disk(rng: Random, _submissions: int) -> Entry:
    whats = ("writes", "writes", "both", "reads", "slow")
    return DiskFault(rng.choice(whats), rng.choice((20, 300, 4_000)))


def _crash(rng: Random, submissions: int) -> Entry:
    what = rng.choice(("task", "task", "task", "channel", "channel", "dispatcher", "engine"))
    return CrashActor(what, rng.randrange(submissions), rng.choice((1, 1, 1, 2, 5)))


def _kill(rng: Random, _submissions: int) -> Entry:
    return KillNode(rng.choice((0, 10, 2_000)), rng.random() < 0.2)


def _clock(rng: Random, _submissions: int) -> Entry:
    day_s = 24 * 3_600
    by_s = rng.choice((30, 3_600, day_s, 40 * day_s, 3_650 * day_s, 3_000_000 * day_s))
    return SetClock(rng.choice((by_s, -by_s)))


_TROUBLES: Final = {
    "client": _client_trouble,
    "clock": _clock,
    "command": _command,
    "network": _network,
    "engine": _engine,
    "disk": _disk,
    "crash": _crash,
    "kill": _kill,
}
