"""Whose turn it is: the line, called directly by those whom it is about.

A task's actor enqueues, withdraws and releases by plain calls, and is told its turn by a message,
like everything that others have to say to it. Nothing here is an actor, so nothing here can crash
with the line or fall behind its own mailbox; the one small actor, `EngineFollower`, only hears of
the engine. A dead actor's turn comes back through the watch on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from operator import attrgetter
from typing import Final, NamedTuple

from edge.actors import Actor, Down, Reason, Ref, System
from edge.clock import NS_PER_MS, Timer
from edge.inference import Abort, EngineDown, EngineGivenUp, EngineUp, Subscribe
from edge.services.task.wire import QueuePosition
from edge.tasks.estimate import Estimator, Job
from edge.tasks.line import Entry, Grant, Line
from edge.tasks.ranked import Ahead
from edge.tasks.task import Request, State, Task

ENGINE_NAME: Final = "engine"

NEAR_MAX: Final = 256
"""Places told exactly: those next in line, whose place says most. One pass over them takes less
than a millisecond."""
FAR_MAX: Final = 32
"""Of those further back so many are told at a time; each look-up takes some 0.1 ms."""
FAR_SHARE: Final = 20
"""And only when their place has changed by a twentieth."""

PAUSED_MS: Final = 30_000
"""When to come back to a line that is paused: nobody knows for how long."""


@dataclass(frozen=True, slots=True)
class Turn:
    """It is this task's turn, under ``key``: it may send its request to the engine, or, with
    ``fallback``, ask for another answer. ``alone``: nobody runs beside it until it is cleared."""

    key: int
    alone: bool = False
    fallback: bool = False


class Owner(NamedTuple):
    """Whose entry it is: the task as it is now, and its actor."""

    task: Task
    ref: Ref


@dataclass(slots=True)
class _Watched:
    position: int = 0  # that was told last
    eta_ms: int | None = 0


class Turns:
    """See the module. ``waiting_max`` tasks may wait; that is for who accepts tasks to hold.

    ``engine`` says how the engine is, in words; "ready" when it takes requests. While ``paused`` no
    turns are given, and waits are not estimated. While ``draining`` none are given either, and
    ``when_idle`` is called once none is held.
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
        self.line = Line(step_ms=step_ms, fallback_slots=fallback_slots)
        self.estimator = Estimator()
        self.engine = "starting"
        self.draining = False
        self.paused = False
        self.when_idle: Callable[[], object] = lambda: None
        self._system = system
        self._push_ms = push_ms
        self._slots_known = 1  # an engine that is down comes back with as many
        self._held: dict[int, Ref] = {}
        self._watched: dict[str, _Watched] = {}
        self._changed = False
        self._far_left = 0  # of the watched ones, those to look at until there is news again
        self._timer: Timer | None = None
        self._step_ns: int | None = None  # when the last step of a busy engine was heard of

    # ---- what there is

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
        return self.line.coming

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
        return self.line.fallback_slots

    @property
    def full(self) -> bool:
        """As many wait as may."""
        return self.line.waiting >= self.waiting_max

    @property
    def outage(self) -> bool:
        """The engine is out for so long that what may be is answered otherwise."""
        return self.line.outage

    # ---- for a task's actor

    def reserve(self, task: Task) -> None:
        """Gives a task that is about to be accepted its place, before it is written down."""
        cost = self.cost(task)
        request = task.request
        task.tag = self.line.reserve(request.task_id, request.flow, int(sum(cost)))

    def refund(self, task: Task) -> None:
        """It was not accepted after all."""
        self.line.refund(task.request.task_id)

    def enqueue(self, entry: Entry, *, returning: bool = False, first: bool = False) -> None:
        """Puts a task in its place; its `Turn` follows, maybe at once. See `Line.enqueue`."""
        self.line.enqueue(entry, self._now_ns(), returning=returning, first=first)
        self._go_on()

    def withdraw(self, task_id: str) -> None:
        """The task waits no more, if it did."""
        self._watched.pop(task_id, None)
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
        if task.state is State.COMPLETED and task.source == "model":
            made, most = task.usage.completion_tokens, task.request.options.max_tokens
            self.estimator.saw_answer(task.request.client, made, most)
        again = task.state is State.AVAILABLE
        self.release(key, None if again else task.usage.prompt_tokens + task.tokens_made)

    def saw_prompt(self, task: Task) -> None:
        """The engine has told how many tokens the task's prompt has."""
        self.estimator.saw_prompt(_chars(task.request), task.usage.prompt_tokens)

    def cleared(self, key: int) -> None:
        """The task that runs alone has made a token: others may run beside it."""
        self.line.cleared(key)
        self._go_on()

    def watch(self, task_id: str) -> None:
        """Somebody watches this task: while it waits it is told its `QueuePosition`,
        when that is new."""
        if task_id in self.line:
            self._watched.setdefault(task_id, _Watched())
            self._change()

    def unwatch(self, task_id: str) -> None:
        """Nobody watches it any more."""
        self._watched.pop(task_id, None)

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
        self.paused = True
        self._go_on()

    def resume(self) -> None:
        """Turns are given again."""
        self.paused = False
        self._go_on()

    # ---- for who follows the engine

    def engine_up(self, slots: int) -> None:
        """The engine takes requests."""
        self.engine = "ready"
        self.line.slots = self._slots_known = slots
        self._step_ns = None
        self._go_on()

    def engine_down(self, why: str) -> None:
        """It does not."""
        self.engine = why
        self.line.slots = 0

    def set_outage(self, out: bool) -> None:
        """Whether tasks may be answered otherwise since the engine is out."""
        self.line.outage = out
        self._go_on()

    def saw_step(self, sequences: int, prompt_tokens: int, running: int) -> None:
        """The engine made a step that wrote a token for each of so many sequences and read so many
        tokens besides; ``running`` go on, so that the next step follows at once."""
        now_ns = self._now_ns()
        if self._step_ns is not None:
            step_ms = (now_ns - self._step_ns) / NS_PER_MS
            self.estimator.saw_step(step_ms, sequences, prompt_tokens)
            self.line.tokens_per_ms = self.estimator.tokens_per_ms(self._slots_known)
        self._step_ns = now_ns if running else None

    # ---- places and estimates

    def position(self, task_id: str) -> QueuePosition | None:
        """Where a waiting task stands; None when it does not wait."""
        ahead = self.line.ahead(task_id, self._now_ns())
        if ahead is None:
            return None
        if self.paused:
            return QueuePosition(ahead.members + 1, None)
        if ahead.members >= NEAR_MAX:
            wait_ms = self.estimator.wait_ms(self._slots_known, self._running(), ahead)
        else:
            entries = self.line.in_order(0, ahead.members + 1)
            *_, start_ms = self._starts_ms(entries)
            wait_ms = int(start_ms)
        return QueuePosition(ahead.members + 1, wait_ms)

    def positions(self, entries: Sequence[Entry]) -> list[QueuePosition]:
        """Where those stand that follow one another in the line. For a page of it: those next in
        line are estimated one by one, of those further back the first and the last."""
        found: list[QueuePosition] = []
        for for_fallback, group in groupby(entries, key=attrgetter("fallback_only")):
            found += self._positions(list(group), 0 if for_fallback else NEAR_MAX)
        return found

    def _positions(self, entries: list[Entry], near_max: int) -> list[QueuePosition]:
        first, last = self.position(entries[0].task_id), self.position(entries[-1].task_id)
        assert first is not None, "it waits"
        assert last is not None, "it waits"
        places = range(first.position, first.position + len(entries))
        if first.eta_ms is None or last.eta_ms is None:
            return [QueuePosition(place, None) for place in places]
        each_ms = (last.eta_ms - first.eta_ms) / max(1, len(entries) - 1)
        waits_ms = [first.eta_ms + number * each_ms for number in range(len(entries))]
        if first.position <= near_max:
            near = self._starts_ms(self.line.in_order(0, min(places.stop - 1, near_max)))
            exact = list(near)[first.position - 1 :]
            waits_ms[: len(exact)] = exact
        return [QueuePosition(*each) for each in zip(places, map(int, waits_ms), strict=True)]

    def wait_ms_at_end(self) -> int:
        """The estimated wait of a task that came now and stood behind all others."""
        return self.estimator.wait_ms(self._slots_known, self._running(), self.line.all())

    def wait_ms_at_front(self) -> int:
        """The estimated wait of whoever is next: then there is a place for another to wait."""
        if self.paused:
            return PAUSED_MS
        return self.estimator.wait_ms(self._slots_known, self._running(), Ahead(0, 0, 0))

    def running_tasks(self) -> Iterator[Task]:
        """The tasks that have their turn."""
        return (each.entry.owner.task for each in self.line.turns())

    def expected_tokens(self, request: Request) -> int:
        """What a task of this request is expected to cost: its prompt and its answer."""
        return int(sum(self._cost(request)))

    def left_ms(self, task: Task) -> int:
        """Until a running task ends, as far as its answer is as long as is expected."""
        job = self._left(task)
        return int(self.estimator.left_ms(job, max(1, self.on_engine)))

    def cost(self, task: Task) -> Job:
        """What the whole task is expected to cost."""
        return self._cost(task.request)

    def _cost(self, request: Request) -> Job:
        return Job(
            self.estimator.prompt_tokens(_chars(request)),
            self.estimator.output_tokens(request.client, request.options.max_tokens),
        )

    def _left(self, task: Task) -> Job:
        whole = self.cost(task)
        read = task.prefill_done if task.usage.prompt_tokens else 0
        prompt = max(0, (task.usage.prompt_tokens or whole.prompt_tokens) - read)
        most = task.request.options.max_tokens - task.tokens_made
        # One that is longer than its like is expected to be a quarter of the way from its end.
        expected = whole.output_tokens - task.tokens_made
        return Job(prompt, max(0, min(most, expected if expected > 0 else most / 4)))

    def _running(self) -> list[Job]:
        return [
            self._left(each.entry.owner.task) for each in self.line.turns() if not each.fallback
        ]

    def _starts_ms(self, entries: Iterator[Entry]) -> Iterator[float]:
        jobs = (Job(each.prompt_tokens, each.output_tokens) for each in entries)
        return self.estimator.starts_ms(self._slots_known, self._running(), jobs)

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
        self._change()

    def _give(self, grant: Grant) -> None:
        entry = grant.entry
        ref: Ref = entry.owner.ref
        self._watched.pop(entry.task_id, None)
        if not ref.alive:
            # Its successor enqueues by itself, with the tag that the task has.
            self.line.release(grant.key, None)
            return
        self._held[grant.key] = ref
        ref.add_watcher(self)
        ref.send(Turn(grant.key, entry.alone and not grant.fallback, grant.fallback))

    def _change(self) -> None:
        """Places are no longer what they were."""
        self._changed = True
        self._arm()

    def _arm(self) -> None:
        if self._watched and self._timer is None:
            self._timer = self._system.clock.call_after(self._push_ms * NS_PER_MS, self._push)

    def _push(self) -> None:
        self._timer = None
        if self._changed:
            self._changed = False
            self._push_near()
            self._far_left = len(self._watched) if self.waiting > NEAR_MAX else 0
        if self._far_left > 0:
            self._far_left -= FAR_MAX
            self._push_far()
            self._arm()

    def _push_near(self) -> None:
        near = list(self.line.in_order(0, NEAR_MAX))
        starts_ms = self._starts_ms(iter(near))
        for position, (entry, start_ms) in enumerate(zip(near, starts_ms, strict=True), 1):
            watched = self._watched.get(entry.task_id)
            place = QueuePosition(position, None if self.paused else int(start_ms))
            if watched is not None and place != (watched.position, watched.eta_ms):
                self._tell(entry.owner.ref, watched, place)

    def _push_far(self) -> None:
        """The next few of all; after each has had its turn, nothing more until there is news."""
        for task_id in list(islice(self._watched, FAR_MAX)):
            watched = self._watched[task_id] = self._watched.pop(task_id)
            entry, place = self.line.entry(task_id), self.position(task_id)
            if entry is None or place is None:
                continue
            moved = abs(place.position - watched.position)
            if place.position > NEAR_MAX and moved * FAR_SHARE >= place.position:
                self._tell(entry.owner.ref, watched, place)

    @staticmethod
    def _tell(ref: Ref, watched: _Watched, place: QueuePosition) -> None:
        watched.position, watched.eta_ms = place
        ref.send(place)


def _chars(request: Request) -> int:
    if request.messages is None:
        return len(request.prompt or "")
    return sum(len(content) for _, content in request.messages)


class EngineFollower(Actor):
    """Tells the turns of the engine's ups and downs. Permanent: after a crash it asks anew."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def started(self) -> None:
        self._subscribe()

    def _subscribe(self) -> None:
        engine = self.system.registry.whereis(ENGINE_NAME)
        if engine is not None:
            self.monitor(engine)
            engine.send(Subscribe(self.ref))

    def handle(self, message: object) -> None:
        match message:
            case EngineUp(ready=ready):
                self._turns.engine_up(ready.slots)
            case EngineDown(reason=reason):
                self._turns.engine_down(f"restarting: {reason}")
            case EngineGivenUp(reason=reason):
                self._turns.engine_down(f"given up: {reason}")
            case Down():
                self._turns.engine_down("restarting: its actor ended")
                self._subscribe()
