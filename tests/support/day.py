"""A day of a node, in seconds: clients that come and go, and an engine of which all is known.

The line, the turns and the estimates are the node's own; the clock, the clients and the engine are
made up. The engine makes one step after the other: each writes a token for every task that runs and
reads some of one prompt. It dies once, and so does the node. All chance comes from one seed.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final

from edge.actors import Actor, Ref, System
from edge.clock import NS_PER_MS, NS_PER_S, ManualClock
from edge.services.task.forecast import Owner
from edge.services.task.turns import Turn, Turns
from edge.tasks.line import Entry
from edge.tasks.task import Options, Request, State, Task, Usage

SLOTS: Final = 4
CHUNK_TOKENS: Final = 128
READ_MS: Final = 0.8
LOAD_MS: Final = 4_000
BACKOFF_MS: Final = 1_000
NODE_DOWN_S: Final = 20


def step_ms(sequences: int) -> float:
    """A step for so many: it costs little more than one for a single task."""
    return 25.0 + 5.0 * sequences


@dataclass(frozen=True)
class Sort:
    """A sort of client: its prompts' lengths in tokens, what it asks for, what it gets."""

    prompt_tokens: Callable[[Random], int]
    most: int
    made: Callable[[Random], float]
    priority: int = 5


CHAT: Final = Sort(
    lambda rng: int(rng.lognormvariate(5, 0.8)), 512, lambda rng: rng.lognormvariate(4.2, 0.7)
)
"""Some 90 tokens of 512, some ten times as many; prompts of some 200."""
LABELS: Final = Sort(lambda rng: rng.randrange(200, 600), 200, lambda _: 20)
"""A tenth of what it might have, always."""
STORIES: Final = Sort(lambda rng: rng.randrange(20, 60), 256, lambda _: 256)
"""All that it may have."""
SUMMARIES: Final = Sort(
    lambda rng: rng.randrange(400, 1_200), 300, lambda rng: rng.lognormvariate(4.6, 0.6)
)
MIXED: Final = Sort(
    lambda rng: rng.randrange(50, 300), 400, lambda rng: 15 if rng.random() < 0.6 else 400
)
"""Either next to nothing or all."""


@dataclass(slots=True)
class Asked:
    """One task: what was told of it, and what came of it."""

    task: Task
    sort: Sort
    output_tokens: int
    came_ns: int
    told_ms: int | None = None
    started_ns: int | None = None
    prompt_left: int = 0
    key: int = 0
    then: Callable[[], None] | None = None

    @property
    def waited_ms(self) -> float:
        """For how long it really waited."""
        assert self.started_ns is not None, "it has had its turn"
        return (self.started_ns - self.came_ns) / NS_PER_MS


class _Runner(Actor):
    """Stands for a task's actor: hears of its turn."""

    def __init__(self, day: Day, asked: Asked) -> None:
        self._day = day
        self._asked = asked

    def handle(self, message: object) -> None:
        if isinstance(message, Turn):
            self._day.turn(self._asked, message.key)


