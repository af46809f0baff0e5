"""Who waits, who runs, and who is next: one object, called directly, that no crash takes along.

The order is start-time fair queueing (Goyal, Vin and Cheng, "Start-time Fair Queueing: A Scheduling
Algorithm for Integrated Services Packet Switching Networks", SIGCOMM 1996). Time is counted in
tokens of the model's work. Each client is a *flow*. A task that comes gets a *start tag*: the
virtual time, or where its flow's last task ends if that is later; and its flow ends later by what
the task is expected to cost, its prompt's tokens and those of its answer. The lowest tag is served
first, and the virtual time is the highest tag served so far. So a client that asks for a thousand
answers has tags far ahead, and one that comes with a single question is next; what a client has
running counts, and an answer of 4,000 tokens costs four hundred times one of 10. Once the true cost
is known the flow is settled by the difference.

A client may ask for several users: then each has a flow, and they share what the client gets. While
n of its flows have something, a task ends its flow n times as much later; and those who had nothing
come in one after the other, as the tasks of one flow would. So one user's thousand does not stand
before another's question, and who makes users up gains little. Flows and tags are of
`edge.tasks.flows`.

A line is that of one model, which has slots of its own. What the lines of several have in common is
`Shared`: so a client has one account for all that it asks, of whichever model.

A priority is a bounded head start. Level n stands behind what level 0 could do in n steps of time,
and no task waits longer than those n steps for being of its level: then it stands where its tag
alone puts it, and those of its level that are before it stand there too. Within a level the order
is that of the tags at all times: a question that comes now does not stand behind a thousand others
of its level for their having waited long.

A task that lost its turn (its engine died, or the node) comes back with the tag that it had, which
is lower than nearly all others'. The tag belongs to the task and is stored with it, so that a line
is rebuilt after a start by putting all back.

Pure: the time is an argument, and whoever owns the line carries its grants out.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice, takewhile
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

from edge.clock import NS_PER_MS
from edge.tasks.flows import Flows
from edge.tasks.ranked import Ahead, Ranked

LEVELS: Final = 10
LEVEL_DEFAULT: Final = 5
"""In the middle: a client can ask for less as well as for more."""

AGED_AT_ONCE_MAX: Final = 64
"""Tasks found to have waited out their level in one call. Each does so once, and takes at least two
calls to come and to go, so those that are due never pile up for long."""

_Rank: TypeAlias = tuple[float, int]

_CAME_BACK: Final = -(1 << 62)
"""Of equal tags, those that had their turn already go first, in the order in which they come."""


@dataclass(slots=True, eq=False)
class Entry:
    """A task in the line, waiting or running.

    ``owner`` is whom its grant is for; the line only keeps it. ``alone``: it may have ended an
    engine, so it runs with nobody beside it until it is `Line.cleared`. ``fallback_only``: the
    model can do nothing for it. ``may_fall_back``: something else may answer it. ``tag`` is its
    start tag, None for one that never had one. ``model`` is by which line it is chosen, where there
    are several. ``aged``: it has waited its level out.
    """

    task_id: str
    flow: str
    level: int
    prompt_tokens: int
    output_tokens: int
    owner: Any
    tag: float | None = None
    model: str | None = None
    alone: bool = False
    fallback_only: bool = False
    may_fall_back: bool = False
    rank: _Rank = field(default=(0.0, 0), init=False)
    aged_ns: int = field(default=0, init=False)
    aged: bool = field(default=False, init=False)
    weight: int = field(default=1, init=False)

    @property
    def marked(self) -> bool:
        return self.may_fall_back

    @property
    def cost_tokens(self) -> int:
        """What it is expected to cost."""
        return self.prompt_tokens + self.output_tokens


class Mark(NamedTuple):
    """A place in the order that stays where it is, whoever comes and goes: the part of the line (0
    for those that run alone, then the levels, then those for the fallback) and the rank in it."""

    part: int
    tag: float
    number: int


class Grant(NamedTuple):
    """It is this entry's turn, under ``key``; on the engine, or on the fallback."""

    key: int
    entry: Entry
    fallback: bool


class Running(NamedTuple):
    """What has its turn, since when."""

    entry: Entry
    since_ns: int
    fallback: bool


@dataclass(slots=True)
class Shared:
    """What the lines of several models have in common: what clients owe, the keys of turns, which
    are counted up, and the places of the fallback."""

    fallback_slots: int = 0
    flows: Flows = field(default_factory=Flows)
    last_key: int = 0
    on_fallback: int = 0


