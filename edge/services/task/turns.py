"""Whose turn it is: the lines, called directly by those whom they are about.

A task's actor enqueues, withdraws and releases by plain calls, and is told its turn by a message,
like everything that others have to say to it. Nothing here is an actor, so nothing here can crash
with the line or fall behind its own mailbox; the one small actor, `EngineFollower`, only hears of
the engines. A dead actor's turn comes back through the watch on it.

Each model has a `Lane`: a line, since its engine has slots of its own, and what can be foreseen of
it. All lines share what their clients owe. Which models are in memory is for `Pool` to say, which
hears of each task that waits and of each turn as it begins and ends; without a pool there is one
model, which always has turns to give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import chain, groupby
from operator import itemgetter
from typing import Final, NamedTuple

from edge.actors import Actor, Down, Reason, Ref, System
from edge.engine.messages import Ready
from edge.inference import (
    Abort,
    EngineDown,
    EngineGivenUp,
    EngineLoading,
    EngineUp,
    FollowEngine,
    follow_engine,
)
from edge.inference.pool import ENGINE_NAME, Pool
from edge.inference.residency import Place
from edge.services.task.forecast import UNLOADED, Forecast
from edge.services.task.messages import ModelRefused
from edge.services.task.position_news import PositionNews
from edge.services.task.wire import QueuePosition
from edge.tasks.estimate import Job
from edge.tasks.line import Entry, Grant, Line, Mark, Running, Shared
from edge.tasks.ranked import Ahead
from edge.tasks.task import Request, State, Task

UNKNOWN_MS: Final = 30_000
"""When to come back where nobody knows how long it takes: the line is paused, say."""


def known_ms(wait_ms: int | None) -> int:
    """An estimate, or where there is none what is told in its place."""
    return UNKNOWN_MS if wait_ms is None else wait_ms


class Behind(NamedTuple):
    """A place in the order of all that wait: in which of the lanes, and where in its line."""

    lane: int
    mark: Mark


@dataclass(frozen=True, slots=True)
class Turn:
    """It is this task's turn, under ``key``: it may send its request to the engine whose actor has
    this name, or, with ``fallback``, ask for another answer. ``alone``: nobody runs beside it until
    it is cleared."""

    key: int
    alone: bool = False
    fallback: bool = False
    engine: str = ENGINE_NAME


@dataclass(slots=True, eq=False)
class Lane:
    """What there is of one model. ``engine`` is the name of its engine's actor; ``ready`` what that
    engine said of itself, None while it takes no requests, and ``pid`` its process. ``wanted`` and
    ``kept_ms`` are what the pool was told last."""

    model: str
    engine: str
    line: Line
    forecast: Forecast
    news: PositionNews
    ready: Ready | None = None
    pid: int | None = None
    engine_slots: int = 0
    wanted: bool = False
    kept_ms: int | None = None


class ModelState(NamedTuple):
    """How one model is: ``state`` is where it is in memory, or how its engine is if that is not
    well; ``needs_bytes`` what it is reckoned to take."""

    model: str
    state: str
    needs_bytes: int
    slots: int
    running: int
    waiting: int


class Turns:
    """See the module. ``waiting_max`` tasks may wait; that is for who accepts tasks to hold.

    While `paused` no turns are given, and waits are not estimated. While ``draining`` none are
    given either, and ``when_idle`` is called once none is held. ``line``, ``forecast`` and ``news``
    are those of the node's own model.
    """

    def __init__(
        self,
        system: System,
        *,
        waiting_max: int,
        step_ms: int,
        fallback_slots: int = 0,
        push_ms: int = 500,
        pool: Pool | None = None,
    ) -> None:
        self.waiting_max = waiting_max
        self.draining = False
        self.when_idle: Callable[[], object] = lambda: None
        self._system = system
        self._step_ms = step_ms
        self._push_ms = push_ms
        self._pool = pool
        self._shared = Shared(fallback_slots)
        self._held: dict[int, tuple[Ref, Lane]] = {}
        self._paused = False
        self._giving = self._look_again = False
        self._lanes: dict[str, Lane] = {}
        self.own = self._make_lane("" if pool is None else pool.own.name, ENGINE_NAME)
        self.line, self.forecast, self.news = self.own.line, self.own.forecast, self.own.news
        if pool is not None:
            pool.on_turns = self._turns_changed
            pool.on_refused = self._refuse

    def _make_lane(self, model: str, engine: str) -> Lane:
        line = Line(step_ms=self._step_ms, shared=self._shared)
        forecast = Forecast(line, self._system.clock)
        news = PositionNews(line, forecast, self._system.clock, self._push_ms)
        lane = self._lanes[model] = Lane(model, engine, line, forecast, news)
        forecast.paused = self._paused
        if self._pool is not None:
            forecast.held_up = lambda: self._held_up(lane)
        return lane

    def lane(self, model: str | None) -> Lane:
        """That of this model; of the node's own where none is named."""
        if model is None or self._pool is None:
            return self.own
        lane = self._lanes.get(model)
        if lane is None:
            lane = self._make_lane(model, self._pool.engine_name(model))
            lane.forecast.engine.unloaded()
        return lane

    def _lane_of(self, task: Task) -> Lane:
        return self.lane(task.request.model)

    def lane_of_engine(self, engine: str) -> Lane:
        """The lane whose engine's actor has this name."""
        if self._pool is None or engine in ("", ENGINE_NAME):
            return self.own
        return self.lane(self._pool.model_of(engine))

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """All that there have been, the node's own first."""
        return tuple(self._lanes.values())

    # ---- what there is

    @property
    def engine(self) -> str:
        """How the engine of the node's own model is, in words; "ready" when it takes requests."""
        return self.forecast.engine.why

    @property
    def engine_is_well(self) -> bool:
        """Whether it takes requests, or is not in memory because nobody wants it, or because
        others do."""
        if self.engine in ("ready", UNLOADED):
            return True
        loading = self._pool is not None and self._pool.place(self.own.model) is Place.LOADING
        return loading and self.forecast.engine.loaded_once and self.forecast.engine.expected

    @property
    def slots(self) -> int:
        """Tasks that all engines may run side by side; 0 while there is none."""
        return sum(lane.line.slots for lane in self._lanes.values())

    @property
    def waiting(self) -> int:
        """How many tasks wait for a turn of any kind."""
        return sum(lane.line.waiting for lane in self._lanes.values())

    @property
    def coming(self) -> int:
        """How many tasks are being accepted that will wait."""
        return self._shared.flows.coming

    @property
    def busy(self) -> int:
        """How many tasks have their turn."""
        return sum(lane.line.running for lane in self._lanes.values())

    @property
    def on_engine(self) -> int:
        """How many of them on an engine."""
        return sum(lane.line.busy_slots for lane in self._lanes.values())

    @property
    def on_own_engine(self) -> int:
        """How many of them on that of the node's own model."""
        return self.line.busy_slots

    @property
    def on_fallback(self) -> int:
        """How many are answered otherwise."""
        return self._shared.on_fallback

    @property
    def fallback_slots(self) -> int:
        """How many may be answered otherwise side by side; 0 where nothing else answers."""
        return self._shared.fallback_slots

    @property
    def full(self) -> bool:
        """As many wait as may."""
        return self.waiting >= self.waiting_max

    @property
    def paused(self) -> bool:
        """An operator has had it paused."""
        return self._paused

    @property
    def outage(self) -> bool:
        """The own engine is out for so long that what may be is answered otherwise."""
        return self.line.outage

    def models(self) -> list[ModelState]:
        """Those that are in memory or wanted, the node's own first."""
        return [
            ModelState(
                lane.model, self._state_of(lane), self._needs_bytes(lane), lane.line.slots,
                lane.line.running, lane.line.waiting,
            )
            for lane in self._lanes.values()
            if lane is self.own or lane.line.waiting or self._place(lane) is not None
        ]  # fmt: skip

    def _place(self, lane: Lane) -> Place | None:
        return None if self._pool is None else self._pool.place(lane.model)

    def _state_of(self, lane: Lane) -> str:
        why, place = lane.forecast.engine.why, self._place(lane)
        if why != "ready" or place is None or place is Place.READY:
            return why
        return str(place.value)

    def _needs_bytes(self, lane: Lane) -> int:
        loadable = None if self._pool is None else self._pool.loadable(lane.model)
        return 0 if loadable is None else loadable.needs_bytes

    def engine_of(self, task: Task) -> str:
        """How the engine of this task's model is, in words."""
        return self._lane_of(task).forecast.engine.why

    # ---- for a task's actor

    def begin_at(self, tag: float) -> None:
        """See `edge.tasks.flows.Flows.begin_at`."""
        self._shared.flows.begin_at(tag)

    def reserve(self, task: Task) -> None:
        """Gives a task that is about to be accepted its place, before it is written down."""
        request = task.request
        cost_tokens = self.expected_tokens(request)
        self._lane_of(task).forecast.came(task)
        task.tag = self._shared.flows.reserve(request.task_id, request.flow, cost_tokens)

    def refund(self, task: Task) -> None:
        """It was not accepted after all."""
        self._shared.flows.refund(task.request.task_id)

    def enqueue(
        self,
        entry: Entry,
        *,
        returning: bool = False,
        first: bool = False,
        keep_alive_ms: int | None = None,
    ) -> None:
        """Puts a task in its place; its `Turn` follows, maybe at once; or `ModelRefused`, if its
        model cannot be had. See `Line.enqueue`, and `Pool.wanted` for how long its model stays."""
        lane = self.lane(entry.model)
        lane.line.enqueue(entry, self._now_ns(), returning=returning, first=first)
        if not entry.fallback_only:
            self._want(lane, keep_alive_ms)
        self._go_on()

    def withdraw(self, task_id: str) -> None:
        """The task waits no more, if it did."""
        for lane in self._lanes.values():
            lane.news.unwatch(task_id)
            if lane.line.withdraw(task_id):
                self._go_on()

    def release(self, key: int, spent_tokens: int | None) -> None:
        """A turn is over; see `Line.release`."""
        held = self._held.pop(key, None)
        if held is None:
            return
        ref, lane = held
        if all(other is not ref for other, _ in self._held.values()):
            ref.remove_watcher(self)
        self._take_back(lane, key, spent_tokens)
        self._go_on()

    def _take_back(self, lane: Lane, key: int, spent_tokens: int | None) -> None:
        turn = lane.line.turn(key)
        lane.line.release(key, spent_tokens)
        if self._pool is not None and turn is not None and not turn.fallback:
            self._pool.ended(lane.model)

    def done(self, key: int, task: Task) -> None:
        """The task is done with its turn. What it took is learnt from an answer, and settled with
        its client, unless it stands in line again."""
        lane = self._lane_of(task)
        turn = lane.line.turn(key)
        if turn is not None and turn.fallback:
            for each in self._lanes.values():
                each.forecast.saw_fallback(turn.since_ns)
        else:
            lane.forecast.saw_answer(task)
        again = task.state is State.AVAILABLE
        self.release(key, None if again else task.usage.prompt_tokens + task.tokens_made)

    def cleared(self, key: int) -> None:
        """The task that runs alone has made a token: others may run beside it."""
        for lane in self._lanes.values():
            lane.line.cleared(key)
        self._go_on()

    def saw_prompt(self, task: Task) -> None:
        """The engine has told how many tokens the task's prompt has."""
        self._lane_of(task).forecast.saw_prompt(task)

    def watch(self, task: Task) -> None:
        """Somebody watches this task, and hears of its place while it waits."""
        self._lane_of(task).news.watch(task.task_id)

    def unwatch(self, task: Task) -> None:
        """Nobody does any more."""
        self._lane_of(task).news.unwatch(task.task_id)

    def down(self, ref: Ref, _reason: Reason) -> None:
        """The actor of a task ended with its turn (`Watcher`). Its successor stands in line again
        by itself; the engine must not go on for nobody."""
        for key in [key for key, (holder, _) in self._held.items() if holder is ref]:
            _, lane = self._held.pop(key)
            self._take_back(lane, key, None)
            engine = self._system.registry.whereis(lane.engine)
            if engine is not None:
                engine.send(Abort(key))
        self._go_on()

    # ---- for operators

    def pause(self) -> None:
        """No turns are given until `resume`. What has its turn keeps it, and what comes waits, with
        nobody knowing for how long."""
        self._set_paused(True)

    def resume(self) -> None:
        """Turns are given again."""
        self._set_paused(False)

    def _set_paused(self, paused: bool) -> None:
        self._paused = paused
        for lane in self._lanes.values():
            lane.forecast.paused = paused
        self._go_on()

    def drain(self) -> None:
        """No more turns are given, whoever resumes."""
        self.draining = True
        for lane in self._lanes.values():
            lane.line.paused = True

    # ---- for who follows the engines

    def engine_up(self, slots: int, *, engine: str = "") -> None:
        """This engine takes requests, by default that of the node's own model."""
        lane = self.lane_of_engine(engine)
        lane.forecast.engine_up(slots)
        lane.engine_slots = slots
        if self._pool is not None:
            self._pool.up(lane.model)
        self._refresh(lane)
        self._go_on()

    def engine_down(self, why: str, retry_in_ms: int | None = None, *, engine: str = "") -> None:
        """It does not; it is started again in so long, 0 when it loads, None when nobody knows."""
        lane = self.lane_of_engine(engine)
        lane.forecast.engine_down(why, retry_in_ms)
        self._is_down(lane)

    def engine_loading(self, percent: int, *, engine: str = "") -> None:
        """It has loaded so much of its model, of a hundred."""
        lane = self.lane_of_engine(engine)
        lane.forecast.engine.percent = percent
        lane.news.changed()

    def engine_stopped(self, *, engine: str = "") -> None:
        """It was stopped, as it was told to."""
        lane = self.lane_of_engine(engine)
        lane.forecast.engine.unloaded()
        self._is_down(lane)
        if self._pool is not None:
            self._pool.stopped(lane.model)
        self._go_on()

    def engine_given_up(self, reason: str, *, engine: str = "") -> None:
        """It cannot be had."""
        lane = self.lane_of_engine(engine)
        lane.forecast.engine_down(f"given up: {reason}", None)
        self._is_down(lane)
        if self._pool is not None:
            self._pool.failed(lane.model, reason)
        self._go_on()

    def engine_gone(self, engine: str) -> None:
        """Its actor has ended, and has no successor."""
        lane = self.lane_of_engine(engine)
        lane.forecast.engine.unloaded()
        self._is_down(lane)
        if self._pool is not None:
            self._pool.lost(lane.model)
        self._go_on()

    def _is_down(self, lane: Lane) -> None:
        lane.ready = lane.pid = None
        lane.engine_slots = lane.line.slots = 0
        lane.news.changed()

    def is_unloaded(self, engine: str) -> bool:
        """Whether that of the node's own model was told to stop, since others need its room. The
        actor of any other ends when it is told to."""
        own = self.lane_of_engine(engine) is self.own
        places = (None, Place.LEAVING)
        return own and self._pool is not None and self._pool.place(self.own.model) in places

    def set_outage(self, out: bool) -> None:
        """Whether tasks of the own model may be answered otherwise since its engine is out."""
        self.line.outage = out
        self._go_on()

    def engine_names(self) -> list[str]:
        """The engines that may be there."""
        return [ENGINE_NAME] if self._pool is None else list(self._pool.engine_names())

    def saw_step(
        self, sequences: int, prompt_tokens: int, running: int, *, engine: str = ""
    ) -> None:
        """An engine made a step that wrote a token for each of so many sequences and read so many
        tokens besides; ``running`` go on, so that the next step follows at once."""
        lane = self.lane_of_engine(engine)
        lane.forecast.saw_step(sequences, prompt_tokens, running)
        lane.news.changed()

    # ---- places and estimates

    def position(self, task_id: str) -> QueuePosition | None:
        """Where a waiting task stands among those of its model; None when it does not wait."""
        for lane in self._lanes.values():
            if task_id in lane.line:
                return lane.forecast.position(task_id)
        return None

    def positions(self, entries: Sequence[Entry]) -> list[QueuePosition]:
        """Where those stand that follow one another in the order; see `Forecast.positions`."""
        found: list[QueuePosition] = []
        for lane, group in groupby(entries, key=lambda entry: self.lane(entry.model)):
            found += lane.forecast.positions(list(group))
        return found

    def in_order(self, behind: Behind | None = None) -> Iterator[tuple[Entry, int]]:
        """All that wait, model by model, each as they would be served if nothing came between; from
        behind a place on. With the numbers of their lanes."""
        lanes = tuple(self._lanes.values())
        first = 0 if behind is None else behind.lane
        for number, lane in enumerate(lanes[first:], first):
            line = lane.line
            if behind is not None and number == first:
                entries = line.behind(behind.mark)
            else:
                entries = line.in_order()
            for entry in entries:
                yield entry, number

    def place_of(self, entry: Entry, lane: int) -> Behind:
        """The place of one that waits, by the number of its lane."""
        return Behind(lane, self.lanes[lane].line.mark(entry))

    def turns_by_key(self) -> Iterator[tuple[int, Running]]:
        """All that have their turn, the first given first."""
        return merge(
            *(lane.line.turns_by_key() for lane in self._lanes.values()), key=itemgetter(0)
        )

    def wait_ms_at_end(self) -> int | None:
        """The estimated wait of a task of the own model that came now and stood behind all others;
        None when nobody knows."""
        return self.forecast.wait_ms_behind(self.line.all())

    def wait_ms_at_front(self) -> int:
        """The estimated wait of whoever is next: then there is a place for another to wait."""
        waits = (
            lane.forecast.wait_ms_behind(Ahead(0, 0, 0))
            for lane in self._lanes.values()
            if lane is self.own or lane.line.waiting
        )
        return min((each for each in waits if each is not None), default=UNKNOWN_MS)

    def until_end_ms(self, task: Task) -> int:
        """Until a task ends that waits, runs, or is about to wait."""
        place = self.position(task.task_id)
        return self.left_ms(task) + (0 if place is None else known_ms(place.eta_ms))

    def running_tasks(self) -> Iterator[Task]:
        """The tasks that have their turn."""
        turns = chain.from_iterable(lane.line.turns() for lane in self._lanes.values())
        return (each.entry.owner.task for each in turns)

    def expected_tokens(self, request: Request) -> int:
        """What a task of this request is expected to cost: its prompt and its answer."""
        return int(sum(self.lane(request.model).forecast.cost(request)))

    def left_ms(self, task: Task) -> int:
        """Until a running task ends, as far as its answer is as long as is expected."""
        return self._lane_of(task).forecast.left_ms(task)

    def cost(self, task: Task) -> Job:
        """What the whole task is expected to cost."""
        return self._lane_of(task).forecast.cost(task.request)

    # ---- which models are in memory

    def _want(self, lane: Lane, keep_alive_ms: int | None) -> None:
        if self._pool is not None and (not lane.wanted or lane.kept_ms != keep_alive_ms):
            lane.wanted, lane.kept_ms = True, keep_alive_ms
            self._pool.wanted(lane.model, keep_alive_ms)

    def _unwant(self, lane: Lane) -> None:
        if self._pool is not None and lane.wanted and not lane.line.waiting_for_model:
            lane.wanted = False
            self._pool.unwanted(lane.model)

    def _turns_changed(self, model: str) -> None:
        """The pool says that this model may give turns, or may not any more."""
        self._refresh(self.lane(model))
        self._go_on()

    def _refresh(self, lane: Lane) -> None:
        open_ = self._pool is None or self._pool.gives_turns(lane.model)
        lane.line.slots = lane.engine_slots if open_ else 0

    def _refuse(self, model: str, reason: str) -> None:
        """This model cannot be had: those who wait for it hear why, and stand in the line no more.
        Others are not concerned."""
        lane = self.lane(model)
        lane.wanted = False
        for entry in list(lane.line.in_order()):
            if not entry.fallback_only:
                lane.line.withdraw(entry.task_id)
                lane.news.unwatch(entry.task_id)
                ref: Ref = entry.owner.ref
                ref.send(ModelRefused(reason))
        self._go_on()

    def _held_up(self, lane: Lane) -> str:
        """What besides their turn those wait for who wait for this model."""
        if self._pool is None or not lane.line.waiting_for_model:
            return ""
        place = self._pool.place(lane.model)
        if place is Place.HELD or (place in (None, Place.LEAVING) and lane.wanted):
            return "there is no room for the model yet: another has its turn"
        return ""

    # ---- inside

    def _now_ns(self) -> int:
        return self._system.clock.now_ns()

    def _go_on(self) -> None:
        """Gives all turns that there are to give. What follows from one may come back here: then
        whoever is giving looks once more."""
        if self._giving:
            self._look_again = True
            return
        self._giving = True
        try:
            self._look_again = True
            while self._look_again:
                self._look_again = False
                for lane in tuple(self._lanes.values()):
                    self._give_all(lane)
        finally:
            self._giving = False

    def _give_all(self, lane: Lane) -> None:
        line = lane.line
        line.paused = self._paused or self.draining
        if self.draining and lane is self.own and not self.busy:
            self.when_idle()
        while (grant := line.grant(self._now_ns())) is not None:
            self._give(lane, grant)
        self._unwant(lane)
        lane.news.changed()

    def _give(self, lane: Lane, grant: Grant) -> None:
        entry = grant.entry
        ref: Ref = entry.owner.ref
        lane.news.unwatch(entry.task_id)
        if not ref.alive:
            # Its successor enqueues by itself, with the tag that the task has.
            lane.line.release(grant.key, None)
            return
        self._held[grant.key] = ref, lane
        ref.add_watcher(self)
        alone = entry.alone and not grant.fallback
        ref.send(Turn(grant.key, alone, grant.fallback, lane.engine))
        if self._pool is not None and not grant.fallback:
            self._pool.began(lane.model)


