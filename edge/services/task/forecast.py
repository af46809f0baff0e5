"""Where a task stands and how long it will take, as far as anybody can know.

Knows the line, what the engine does, and who comes; see `edge.tasks.estimate` and
`edge.tasks.arrivals` for what follows from that. Called on the loop by `Turns`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import inf
from operator import attrgetter
from typing import Any, Final, NamedTuple

from edge.actors import Ref
from edge.clock import NS_PER_MS, Clock
from edge.services.task.wire import QueuePosition
from edge.tasks.arrivals import Arrivals, Newcomers
from edge.tasks.estimate import Estimator, Job, Work
from edge.tasks.lengths import Distribution, exactly
from edge.tasks.line import Entry, Line
from edge.tasks.ranked import Ahead
from edge.tasks.task import Request, State, Task

NEAR_MAX: Final = 256
"""Places told exactly: those next in line, whose place says most. One pass over them takes some
two milliseconds."""
SCHEDULED_MAX: Final = 32
"""Of them, those for whom whole schedules are made; behind them the sums say the same."""
LOAD_MS_GUESS: Final = 3_000
"""Until the engine has loaded its model once."""
FALLBACK_MS_GUESS: Final = 1_000
"""Of an answer that is not the model's, until there was one."""
UNLOADED: Final = "not in memory"
"""In place of how an engine is: its model is not wanted, or has made room for another."""
TIME_WEIGHT: Final = 0.3
"""Share of the newest load, and of the newest answer of the fallback."""


class Owner(NamedTuple):
    """Whose entry it is: the task as it is now, and its actor."""

    task: Task
    ref: Ref


@dataclass(slots=True)
class EngineOutlook:
    """When the engine takes requests again. ``why`` is how it is until then, in words; "ready" once
    it takes them. ``loaded_once``: it has taken some before. ``percent`` is how much of its model
    it has loaded, None while it does not load or has not said so."""

    why: str = "starting"
    load_ms: float = LOAD_MS_GUESS
    loaded_once: bool = False
    percent: int | None = None
    _back_ns: int | None = None
    _loads_since_ns: int | None = None

    def up(self, now_ns: int) -> None:
        """It takes requests."""
        self.why = "ready"
        self.loaded_once = True
        self.percent = None
        if self._loads_since_ns is not None:
            took_ms = (now_ns - self._loads_since_ns) / NS_PER_MS
            self.load_ms += TIME_WEIGHT * (took_ms - self.load_ms)
            self._loads_since_ns = None

    def unloaded(self) -> None:
        """It is not there on purpose, and is loaded when somebody wants it."""
        self.why = UNLOADED
        self.percent = None
        self._back_ns = self._loads_since_ns = None

    def down(self, why: str, retry_in_ms: int | None, now_ns: int) -> None:
        """It does not, and will be started in so long; 0 when it loads, None when nobody knows."""
        self.why = why
        self.percent = None
        self._loads_since_ns = now_ns if retry_in_ms == 0 else None
        self._back_ns = None
        if retry_in_ms is not None:
            self._back_ns = now_ns + int((retry_in_ms + self.load_ms) * NS_PER_MS)

    def wait_ms(self, now_ns: int) -> float | None:
        """Until it does, as far as is known; None when it is not. One that is late is expected to
        be as late again."""
        if self.why == "ready":
            return 0.0
        if self.why == UNLOADED:
            return self.load_ms
        return None if self._back_ns is None else abs(self._back_ns - now_ns) / NS_PER_MS

    @property
    def expected(self) -> bool:
        """It is out, and on its way back."""
        return self.why != "ready" and self._back_ns is not None


class _Moment(NamedTuple):
    """What all estimates of one moment have in common: what runs, when each slot is free by that,
    and who may come."""

    running: list[Work]
    free_ms: list[float]
    newcomers: Newcomers


