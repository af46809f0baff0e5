"""Which models are in memory, when there is room for some of several: pure, like the life of one.

``Residency.apply(event, now_ns)`` returns the effects that its owner carries out, in order. Each
model has an engine process of its own, and all together stay within a budget of memory::

    absent ──wanted, and there is room──▶ loading ──Up──▶ ready ──Hold──▶ held
      ▲                                      │             │ ▲───Open─────┘ │
      │                                      ▼ Failed      ▼ idle           ▼ nothing runs
      └───────────────────Gone──────────── leaving ◀────────────────────────┘

A model is loaded when a task of it waits. Where there is no room, those go that are idle, the one
first that was used longest ago. If that is not enough, one that works is *held*: what runs goes on
to its end, but nobody else of it has a turn, and then it goes. That happens only after it
has been ready for ``share_ms``: two models that do not fit beside each other take turns, and
do not spend their time loading. Whoever is wanted longest is served first, so that a large model
is not kept waiting by small ones that come later.

A model that is idle goes after its ``keep_alive_ms``. One that is too large for the budget, or that
fails, is refused: that is for its own tasks, and changes nothing for the others.

There is one timer. `Arm` replaces the one before; its end is `TimeUp`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from edge.clock import NS_PER_MS

UNUSED_MS: Final = 10_000
"""So long at least one has that is wanted and has given no turn since it is ready: or it would be
loaded in vain, again and again, where no share is promised."""


class Place(Enum):
    LOADING = "loading"
    READY = "ready"
    HELD = "held"
    LEAVING = "leaving"


# ---- events


@dataclass(frozen=True, slots=True)
class Wanted:
    """A task of this model waits, or one more of them. It needs so much memory, and stays for so
    long when it is idle; None is for as long as there is room."""

    model: str
    needs_bytes: int
    keep_alive_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Unwanted:
    """No task of this model waits any more."""

    model: str


@dataclass(frozen=True, slots=True)
class Began:
    """A task of it has its turn."""

    model: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A turn of it is over."""

    model: str


@dataclass(frozen=True, slots=True)
class Up:
    """Its engine takes requests; also after a restart."""

    model: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Its engine cannot be had, for a reason that is a sentence; what ran in it has been told."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Gone:
    """Its process is gone, as it was told with `Unload`."""

    model: str


@dataclass(frozen=True, slots=True)
class TimeUp:
    """The timer of the last `Arm` has run out."""


Event = Wanted | Unwanted | Began | Ended | Up | Failed | Gone | TimeUp


# ---- effects