class EngineFollower(Actor):
    """Tells the turns of the engines' ups and downs. Permanent: after a crash it asks anew."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def started(self) -> None:
        for name in self._turns.engine_names():
            self._follow(name)

    def handle(self, message: object) -> None:
        turns = self._turns
        match message:
            case EngineUp(ready=ready, pid=pid, engine=engine):
                lane = turns.lane_of_engine(engine)
                lane.ready, lane.pid = ready, pid
                turns.engine_up(ready.slots, engine=engine)
            case EngineDown(retry_in_ms=None, engine=engine) if turns.is_unloaded(engine):
                turns.engine_stopped(engine=engine)
            case EngineDown(retry_in_ms=0, engine=engine) if engine not in ("", ENGINE_NAME):
                turns.engine_down("loading its model", 0, engine=engine)
            case EngineDown(reason, retry_in_ms, engine):
                turns.engine_down(f"restarting: {reason}", retry_in_ms, engine=engine)
            case EngineLoading(percent, engine):
                turns.engine_loading(percent, engine=engine)
            case EngineGivenUp(reason=reason, engine=engine):
                turns.engine_given_up(reason, engine=engine)
            case FollowEngine(name):
                self._follow(name)
            case Down(ref=ref):
                self._ended(ref.name or ENGINE_NAME)

    def _follow(self, name: str) -> None:
        if not follow_engine(self, name, by_name=True) and name != ENGINE_NAME:
            self._turns.engine_gone(name)

    def _ended(self, name: str) -> None:
        if self.system.registry.whereis(name) is not None or name == ENGINE_NAME:
            self._turns.engine_down("restarting: its actor ended", engine=name)
        self._follow(name)