@dataclass(slots=True)
class Forecast:
    """See the module. ``slots`` is what the engine has, or had before it went down. While it is
    ``paused`` nobody knows for how long anybody waits, nor while ``held_up`` says by what else
    those who wait are; empty when by nothing."""

    line: Line
    clock: Clock
    slots: int = 1
    estimator: Estimator = field(default_factory=Estimator)
    engine: EngineOutlook = field(default_factory=EngineOutlook)
    arrivals: Arrivals = field(init=False)
    fallback_ms: float = FALLBACK_MS_GUESS
    paused: bool = False
    held_up: Callable[[], str] = str
    _step_ns: int | None = None  # when the last step of a busy engine was heard of

    def __post_init__(self) -> None:
        self.arrivals = Arrivals(self.clock.now_ns())

    # ---- learning

    def engine_up(self, slots: int) -> None:
        """The engine takes requests."""
        self.slots = slots
        self._step_ns = None
        self.engine.up(self.clock.now_ns())

    def engine_down(self, why: str, retry_in_ms: int | None) -> None:
        """It does not; see `EngineOutlook.down`."""
        self.engine.down(why, retry_in_ms, self.clock.now_ns())

    def saw_step(self, sequences: int, prompt_tokens: int, running: int) -> None:
        """The engine made a step that wrote a token for each of so many sequences and read so many
        tokens besides; ``running`` go on, so that the next step follows at once."""
        now_ns = self.clock.now_ns()
        if self._step_ns is not None:
            step_ms = (now_ns - self._step_ns) / NS_PER_MS
            self.estimator.saw_step(step_ms, sequences, prompt_tokens)
            self.line.tokens_per_ms = self.estimator.tokens_per_ms(self.slots)
        self._step_ns = now_ns if running else None

    def saw_prompt(self, task: Task) -> None:
        """The engine has told how many tokens the task's prompt has."""
        usage = task.usage
        self.estimator.saw_prompt(
            task.request.flow, _chars(task.request), usage.prompt_tokens, usage.cached_tokens
        )

    def saw_answer(self, task: Task) -> None:
        """The task's turn has ended with an answer of the model, or otherwise."""
        if (
            task.state is State.COMPLETED
            and task.source == "model"
            and not _is_certain(task.request)
        ):
            made, most = task.usage.completion_tokens, task.request.options.max_tokens
            self.estimator.lengths.saw(task.request.flow, made, most)

    def saw_fallback(self, since_ns: int) -> None:
        """A turn of the fallback is over that began then."""
        took_ms = (self.clock.now_ns() - since_ns) / NS_PER_MS
        self.fallback_ms += TIME_WEIGHT * (took_ms - self.fallback_ms)

    def came(self, task: Task) -> None:
        """A client has come with this task, and waits for it."""
        flow = task.request.flow
        cost = self.cost(task.request)
        held_ms = self.estimator.held_ms(cost, self.slots)
        waiting = self.line.flows.waiting_of(flow)
        self.arrivals.came(flow, held_ms, sum(cost), waiting, self.clock.now_ns())

    # ---- what follows

    def cost(self, request: Request) -> Job:
        """What the whole task is expected to cost."""
        prompt_tokens = self.estimator.prompt_tokens(_chars(request))
        return Job(prompt_tokens, max(1, round(self._lengths(request).mean)))

    def left_ms(self, task: Task) -> int:
        """Until a running task ends, as far as its answer is as long as is expected."""
        work = self._running_work(task)
        return int(self.estimator.left_ms(work, max(1, self.line.busy_slots)))

    def position(self, task_id: str) -> QueuePosition | None:
        """Where a waiting task stands; None when it does not wait."""
        return self._position(task_id, self._moment())

    def those_of(self, task_ids: Iterable[str]) -> Iterator[tuple[str, QueuePosition | None]]:
        """The same for several, at less cost for each."""
        moment = self._moment()
        return ((task_id, self._position(task_id, moment)) for task_id in task_ids)

    def _position(self, task_id: str, moment: _Moment) -> QueuePosition | None:
        entry, now_ns = self.line.entry(task_id), self.clock.now_ns()
        ahead = self.line.ahead(task_id, now_ns)
        if entry is None or ahead is None:
            return None
        if self._is_for_fallback(entry):
            return self._place(entry, ahead, self._fallback_wait_ms(ahead.members))
        if ahead.members < SCHEDULED_MAX:
            works = list(map(self._waiting_work, self.line.in_order(0, ahead.members + 1)))
            wait_ms = self.estimator.starts_ms(self.slots, moment.running, works)[-1]
        else:
            wait_ms = self._wait_ms(entry, ahead, moment)
        return self._place(entry, ahead, self._delayed_ms(entry, wait_ms, moment))

    @staticmethod
    def is_near(position: int) -> bool:
        """Whether `near` has it."""
        return position <= NEAR_MAX

    def near(self) -> Iterator[tuple[Entry, QueuePosition]]:
        """The first `NEAR_MAX`, in order."""
        entries = list(self.line.in_order(0, NEAR_MAX))
        works = list(map(self._waiting_work, entries))
        moment = self._moment()
        starts_ms = self.estimator.starts_ms(self.slots, moment.running, works[:SCHEDULED_MAX])
        ahead, fallback = Ahead(0, 0, 0), Ahead(0, 0, 0)
        for place, (entry, work) in enumerate(zip(entries, works, strict=True)):
            if entry.fallback_only:
                # They are the last of the order, and a line of their own.
                yield entry, self._place(entry, fallback, self._fallback_wait_ms(fallback.members))
                fallback = fallback._replace(members=fallback.members + 1)
                continue
            if self._is_for_fallback(entry):
                wait_ms = self._fallback_wait_ms(place)
            elif place < SCHEDULED_MAX:
                wait_ms = self._delayed_ms(entry, starts_ms[place], moment)
            else:
                wait_ms = self._wait_ms(entry, ahead, moment)
                wait_ms = self._delayed_ms(entry, wait_ms, moment)
            yield entry, self._place(entry, ahead, wait_ms)
            prompt_tokens, output_tokens = work.expected()
            ahead = Ahead(
                place + 1,
                ahead.prompt_tokens + int(prompt_tokens),
                ahead.output_tokens + int(output_tokens),
            )

    def positions(self, entries: Sequence[Entry]) -> list[QueuePosition]:
        """Where those stand that follow one another in the line. For a page of it: those next in
        line are estimated one by one, of those further back the first and the last."""
        found: list[QueuePosition] = []
        near = {entry.task_id: place for entry, place in self.near()} if entries else {}
        for _, group in groupby(entries, key=lambda entry: entry.task_id in near):
            members = list(group)
            exact = [near[each.task_id] for each in members if each.task_id in near]
            found += exact or self._positions_between(members)
        return found

    def _positions_between(self, entries: Sequence[Entry]) -> list[QueuePosition]:
        """Of those who are all far back."""
        found: list[QueuePosition] = []
        for _, group in groupby(entries, key=attrgetter("fallback_only")):
            members = list(group)
            first, last = self.position(members[0].task_id), self.position(members[-1].task_id)
            assert first is not None, "it waits"
            assert last is not None, "it waits"
            for number in range(len(members)):
                eta_ms = first.eta_ms
                if eta_ms is not None and last.eta_ms is not None and number:
                    eta_ms += (last.eta_ms - eta_ms) * number // (len(members) - 1)
                found.append(first._replace(position=first.position + number, eta_ms=eta_ms))
        return found

    def wait_ms_behind(self, ahead: Ahead) -> int | None:
        """The estimated wait of a task before which stand these; None when nobody knows."""
        out_ms = self.engine.wait_ms(self.clock.now_ns())
        if out_ms is None or self.paused or self.held_up():
            return None
        return int(out_ms + self.estimator.wait_ms(self._moment().free_ms, ahead))

    # ---- inside

    def _place(self, entry: Entry, ahead: Ahead, wait_ms: float) -> QueuePosition:
        """What is told: with what else the task has to wait for."""
        position = ahead.members + 1
        if self.paused:
            return QueuePosition(position, None, "the queue is paused")
        if self._is_for_fallback(entry):
            return QueuePosition(position, int(wait_ms))
        held_up = self.held_up()
        if held_up:
            return QueuePosition(position, None, held_up)
        out_ms = self.engine.wait_ms(self.clock.now_ns())
        if out_ms is None:
            return QueuePosition(position, None, f"the engine is {self.engine.why}")
        why = None if self.engine.why == "ready" else f"the engine is {self.engine.why}"
        return QueuePosition(position, int(out_ms + wait_ms), why, self.engine.percent)

    def _is_for_fallback(self, entry: Entry) -> bool:
        out = self.line.outage and self.line.slots == 0
        return entry.fallback_only or (out and entry.may_fall_back)

    def _fallback_wait_ms(self, members: int) -> float:
        slots = max(1, self.line.shared.fallback_slots)
        turns = members + self.line.running - self.line.busy_slots
        return max(0, turns - slots + 1) * self.fallback_ms / slots

    def _wait_ms(self, entry: Entry, ahead: Ahead, moment: _Moment) -> float:
        lengths = self._lengths(entry.owner.task.request)
        residual = lengths.residual / lengths.mean
        return self.estimator.wait_ms(moment.free_ms, ahead, residual)

    def _moment(self) -> _Moment:
        running = self._running()
        rates, others_ms = self.arrivals.rates(self.clock.now_ns())
        flows = ((self.line.flows.newcomer_tag(flow), rate) for flow, rate in rates.items())
        newcomers = Newcomers(flows, others_ms, self.slots)
        return _Moment(running, self.estimator.free_ms(self.slots, running), newcomers)

    def _delayed_ms(self, entry: Entry, wait_ms: float, moment: _Moment) -> float:
        """With those who will come while it waits, and go first."""
        # How long the last one to pass is, nobody knows: it is taken for one like this.
        below_tag = self.line.passed_below_tag(entry)
        return moment.newcomers.delayed_ms(wait_ms, below_tag, entry.cost_tokens)

    def _running(self) -> list[Work]:
        if self.line.slots == 0:
            return []  # what ran is in the line, or about to be
        return [
            self._running_work(each.entry.owner.task)
            for each in self.line.turns()
            if not each.fallback
        ]

    def _running_work(self, task: Task) -> Work:
        usage = task.usage
        if usage.prompt_tokens:
            return self._work(task, max(0, usage.prompt_tokens - task.prefill_done))
        return self._waiting_work_of(task)

    def _waiting_work(self, entry: Entry) -> Work:
        return self._waiting_work_of(entry.owner.task)

    def _waiting_work_of(self, task: Task) -> Work:
        """One that had its turn before also has to read what it has written."""
        request = task.request
        prompt_tokens = task.usage.prompt_tokens or self.estimator.prompt_tokens(
            _chars(task.request)
        )
        unread = self.estimator.unread(request.flow)
        return self._work(task, prompt_tokens * unread + task.tokens_made)

    def _work(self, task: Task, prompt_tokens: float) -> Work:
        most = task.request.options.max_tokens
        return Work(prompt_tokens, task.tokens_made, most, self._lengths(task.request))

    def _lengths(self, request: Request) -> Distribution:
        if _is_certain(request):
            return exactly(request.options.max_tokens)
        return self.estimator.lengths.of(request.flow, request.options.max_tokens)

    # ---- over a restart

    def to_json(self) -> dict[str, Any]:
        """All that was learnt of this model."""
        return {
            "estimator": self.estimator.to_json(),
            "load_ms": self.engine.load_ms,
            "fallback_ms": self.fallback_ms,
        }

    def resume(self, value: Any) -> None:
        """Goes on from what `to_json` gave. `UNREADABLE`, and nothing is
        changed, when it did not."""
        estimator = Estimator.from_json(value["estimator"])
        times = float(value["load_ms"]), float(value["fallback_ms"])
        if not all(0 <= each < inf for each in times):
            raise ValueError(f"{times} are no times")
        self.estimator = estimator
        self.engine.load_ms, self.fallback_ms = times


def _is_certain(request: Request) -> bool:
    """The answer is as long as it may be: nothing ends it sooner."""
    return request.options.ignore_eos and not request.options.stop


def _chars(request: Request) -> int:
    return len(request.prompt or "") + sum(map(len, request.asked_texts()))