@dataclass
class Day:
    """Runs one. ``asked`` are all tasks in the order in which they came."""

    seed: int
    hours: float = 3.0
    engine_dies_s: float | None = 4_000.0
    node_dies_s: float | None = 7_000.0
    prepare: Callable[[Turns], object] = lambda _turns: None
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        self.clock = ManualClock()
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0
        self._running: dict[int, Asked] = {}
        self._up = False
        self._rebuild()

    def _rebuild(self) -> None:
        """A node starts."""
        self.system = System(self.clock, lambda _call: None)
        self.turns = Turns(self.system, waiting_max=100_000, step_ms=20_000)
        self.prepare(self.turns)

    # ---- time

    def at(self, at_s: float, what: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._due, (int(at_s * NS_PER_S), self._number, what))

    def after(self, in_s: float, what: Callable[[], None]) -> None:
        self.at(self.clock.now_ns() / NS_PER_S + in_s, what)

    def run(self) -> list[Asked]:
        """The whole day, and until all that was asked has begun."""
        self._plan()
        self.turns.engine_down("restarting: loading", 0)
        self.after(LOAD_MS / 1_000, self._engine_up)
        while self._due or self._running:
            now_ns = self.clock.now_ns()
            if self._due and self._due[0][0] <= now_ns:
                heapq.heappop(self._due)[2]()
                self.system.run_pending()
            elif self._up and self._running:
                self._step()
            elif self._due:
                self.clock.advance(self._due[0][0] - now_ns)
            self.system.run_pending()
        return self.asked

    # ---- clients

    def _plan(self) -> None:
        end_s = self.hours * 3_600
        for number in range(14):
            # Each is there for a while, twice a day.
            for _ in range(2):
                begin_s = self.rng.uniform(0, end_s)
                until_s = begin_s + self.rng.uniform(600, 2_400)
                self._chat(f"chat {number}", begin_s, min(until_s, end_s))
        for name, sort, size in (
            ("labels", LABELS, 250), ("stories", STORIES, 30), ("summaries", SUMMARIES, 80),
            ("mixed", MIXED, 50),
        ):  # fmt: skip
            at_s = self.rng.uniform(60, 1_800)
            while at_s < end_s:
                count = max(2, int(self.rng.lognormvariate(0, 0.5) * size))
                self.at(at_s, partial(self._batch, name, sort, count))
                at_s += self.rng.expovariate(1 / 2_400)
        if self.engine_dies_s is not None:
            self.at(self.engine_dies_s, self._engine_dies)
        if self.node_dies_s is not None:
            self.at(self.node_dies_s, self._node_dies)

    def _batch(self, name: str, sort: Sort, count: int) -> None:
        for _ in range(count):
            self.ask(name, sort)

    def _chat(self, name: str, begin_s: float, until_s: float) -> None:
        """Asks, reads the answer, thinks, asks again."""

        def ask() -> None:
            if self.clock.now_ns() < until_s * NS_PER_S:
                asked = self.ask(name, CHAT)
                asked.then = lambda: self.after(self.rng.expovariate(1 / 20), ask)

        self.at(begin_s, ask)

    def ask(self, name: str, sort: Sort) -> Asked:
        """A client submits a task, and is told how long it will wait."""
        prompt_tokens = max(4, sort.prompt_tokens(self.rng))
        prompt = "x" * int(prompt_tokens * self.rng.uniform(3.6, 4.8))
        request = Request(
            f"task {len(self.asked)}", name, prompt, None, None, Options(max_tokens=sort.most),
            sort.priority,
        )  # fmt: skip
        task = Task(request, State.AVAILABLE, 0)
        output_tokens = max(1, min(sort.most, round(sort.made(self.rng))))
        asked = Asked(task, sort, output_tokens, self.clock.now_ns())
        asked.prompt_left = prompt_tokens
        self.asked.append(asked)
        self.turns.reserve(task)
        self._enqueue(asked, returning=False)
        place = self.turns.position(task.task_id)
        asked.told_ms = 0 if place is None else place.eta_ms
        return asked

    def _enqueue(self, asked: Asked, *, returning: bool) -> None:
        task, request = asked.task, asked.task.request
        cost = self.turns.cost(task)
        ref: Ref = self.system.spawn(_Runner(self, asked))
        entry = Entry(
            task.task_id, request.flow, request.priority, int(cost.prompt_tokens),
            int(cost.output_tokens), Owner(task, ref), tag=task.tag,
        )  # fmt: skip
        self.turns.enqueue(entry, returning=returning)
        task.tag = entry.tag
        self.system.run_pending()

    # ---- the engine

    def turn(self, asked: Asked, key: int) -> None:
        """It is this task's turn."""
        asked.key = key
        asked.started_ns = asked.started_ns or self.clock.now_ns()
        asked.task.state = State.EXECUTING
        self._running[key] = asked

    def _engine_up(self) -> None:
        self._up = True
        self.turns.engine_up(SLOTS)

    def _step(self) -> None:
        reads = next((each for each in self._running.values() if each.prompt_left), None)
        writes = [each for each in self._running.values() if not each.prompt_left]
        chunk = 0 if reads is None else min(CHUNK_TOKENS, reads.prompt_left)
        took_ms = (step_ms(len(writes)) if writes else 5.0) + chunk * READ_MS
        self.clock.advance(int(took_ms * self.rng.uniform(0.9, 1.1) * NS_PER_MS))
        ended = [each for each in writes if self._write(each)]
        if reads is not None:
            self._read(reads, chunk)
        self.turns.saw_step(len(writes), chunk, len(self._running) - len(ended))
        for each in ended:
            self._end(each)

    def _read(self, asked: Asked, chunk: int) -> None:
        task = asked.task
        if not task.usage.prompt_tokens:
            task.usage = Usage(asked.prompt_left, 0, 0)
            self.turns.forecast.saw_prompt(task)
        asked.prompt_left -= chunk
        task.prefill_done += chunk

    @staticmethod
    def _write(asked: Asked) -> bool:
        asked.task.tokens.append(0)
        return len(asked.task.tokens) >= asked.output_tokens

    def _end(self, asked: Asked) -> None:
        task = asked.task
        del self._running[asked.key]
        task.state, task.source = State.COMPLETED, "model"
        task.usage = Usage(task.usage.prompt_tokens, 0, len(task.tokens))
        self.turns.done(asked.key, task)
        task.tokens = []
        if asked.then is not None:
            asked.then()

    def _lose(self, asked: Asked) -> None:
        """Its turn was for nothing but for the tokens that there are."""
        asked.task.state = State.AVAILABLE
        asked.task.prefill_done = 0
        asked.prompt_left = asked.task.usage.prompt_tokens + len(asked.task.tokens)

    def _engine_dies(self) -> None:
        self._up = False
        self.turns.engine_down("restarting: it died", BACKOFF_MS)
        lost, self._running = list(self._running.values()), {}
        for asked in lost:
            self._lose(asked)
            self.turns.done(asked.key, asked.task)
            self._enqueue(asked, returning=True)
        self.after(BACKOFF_MS / 1_000, lambda: self.turns.engine_down("restarting: loading", 0))
        self.after((BACKOFF_MS + LOAD_MS) / 1_000, self._engine_up)

    def _node_dies(self) -> None:
        """It starts again with what was kept; nobody asks meanwhile."""
        self._up = False
        kept = json.dumps(self.turns.forecast.to_json())
        lost, self._running = list(self._running.values()), {}
        waiting = [each.task_id for each in self.turns.line.in_order()]
        by_id = {each.task.task_id: each for each in self.asked}
        self.clock.advance(NODE_DOWN_S * NS_PER_S)
        self._rebuild()
        self.turns.forecast.resume(json.loads(kept))
        tags = [by_id[each].task.tag or 0.0 for each in waiting]
        self.turns.line.flows.begin_at(min(tags, default=0.0))
        for asked in lost:
            self._lose(asked)
            self._enqueue(asked, returning=True)
        for task_id in waiting:
            self._enqueue(by_id[task_id], returning=False)
        self.turns.engine_down("restarting: loading", 0)
        self.after(LOAD_MS / 1_000, self._engine_up)


def errors(asked: list[Asked]) -> list[float]:
    """How wrong what was told was, of what really was; of a wait below a second, of one second: a
    tenth of a second told for nothing is no error of a thousand per cent."""
    return sorted(
        abs((each.told_ms or 0) - each.waited_ms) / max(each.waited_ms, 1_000) for each in asked
    )


def percentile(values: list[float], share: float) -> float:
    """Of sorted values."""
    return values[min(len(values) - 1, int(share * len(values)))]
