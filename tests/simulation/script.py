"""What happens to a world from outside, and when: drawn from the seed in advance, as plain data.

Each entry holds all that chance decides about it, so that entries can be left out without changing
the others: that is how a failure is shrunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from tests.simulation.bodies import FAULTS

USERS: Final = ("ada", "bob", "cyd")
DEVICES: Final = 2
KINDS: Final = ("plain",) * 12 + ("overlong", "poison", "slow_poison")

BIG_EVERY: Final = 64
"""Of so many worlds one has hundreds of tasks."""

KEPT_EVERY: Final = 20
"""Of so many worlds one keeps its rows in a real database: its history can be asked for, and old
tasks are cleared away."""


PAUSED_EVERY: Final = 6
"""Of so many worlds one has somebody who pauses its line."""


def is_big(seed: int) -> bool:
    """Whether the world of this seed has hundreds of tasks."""
    return seed % BIG_EVERY == BIG_EVERY - 1


def is_kept(seed: int) -> bool:
    """Whether the world of this seed has a real database."""
    return seed % KEPT_EVERY == KEPT_EVERY - 1


@dataclass(frozen=True)
class Submit:
    """A client posts a task, again with the same body if it gets no answer. ``spelling`` is how
    its id is written, if it makes one; ``watches``: by ``channel``, by ``events`` or not at all;
    ``asks_for`` is one of its users."""

    number: int
    client: str
    kind: str
    size: int
    max_tokens: int
    stop: tuple[str, ...]
    priority: int
    schedule_in_ms: int
    own_id: bool
    spelling: str
    key: str | None
    max_attempts: int
    timeout_ms: int | None
    watches: str
    asks_for: str | None


@dataclass(frozen=True)
class Repeat:
    """The same submission again, from another thread of the same client."""

    number: int


@dataclass(frozen=True)
class Invalid:
    """A client posts a body with a fault of this kind."""

    number: int
    client: str
    fault: str


@dataclass(frozen=True)
class Follow:
    """A client looks at all of its tasks on one of its devices."""

    user: str
    device: int


@dataclass(frozen=True)
class Unfollow:
    """And stops looking."""

    user: str
    device: int


@dataclass(frozen=True)
class Listen:
    """Its owner looks at the task as a stream of events."""

    number: int


@dataclass(frozen=True)
class Page:
    """A client reads its history, so many tasks a page."""

    user: str
    limit: int


@dataclass(frozen=True)
class Export:
    """A client wants its tasks as a file, so many times at once."""

    user: str
    times: int


@dataclass(frozen=True)
class Pause:
    """Somebody pauses the line for ``ms``, and reads it meanwhile."""

    user: str
    ms: int


@dataclass(frozen=True)
class LookAtHealth:
    """Somebody asks whether the node is well."""


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
    """An exception in an actor, so many times in a row: ``task`` or ``channel`` of a task, ``mine``
    (the channels of those who look at all), ``follower``, ``engine``, ``health``, ``janitor``."""

    what: str
    number: int
    times: int


@dataclass(frozen=True)
class KillNode:
    """kill -9, or ``gently`` as an admin stops it; and started again after ``down_ms``."""

    down_ms: int
    gently: bool


@dataclass(frozen=True)
class Freeze:
    """The node's process gets no processor for ``ms``: all that comes meanwhile comes at once."""

    ms: int


@dataclass(frozen=True)
class SetClock:
    """Somebody sets the machine's wall clock, by so many seconds."""

    by_s: int


Entry = (
    Submit | Repeat | Invalid | Watch | Leave | Follow | Unfollow | Listen | Command | Page
    | Export | LookAtHealth | Network | Engine | DiskFault | CrashActor | KillNode | SetClock
    | Freeze | Pause
)  # fmt: skip
Script = tuple[tuple[int, Entry], ...]
"""Entries with their times in microseconds, in order."""


def draw(seed: int) -> Script:
    """The script of a seed. Some worlds are quiet, some have one kind of trouble, some all."""
    rng = Random(f"{seed} script")
    big = is_big(seed)
    span_us = rng.choice((2_000_000, 8_000_000, 20_000_000))
    submissions = rng.randrange(120, 320) if big else rng.randrange(1, 14)

    def moment_us(within_us: int) -> int:
        # Times on a coarse grid meet; times on a fine one come between everything else.
        grain_us = rng.choice((1_000_000, 50_000, 37))
        return rng.randrange(within_us) // grain_us * grain_us

    rush_us = rng.choice((1_000, span_us, span_us))
    due_us = span_us // 2 if big and rng.random() < 0.7 else None
    entries: list[tuple[int, Entry]] = []
    for number in range(submissions):
        at_us = moment_us(rush_us)
        entries.append((at_us, _submit(rng, number, at_us, due_us)))
    if due_us is not None and rng.random() < 0.6:
        entries.append((due_us - rng.randrange(300_000), Freeze(1_000)))
    if rng.random() < 0.5:
        # Everybody has a program open that looks at all.
        entries += [(0, Follow(user, rng.randrange(DEVICES))) for user in USERS]
    kinds = sorted(_TROUBLES if is_kept(seed) else _TROUBLES.keys() - _OF_A_DATABASE)
    for name in rng.sample(kinds, rng.randrange(len(kinds) + 1)):
        for _ in range(rng.randrange(1, 6)):
            at_us = moment_us(span_us)
            if rng.random() < 0.5:
                # While one of the tasks runs, probably.
                at_us = rng.choice(entries)[0] + moment_us(1_500_000)
            entries.append((at_us, _TROUBLES[name](rng, submissions)))
    if seed % PAUSED_EVERY == PAUSED_EVERY - 1:
        entries += _pauses(Random(f"{seed} pauses"), span_us)
    return tuple(sorted(entries, key=lambda entry: entry[0]))


