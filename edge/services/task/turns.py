"""Whose turn it is: the line, called directly by those whom it is about.

A task's actor enqueues, withdraws and releases by plain calls, and is told its turn by a message,
like everything that others have to say to it. Nothing here is an actor, so nothing here can crash
with the line or fall behind its own mailbox; the one small actor, `EngineFollower`, only hears of
the engine. A dead actor's turn comes back through the watch on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from edge.actors import Actor, Down, Reason, Ref, System
from edge.inference import Abort, EngineDown, EngineGivenUp, EngineUp, follow_engine
from edge.services.task.forecast import Forecast
from edge.services.task.position_news import PositionNews
from edge.services.task.wire import QueuePosition
from edge.tasks.estimate import Job
from edge.tasks.line import Entry, Grant, Line, Shared
from edge.tasks.ranked import Ahead
from edge.tasks.task import Request, State, Task

ENGINE_NAME: Final = "engine"

UNKNOWN_MS: Final = 30_000
"""When to come back where nobody knows how long it takes: the line is paused, say."""


def known_ms(wait_ms: int | None) -> int:
    """An estimate, or where there is none what is told in its place."""
    return UNKNOWN_MS if wait_ms is None else wait_ms


@dataclass(frozen=True, slots=True)
class Turn:
    """It is this task's turn, under ``key``: it may send its request to the engine, or, with
    ``fallback``, ask for another answer. ``alone``: nobody runs beside it until it is cleared."""

    key: int
    alone: bool = False
    fallback: bool = False


class Turns:
    """See the module. ``waiting_max`` tasks may wait; that is for who accepts tasks to hold.

    While `paused` no turns are given, and waits are not estimated. While ``draining`` none are
    given either, and ``when_idle`` is called once none is held. ``forecast`` is what can be known
    of places and waits, ``news`` who is told of them.
    """

    def __init__(
        self,
        system: System,
        *,
        waiting_max: int,
        step_ms: int,
        fallback_slots: int = 0,
        push_ms: int = 500,
    ) -> None:
        self.waiting_max = waiting_max
        self.line = Line(step_ms=step_ms, shared=Shared(fallback_slots))
        self.forecast = Forecast(self.line, system.clock)
        self.news = PositionNews(self.line, self.forecast, system.clock, push_ms)
        self.draining = False
        self.when_idle: Callable[[], object] = lambda: None
        self._system = system
        self._held: dict[int, Ref] = {}

    # ---- what there is

    @property
    def engine(self) -> str:
        """How the engine is, in words; "ready" when it takes requests."""
        return self.forecast.engine.why

    @property
    def slots(self) -> int:
        """Tasks that the engine may run side by side; 0 while there is none."""
        return self.line.slots

    @property
    def waiting(self) -> int:
        """How many tasks wait for a turn of any kind."""
        return self.line.waiting

    @property
    def coming(self) -> int:
        """How many tasks are being accepted that will wait."""
        return self.line.flows.coming

    @property
    def busy(self) -> int:
        """How many tasks have their turn."""
        return self.line.running

    @property
    def on_engine(self) -> int:
        """How many of them on the engine."""
        return self.line.busy_slots

    @property
    def on_fallback(self) -> int:
        """How many are answered otherwise."""
        return self.line.running - self.line.busy_slots

    @property
    def fallback_slots(self) -> int:
        """How many may be answered otherwise side by side; 0 where nothing else answers."""
        return self.line.shared.fallback_slots

    @property
    def full(self) -> bool:
        """As many wait as may."""
        return self.line.waiting >= self.waiting_max

    @property
    def paused(self) -> bool:
        """An operator has had it paused."""
        return self.forecast.paused

    @property
    def outage(self) -> bool:
        """The engine is out for so long that what may be is answered otherwise."""
        return self.line.outage

    # ---- for a task's actor

    def reserve(self, task: Task) -> None:
        """Gives a task that is about to be accepted its place, before it is written down."""
        request = task.request
        cost_tokens = self.expected_tokens(request)
        self.forecast.came(task)
        task.tag = self.line.flows.reserve(request.task_id, request.flow, cost_tokens)

    def refund(self, task: Task) -> None:
        """It was not accepted after all."""
        self.line.flows.refund(task.request.task_id)

    def enqueue(self, entry: Entry, *, returning: bool = False, first: bool = False) -> None:
        """Puts a task in its place; its `Turn` follows, maybe at once. See `Line.enqueue`."""
        self.line.enqueue(entry, self._now_ns(), returning=returning, first=first)
        self._go_on()

    def withdraw(self, task_id: str) -> None:
        """The task waits no more, if it did."""
        self.news.unwatch(task_id)
        if self.line.withdraw(task_id):
            self._go_on()

    def release(self, key: int, spent_tokens: int | None) -> None:
        """A turn is over; see `Line.release`."""
        ref = self._held.pop(key, None)
        if ref is not None and ref not in self._held.values():
            ref.remove_watcher(self)
        if self.line.release(key, spent_tokens):
            self._go_on()

    def done(self, key: int, task: Task) -> None:
        """The task is done with its turn. What it took is learnt from an answer, and settled with
        its client, unless it stands in line again."""
        turn = self.line.turn(key)
        if turn is not None and turn.fallback:
            self.forecast.saw_fallback(turn.since_ns)
        else:
            self.forecast.saw_answer(task)
        again = task.state is State.AVAILABLE
        self.release(key, None if again else task.usage.prompt_tokens + task.tokens_made)

    def cleared(self, key: int) -> None:
        """The task that runs alone has made a token: others may run beside it."""
        self.line.cleared(key)
        self._go_on()

    def down(self, ref: Ref, _reason: Reason) -> None:
        """The actor of a task ended with its turn (`Watcher`). Its successor stands in line again
        by itself; the engine must not go on for nobody."""
        engine = self._system.registry.whereis(ENGINE_NAME)
        for key in [key for key, holder in self._held.items() if holder is ref]:
            del self._held[key]
            self.line.release(key, None)
            if engine is not None:
                engine.send(Abort(key))
        self._go_on()

    # ---- for operators

    def pause(self) -> None:
        """No turns are given until `resume`. What has its turn keeps it, and what comes waits, with
        nobody knowing for how long."""
        self.forecast.paused = True
        self._go_on()

    def resume(self) -> None:
        """Turns are given again."""
        self.forecast.paused = False
        self._go_on()

    # ---- for who follows the engine

    def engine_up(self, slots: int) -> None:
        """The engine takes requests."""
        self.forecast.engine_up(slots)
        self.line.slots = slots
        self._go_on()

    def engine_down(self, why: str, retry_in_ms: int | None = None) -> None:
        """It does not; it is started again in so long, 0 when it loads, None when nobody knows."""
        self.forecast.engine_down(why, retry_in_ms)
        self.line.slots = 0
        self.news.changed()

    def set_outage(self, out: bool) -> None:
        """Whether tasks may be answered otherwise since the engine is out."""
        self.line.outage = out
        self._go_on()

    def saw_step(self, sequences: int, prompt_tokens: int, running: int) -> None:
        """The engine made a step that wrote a token for each of so many sequences and read so many
        tokens besides; ``running`` go on, so that the next step follows at once."""
        self.forecast.saw_step(sequences, prompt_tokens, running)
        self.news.changed()

    # ---- places and estimates

    def position(self, task_id: str) -> QueuePosition | None:
        """Where a waiting task stands; None when it does not wait."""
        return self.forecast.position(task_id)

    def positions(self, entries: Sequence[Entry]) -> list[QueuePosition]:
        """Where those stand that follow one another in the line; see `Forecast.positions`."""
        return self.forecast.positions(entries)

    def wait_ms_at_end(self) -> int | None:
        """The estimated wait of a task that came now and stood behind all others; None when nobody
        knows."""
        return self.forecast.wait_ms_behind(self.line.all())

    def wait_ms_at_front(self) -> int:
        """The estimated wait of whoever is next: then there is a place for another to wait."""
        return known_ms(self.forecast.wait_ms_behind(Ahead(0, 0, 0)))

    def until_end_ms(self, task: Task) -> int:
        """Until a task ends that waits, runs, or is about to wait."""
        place = self.position(task.task_id)
        return self.left_ms(task) + (0 if place is None else known_ms(place.eta_ms))

    def running_tasks(self) -> Iterator[Task]:
        """The tasks that have their turn."""
        return (each.entry.owner.task for each in self.line.turns())

    def expected_tokens(self, request: Request) -> int:
        """What a task of this request is expected to cost: its prompt and its answer."""
        return int(sum(self.forecast.cost(request)))

    def left_ms(self, task: Task) -> int:
        """Until a running task ends, as far as its answer is as long as is expected."""
        return self.forecast.left_ms(task)

    def cost(self, task: Task) -> Job:
        """What the whole task is expected to cost."""
        return self.forecast.cost(task.request)

    # ---- inside

    def _now_ns(self) -> int:
        return self._system.clock.now_ns()

    def _go_on(self) -> None:
        """Gives all turns that there are to give."""
        self.line.paused = self.paused or self.draining
        if self.draining and not self.busy:
            self.when_idle()
        while (grant := self.line.grant(self._now_ns())) is not None:
            self._give(grant)
        self.news.changed()

    def _give(self, grant: Grant) -> None:
        entry = grant.entry
        ref: Ref = entry.owner.ref
        self.news.unwatch(entry.task_id)
        if not ref.alive:
            # Its successor enqueues by itself, with the tag that the task has.
            self.line.release(grant.key, None)
            return
        self._held[grant.key] = ref
        ref.add_watcher(self)
        ref.send(Turn(grant.key, entry.alone and not grant.fallback, grant.fallback))


class EngineFollower(Actor):
    """Tells the turns of the engine's ups and downs. Permanent: after a crash it asks anew."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def started(self) -> None:
        follow_engine(self, ENGINE_NAME)

    def handle(self, message: object) -> None:
        match message:
            case EngineUp(ready=ready):
                self._turns.engine_up(ready.slots)
            case EngineDown(reason, retry_in_ms):
                self._turns.engine_down(f"restarting: {reason}", retry_in_ms)
            case EngineGivenUp(reason=reason):
                self._turns.engine_down(f"given up: {reason}")
            case Down():
                self._turns.engine_down("restarting: its actor ended")
                follow_engine(self, ENGINE_NAME)