class Line:
    """See the module. ``slots`` and `Shared.fallback_slots` are how many may have their turn at a
    time; both may change at any time. While it is ``paused`` nobody gets a turn; ``outage`` says
    that the engine is out for so long that who may be answered otherwise is.

    ``tokens_per_ms`` is what the engine makes at most, for head starts.
    """

    def __init__(self, *, step_ms: int, shared: Shared | None = None) -> None:
        self.shared = shared or Shared()
        self.flows = self.shared.flows
        self.slots = 0
        self.paused = False
        self.outage = False
        self.tokens_per_ms = 0.1
        self._step_ms = step_ms
        self._number = 0
        self._entries: dict[str, Entry] = {}  # all that wait
        # Of each level, all by their tags, and those that have waited it out. How far one stands
        # behind the level before changes with the pace of the model; within one the order does not.
        self._levels: list[Ranked[Entry]] = [Ranked() for _ in range(LEVELS)]
        self._aged: list[Ranked[Entry]] = [Ranked() for _ in range(LEVELS)]
        self._suspects: OrderedDict[str, Entry] = OrderedDict()
        self._fallback_only: Ranked[Entry] = Ranked()
        self._running: dict[int, Running] = {}
        self._busy_slots = 0
        self._alone: int | None = None  # the key of the one that runs with nobody beside it
        # Those that wait for their level to be over, by when it is.
        self._ageing: list[OrderedDict[str, Entry]] = [OrderedDict() for _ in range(LEVELS)]

    # ---- what there is

    @property
    def waiting(self) -> int:
        """How many wait for a turn of any kind."""
        return len(self._entries)

    @property
    def waiting_for_model(self) -> int:
        """How many of them wait for the model: all but those that it can do nothing for."""
        return len(self._entries) - len(self._fallback_only)

    @property
    def running(self) -> int:
        """How many have their turn."""
        return len(self._running)

    @property
    def busy_slots(self) -> int:
        """How many slots of the engine are taken."""
        return self._busy_slots

    def turn(self, key: int) -> Running | None:
        """The turn of this key, while it lasts."""
        return self._running.get(key)

    def turns(self) -> Iterator[Running]:
        """All that have their turn."""
        return iter(self._running.values())

    def turns_by_key(self) -> Iterable[tuple[int, Running]]:
        """The same with their keys, the first given first."""
        return self._running.items()

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._entries

    def entry(self, task_id: str) -> Entry | None:
        """The entry of a task that waits."""
        return self._entries.get(task_id)

    def in_order(self, start: int = 0, count: int | None = None) -> Iterator[Entry]:
        """Those that wait, as they would be served if nothing came between."""
        stop = None if count is None else start + count
        return islice(self._all(), start, stop)

    def _all(self) -> Iterator[Entry]:
        return self.behind(Mark(0, -math.inf, 0))

    def mark(self, entry: Entry) -> Mark:
        """The place of one that waits."""
        if entry.fallback_only:
            part = LEVELS + 1
        else:
            part = 0 if entry.task_id in self._suspects else entry.level + 1
        return Mark(part, *entry.rank)

    def behind(self, mark: Mark) -> Iterator[Entry]:
        """Those that wait, in order, from behind a place on; also when nobody stands there any
        more. Of those that run alone, who are few, all are said again then."""
        here = mark.tag, mark.number
        if mark.part == 0:
            ranks = [each.rank for each in self._suspects.values()]
            begun = ranks.index(here) + 1 if here in ranks else 0
            yield from islice(self._suspects.values(), begun, None)
        if mark.part <= LEVELS:
            parts = (
                self._with_standings(level, self._from(mark, level)) for level in range(LEVELS)
            )
            for _, entry in merge(*parts, key=itemgetter(0)):
                yield entry
        rank = _behind(here) if mark.part > LEVELS else _FIRST
        yield from self._fallback_only.iter_from(rank)

    def _from(self, mark: Mark, level: int) -> _Rank:
        """From which rank on a level is behind this place."""
        if mark.part == 0:
            return _FIRST
        here, own = (mark.tag, mark.number), mark.part - 1
        if own == level:
            return _behind(here)
        aged = self._aged[own].first_from(here)
        standing = mark.tag + own * self._head_start, mark.number
        return self._same_as(_behind(standing if aged is None else min(standing, aged.rank)), level)

    # ---- coming and going

    def enqueue(
        self, entry: Entry, now_ns: int, *, returning: bool = False, first: bool = False
    ) -> None:
        """Puts a task in its place, and gives it a tag if it has none. One that is in the line
        already keeps its tag and has the new entry's say otherwise. ``returning``: it had its turn
        and goes before those with the same tag. ``first``, of those that run alone: it is the most
        suspect of them."""
        self._age(now_ns)
        before = self._entries.get(entry.task_id)
        self._number += 1
        number = self._number + _CAME_BACK if returning else self._number
        if before is not None:
            entry.tag, number = before.tag, before.rank[1]
            self._take_out(before)
        entry.tag, entry.weight = tag, _ = self.flows.waits(
            entry.task_id, entry.flow, entry.cost_tokens, entry.tag,
            before.weight if before else None,
        )  # fmt: skip
        self._entries[entry.task_id] = entry
        entry.rank = (tag, number)
        entry.aged_ns = before.aged_ns if before else now_ns + self._level_ns(entry)
        if entry.fallback_only:
            self._stop_ageing(entry)
            self._fallback_only.add(entry)
        elif entry.alone:
            self._stop_ageing(entry)
            self._suspects[entry.task_id] = entry
            self._suspects.move_to_end(entry.task_id, last=not first)
        else:
            self._levels[entry.level].add(entry)
            if entry.aged_ns > now_ns:
                # Those of a level age in the order in which they come, since all wait equally
                # long; one that is there already keeps its place among them.
                self._ageing[entry.level][entry.task_id] = entry
            elif entry.level:
                self._has_aged(entry)

    def _level_ns(self, entry: Entry) -> int:
        """For how long it may have to wait for being of its level."""
        return entry.level * self._step_ms * NS_PER_MS

    def _stop_ageing(self, entry: Entry) -> None:
        self._ageing[entry.level].pop(entry.task_id, None)

    def _standing(self, entry: Entry) -> _Rank:
        """Where it stands among those of all levels: behind the head start of its betters, but
        before the next of its own level that has waited that out."""
        return self._before_aged(entry, self._aged[entry.level].first_from(entry.rank))

    def _before_aged(self, entry: Entry, aged: Entry | None) -> _Rank:
        tag, number = entry.rank
        standing = tag + entry.level * self._head_start, number
        return standing if aged is None else min(standing, aged.rank)

    def _with_standings(self, level: int, rank: _Rank) -> Iterator[tuple[_Rank, Entry]]:
        """All of a level from a rank on, with their standings, in order."""
        all_aged = self._aged[level].iter_from(rank)
        aged = next(all_aged, None)
        for entry in self._levels[level].iter_from(rank):
            while aged is not None and aged.rank < entry.rank:
                aged = next(all_aged, None)
            yield self._before_aged(entry, aged), entry

    @property
    def _head_start(self) -> int:
        """What the model makes in a step of time. Whole, as tags are, so that sums are exact."""
        return round(self._step_ms * self.tokens_per_ms)

    def _age(self, now_ns: int) -> None:
        """Finds those that have waited out their level."""
        left = AGED_AT_ONCE_MAX
        for ageing in self._ageing:
            while ageing and left and (entry := next(iter(ageing.values()))).aged_ns <= now_ns:
                self._stop_ageing(entry)
                left -= 1
                self._has_aged(entry)

    def _has_aged(self, entry: Entry) -> None:
        entry.aged = True
        self._aged[entry.level].add(entry)

    def withdraw(self, task_id: str) -> bool:
        """Takes out a task that waits, whose flow does not pay for it; False when it does not."""
        entry = self._entries.get(task_id)
        if entry is None:
            return False
        self._take_out(entry)
        self._stop_ageing(entry)
        self.flows.settle(entry.flow, -entry.weight * entry.cost_tokens)
        return True

    def _take_out(self, entry: Entry) -> None:
        del self._entries[entry.task_id]
        self.flows.leaves(entry.flow)
        if entry.fallback_only:
            self._fallback_only.remove(entry)
        elif self._suspects.pop(entry.task_id, None) is None:
            self._levels[entry.level].remove(entry)
            if entry.aged:
                self._aged[entry.level].remove(entry)
                entry.aged = False

    # ---- turns

    def grant(self, now_ns: int) -> Grant | None:
        """The next turn, if there is one to give. To be called until there is none."""
        if self.paused:
            return None
        self._age(now_ns)
        free = self._busy_slots < self.slots and self._alone is None
        if free and self._suspects:
            # Beside others it could not be told which of them ended the engine.
            entry = next(iter(self._suspects.values()))
            grant = self._give(entry, now_ns, fallback=False)
            self._alone = grant.key
            return grant
        if free and (chosen := self._first(Ranked.first)) is not None:
            return self._give(chosen, now_ns, fallback=False)
        if self.shared.on_fallback < self.shared.fallback_slots:
            other = self._fallback_only.first()
            if other is None and self.outage:
                other = self._first_suspect_to_divert() or self._first(Ranked.first_marked)
            if other is not None:
                return self._give(other, now_ns, fallback=True)
        return None

    def _first(self, of: Callable[[Ranked[Entry]], Entry | None]) -> Entry | None:
        """The first of those that each level has."""
        firsts = (first for level in self._levels if (first := of(level)) is not None)
        return min(firsts, key=self._standing, default=None)

    def _first_suspect_to_divert(self) -> Entry | None:
        return next((each for each in self._suspects.values() if each.may_fall_back), None)

    def _give(self, entry: Entry, now_ns: int, *, fallback: bool) -> Grant:
        self._take_out(entry)
        self._stop_ageing(entry)
        assert entry.tag is not None, "it was given one"
        self.flows.runs(entry.flow)
        if fallback:
            self.shared.on_fallback += 1
        else:
            self._busy_slots += 1
            self.flows.serves(entry.tag)
        self.shared.last_key += 1
        key = self.shared.last_key
        self._running[key] = Running(entry, now_ns, fallback)
        return Grant(key, entry, fallback)

    def cleared(self, key: int) -> None:
        """The one that runs alone has made a token: it was not the one that ended the engine."""
        if key == self._alone:
            self._alone = None

    def release(self, key: int, spent_tokens: int | None) -> bool:
        """A turn is over; its flow is settled by what the task has really cost, unless it comes
        back (None). False when there is no such turn."""
        running = self._running.pop(key, None)
        if running is None:
            return False
        self.cleared(key)
        if running.fallback:
            self.shared.on_fallback -= 1
        else:
            self._busy_slots -= 1
        entry = running.entry
        more = None if spent_tokens is None else entry.weight * (spent_tokens - entry.cost_tokens)
        self.flows.ran(entry.flow, more)
        return True

    # ---- places

    def all(self) -> Ahead:
        """All that wait for the engine."""
        ahead = _sum(self._suspects.values())
        for level in self._levels:
            ahead = _add(ahead, level.before_rank((math.inf, 0)))
        return ahead

    def ahead(self, task_id: str, now_ns: int) -> Ahead | None:
        """What is served before this task; None when it does not wait."""
        entry = self._entries.get(task_id)
        if entry is None:
            return None
        self._age(now_ns)
        if entry.fallback_only:
            return self._fallback_only.before(entry)
        if entry.task_id in self._suspects:
            return _sum(takewhile(lambda each: each is not entry, self._suspects.values()))
        ahead = _sum(self._suspects.values())
        standing = self._standing(entry)
        for number, level in enumerate(self._levels):
            rank = entry.rank if number == entry.level else self._same_as(standing, number)
            ahead = _add(ahead, level.before_rank(rank))
        return ahead

    def passed_below_tag(self, entry: Entry) -> float:
        """Newcomers of the default level pass one that waits when they start before this."""
        # Those of one level go by their tags, whether they have waited it out or not.
        late = not entry.aged or entry.level == LEVEL_DEFAULT
        levels = (entry.level if late else 0) - LEVEL_DEFAULT
        return entry.rank[0] + levels * self._head_start

    def _same_as(self, standing: _Rank, level: int) -> _Rank:
        """The rank that has this standing in a level: all lower ones, and no others, are served
        before it."""
        rank = standing[0] - level * self._head_start, standing[1]
        aged = self._aged[level].last_before(standing)
        return rank if aged is None else max(rank, (aged.rank[0], aged.rank[1] + 1))


_FIRST: Final = (-math.inf, 0)
"""The rank of nobody: all are behind it."""


def _behind(rank: _Rank) -> _Rank:
    """The next rank, or standing."""
    return rank[0], rank[1] + 1


def _sum(entries: Iterable[Entry]) -> Ahead:
    listed = list(entries)
    return Ahead(
        len(listed),
        sum(each.prompt_tokens for each in listed),
        sum(each.output_tokens for each in listed),
    )


def _add(one: Ahead, other: Ahead) -> Ahead:
    return Ahead(*(mine + theirs for mine, theirs in zip(one, other, strict=True)))