def _pauses(rng: Random, span_us: int) -> list[tuple[int, Entry]]:
    """Now and then, for longer than tasks take and for no time at all."""
    return [
        (rng.randrange(span_us), Pause(rng.choice(USERS), rng.choice((0, 400, 3_000))))
        for _ in range(rng.randrange(1, 4))
    ]


def _submit(rng: Random, number: int, at_us: int, due_us: int | None) -> Submit:
    """Most of a big world's tasks are scheduled for one instant, if it has one."""
    schedule_in_ms = rng.choice((0, 0, 0, rng.randrange(4_000)))
    if due_us is not None and at_us < due_us and rng.random() < 0.8:
        schedule_in_ms = (due_us - at_us) // 1_000
    return Submit(
        number=number,
        client=rng.choice(USERS),
        kind=rng.choice(KINDS),
        size=rng.randrange(1, 20),
        max_tokens=rng.choice((rng.randrange(1, 30), rng.randrange(1, 30), 80, 80, 200)),
        stop=rng.choice(((), (), ("END",), ("\n", "rain"))),
        priority=rng.choice((0, 0, 5, 9)),
        schedule_in_ms=schedule_in_ms,
        own_id=rng.random() < 0.5,
        spelling=rng.choice(("canonical", "canonical", "capitals", "bare", "urn")),
        key=f"key {number}" if rng.random() < 0.4 else None,
        max_attempts=rng.randrange(1, 5),
        timeout_ms=rng.choice((None, None, None, rng.randrange(50, 2_000))),
        watches=rng.choice(("channel",) * 6 + ("events",) * 2 + ("not",) * 2),
        asks_for=(None, None, "dee", "eli")[number % 4],
    )


def _client_trouble(rng: Random, submissions: int) -> Entry:
    number = rng.randrange(submissions)
    device = rng.randrange(DEVICES)
    return rng.choice(
        (
            Repeat(number), Watch(number, device), Watch(number, device), Leave(number, device),
            Listen(number),
        )
    )  # fmt: skip


def _follower(rng: Random, _submissions: int) -> Entry:
    user, device = rng.choice(USERS), rng.randrange(DEVICES)
    return rng.choice((Follow(user, device), Follow(user, device), Unfollow(user, device)))


def _invalid(rng: Random, submissions: int) -> Entry:
    number = submissions + rng.randrange(1_000_000)
    return Invalid(number, rng.choice(USERS), rng.choice(sorted(FAULTS)))


def _health(_rng: Random, _submissions: int) -> Entry:
    return LookAtHealth()


def _archive(rng: Random, _submissions: int) -> Entry:
    user = rng.choice(USERS)
    page = Page(user, rng.choice((1, 2, 5, 50)))
    return rng.choice((page, page, Export(user, rng.choice((1, 3)))))


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
    what = rng.choice(("task",) * 3 + ("channel",) * 2 + _ACTORS)
    return CrashActor(what, rng.randrange(submissions), rng.choice((1, 1, 1, 2, 5)))


def _kill(rng: Random, _submissions: int) -> Entry:
    return KillNode(rng.choice((0, 10, 2_000)), rng.random() < 0.2)


def _freeze(rng: Random, _submissions: int) -> Entry:
    return Freeze(rng.choice((50, 700, 2_000)))


def _clock(rng: Random, _submissions: int) -> Entry:
    day_s = 24 * 3_600
    by_s = rng.choice((30, 3_600, day_s, 40 * day_s, 3_650 * day_s, 3_000_000 * day_s))
    return SetClock(rng.choice((by_s, -by_s)))


_ACTORS: Final = ("mine", "follower", "engine", "health", "janitor")

_TROUBLES: Final = {
    "archive": _archive,
    "client": _client_trouble,
    "clock": _clock,
    "command": _command,
    "follower": _follower,
    "freeze": _freeze,
    "health": _health,
    "invalid": _invalid,
    "network": _network,
    "engine": _engine,
    "disk": _disk,
    "crash": _crash,
    "kill": _kill,
}
_OF_A_DATABASE: Final = {"archive"}