@dataclass(frozen=True, slots=True)
class Load:
    """Start an engine with it; `Up` or `Failed` is to follow."""

    model: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Give it no more turns."""

    model: str


@dataclass(frozen=True, slots=True)
class Open:
    """Give it turns again."""

    model: str


@dataclass(frozen=True, slots=True)
class Unload:
    """Stop its engine, in which nothing runs; `Gone` is to follow."""

    model: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Its tasks that wait cannot have it, for this reason."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Arm:
    """Set the one timer; the former one is void."""

    delay_ms: int


@dataclass(frozen=True, slots=True)
class Disarm:
    """The timer is void."""


Effect = Load | Hold | Open | Unload | Refuse | Arm | Disarm


@dataclass(slots=True)
class _Wish:
    """What was said of a model with its newest task that waits."""

    needs_bytes: int
    keep_alive_ms: int | None


@dataclass(slots=True)
class _Resident:
    """A model that has memory. ``since_ns`` is when it was ready, ``used_ns`` when it was used;
    ``gave_turns``: it has been since it is ready."""

    needs_bytes: int
    keep_alive_ms: int | None
    used_ns: int
    place: Place = Place.LOADING
    since_ns: int = 0
    gave_turns: bool = False


class Residency:
    """See the module. An event that cannot be, such as a turn of a model that has none to give,
    raises `LookupError` and changes nothing."""

    def __init__(self, budget_bytes: int, *, share_ms: int) -> None:
        self.budget_bytes = budget_bytes
        self._share_ns = share_ms * NS_PER_MS
        self._residents: dict[str, _Resident] = {}
        self._wishes: dict[str, _Wish] = {}  # of models of which a task waits, the longest first
        self._turns: dict[str, int] = {}
        self._armed_ns: int | None = None

    # ---- what there is

    @property
    def used_bytes(self) -> int:
        """What all models in memory need, those on their way out included."""
        return sum(each.needs_bytes for each in self._residents.values())

    def place(self, model: str) -> Place | None:
        """Where it is; None when it is not in memory."""
        resident = self._residents.get(model)
        return None if resident is None else resident.place

    def gives_turns(self, model: str) -> bool:
        """Whether a task of it may have its turn now."""
        return self.place(model) is Place.READY

    # ---- what happens

    def apply(self, event: Event, now_ns: int) -> list[Effect]:
        """Moves on and says what is to be done for it, in this order."""
        effects: list[Effect] = []
        match event:
            case Wanted():
                self._wanted(event)
            case Unwanted(model):
                self._wishes.pop(model, None)
            case Began(model):
                self._began(model, now_ns)
            case Ended(model):
                self._ended(model, now_ns)
            case Up(model):
                self._up(model, now_ns)
            case Failed():
                effects += self._failed(event)
            case Gone(model):
                self._gone(model)
            case TimeUp():
                self._armed_ns = None
        effects += self._expire(now_ns)
        effects += self._make_room(now_ns)
        effects += self._let_go()
        return effects + self._time(now_ns)

    def _wanted(self, event: Wanted) -> None:
        wish = self._wishes.setdefault(event.model, _Wish(0, None))
        wish.needs_bytes, wish.keep_alive_ms = event.needs_bytes, event.keep_alive_ms
        resident = self._residents.get(event.model)
        if resident is not None:
            resident.keep_alive_ms = event.keep_alive_ms

    def _began(self, model: str, now_ns: int) -> None:
        if not self.gives_turns(model):
            raise LookupError(f"{model} gives no turns: {self.place(model)}")
        self._turns[model] = self._turns.get(model, 0) + 1
        self._residents[model].used_ns = now_ns
        self._residents[model].gave_turns = True

    def _ended(self, model: str, now_ns: int) -> None:
        turns = self._turns[model] - 1
        if turns:
            self._turns[model] = turns
        else:
            del self._turns[model]
        if model in self._residents:
            self._residents[model].used_ns = now_ns

    def _up(self, model: str, now_ns: int) -> None:
        resident = self._residents[model]
        if resident.place is Place.LOADING:
            resident.place = Place.READY
            resident.since_ns = resident.used_ns = now_ns

    def _failed(self, event: Failed) -> list[Effect]:
        resident = self._residents[event.model]
        effects: list[Effect] = []
        if self._wishes.pop(event.model, None) is not None:
            effects.append(Refuse(event.model, event.reason))
        if resident.place is not Place.LEAVING:
            effects.append(self._unload(event.model))
        return effects

    def _gone(self, model: str) -> None:
        if self.place(model) is not Place.LEAVING:
            raise LookupError(f"{model} was not told to go: {self.place(model)}")
        del self._residents[model]

    # ---- what follows

    def _unload(self, model: str) -> Effect:
        self._residents[model].place = Place.LEAVING
        self._to_the_end(model)
        return Unload(model)

    def _to_the_end(self, model: str) -> None:
        """It has had its share: those that were wanted meanwhile come first."""
        wish = self._wishes.pop(model, None)
        if wish is not None:
            self._wishes[model] = wish

    def _is_idle(self, model: str) -> bool:
        return model not in self._turns and model not in self._wishes

    def _expire(self, now_ns: int) -> list[Effect]:
        """Those go that were idle for long enough."""
        over = [model for model, end_ns in self._idle_ends() if end_ns <= now_ns]
        return [self._unload(model) for model in over]

    def _idle_ends(self) -> Iterator[tuple[str, int]]:
        for model, each in self._residents.items():
            after_ms = each.keep_alive_ms
            if after_ms is not None and each.place is Place.READY and self._is_idle(model):
                yield model, each.used_ns + after_ms * NS_PER_MS

    def _next(self) -> str | None:
        """The one that is wanted longest of those that have to be loaded."""
        for model in self._wishes:
            if self.place(model) in (None, Place.LEAVING):
                return model
        return None

    def _make_room(self, now_ns: int) -> list[Effect]:
        effects: list[Effect] = []
        while (model := self._next()) is not None:
            wish = self._wishes[model]
            if wish.needs_bytes > self.budget_bytes:
                del self._wishes[model]
                effects.append(Refuse(model, _too_large(wish.needs_bytes, self.budget_bytes)))
            elif model in self._residents:
                break  # it is on its way out, and comes back when it is gone
            elif wish.needs_bytes <= self.budget_bytes - self.used_bytes:
                self._residents[model] = _Resident(wish.needs_bytes, wish.keep_alive_ms, now_ns)
                effects.append(Load(model))
            else:
                effects += self._displace(wish.needs_bytes, now_ns)
                break
        return effects

    def _coming_bytes(self, *places: Place) -> int:
        """What is free, and will be when all in these places have gone."""
        going = sum(each.needs_bytes for each in self._residents.values() if each.place in places)
        return self.budget_bytes - self.used_bytes + going

    def _displace(self, needs_bytes: int, now_ns: int) -> list[Effect]:
        """Has those go that have to for so much room, if that may be now."""
        missing_bytes = needs_bytes - self._coming_bytes(Place.LEAVING, Place.HELD)
        if missing_bytes <= 0:
            return []
        chosen: list[str] = []
        found_bytes = 0
        for model in self._displaceable(now_ns):
            if found_bytes >= missing_bytes:
                break
            chosen.append(model)
            found_bytes += self._residents[model].needs_bytes
        if found_bytes < missing_bytes:
            return []
        for model in tuple(chosen):
            spare_bytes = found_bytes - self._residents[model].needs_bytes
            if spare_bytes >= missing_bytes:
                # Those that came behind are enough without it.
                chosen.remove(model)
                found_bytes = spare_bytes
        return [self._displaced(model) for model in chosen]

    def _displaceable(self, now_ns: int) -> list[str]:
        """The idle ones, the one used longest ago first; then those that have had their share."""
        ready = [model for model, each in self._residents.items() if each.place is Place.READY]
        ready.sort(key=lambda model: self._residents[model].used_ns)
        idle = [model for model in ready if self._is_idle(model)]
        had = [
            model
            for model in ready
            if model not in idle and self._share_end_ns(self._residents[model]) <= now_ns
        ]
        return idle + had

    def _share_end_ns(self, resident: _Resident) -> int:
        least_ns = 0 if resident.gave_turns else UNUSED_MS * NS_PER_MS
        return resident.since_ns + max(self._share_ns, least_ns)

    def _displaced(self, model: str) -> Effect:
        if model not in self._turns:
            return self._unload(model)
        self._residents[model].place = Place.HELD
        self._to_the_end(model)
        return Hold(model)

    def _let_go(self) -> list[Effect]:
        """Held ones go when nothing of them runs any more; or get turns again, when nobody needs
        their room."""
        effects: list[Effect] = []
        wanted = self._next()
        wish = None if wanted is None else self._wishes[wanted]
        needed = wish is not None and wish.needs_bytes > self._coming_bytes(Place.LEAVING)
        for model, each in self._residents.items():
            if each.place is Place.HELD:
                if not needed:
                    each.place = Place.READY
                    effects.append(Open(model))
                elif model not in self._turns:
                    each.place = Place.LEAVING
                    effects.append(Unload(model))
        return effects

    def _time(self, now_ns: int) -> list[Effect]:
        ends_ns = [end_ns for _, end_ns in self._idle_ends()]
        if self._next() is not None:
            ends_ns += [
                self._share_end_ns(each)
                for each in self._residents.values()
                if each.place is Place.READY and self._share_end_ns(each) > now_ns
            ]
        next_ns = min(ends_ns, default=None)
        if next_ns == self._armed_ns:
            return []
        self._armed_ns = next_ns
        if next_ns is None:
            return [Disarm()]
        return [Arm(-((now_ns - next_ns) // NS_PER_MS))]


def _too_large(needs_bytes: int, budget_bytes: int) -> str:
    return (
        f"it needs {needs_bytes / 2**30:.1f} GiB of memory, and all models together may have"
        f" {budget_bytes / 2**30:.1f}; use a smaller one or a smaller context"
    )
