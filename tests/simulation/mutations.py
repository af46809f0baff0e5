"""Defects put into the node on purpose: each has to be found, or the simulator could not fail.

A mutation is a context in which one part of the product is replaced by a broken one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Final
from unittest import mock

from edge.clock import ManualClock, Moment
from edge.engine.messages import Generate
from edge.gateway.outbox import Outbox
from edge.inference.protocol import EngineLost
from edge.inference.routes import Routes
from edge.phoenix import MergeablePush
from edge.services import held_turn, messages
from edge.services.ending import Committed, Ending
from edge.services.journal import Journal
from edge.services.surroundings import Life
from edge.services.task_actor import TaskActor
from edge.services.task_channel import TaskChannel
from edge.services.tasks import Tasks
from edge.services.wire import ProgressUpdate
from edge.storage import Store, StoredTask
from edge.storage.writer import Writer
from edge.tasks import effects, events, machine
from edge.tasks.task import State, Task
from tests.simulation.disk import SimWriter

Mutation = Callable[[], AbstractContextManager[object]]


def _without(state: State, event: type[Any], effect: type[Any]) -> Mutation:
    """A transition that forgets one of its effects."""
    whole = machine.TRANSITIONS[state][event]

    def broken(task: Task, happened: Any, now: Moment) -> list[effects.Effect]:
        return [each for each in whole(task, happened, now) if not isinstance(each, effect)]

    return lambda: mock.patch.dict(machine.TRANSITIONS[state], {event: broken})


def _replaced(owner: Any, name: str, broken: Any) -> Mutation:
    return lambda: mock.patch.object(owner, name, broken)


def _tells_first() -> AbstractContextManager[object]:
    begin = Ending.begin

    def broken(self: Ending, effect: effects.Conclude, before: State) -> None:
        begin(self, effect, before)
        self._ref.send(Committed(self._life.task.version, None))

    return mock.patch.object(Ending, "begin", broken)


def _store_lies() -> AbstractContextManager[object]:
    put = SimWriter.put

    def broken(self: SimWriter, rows: Any, done: Any) -> bool:
        if not put(self, rows, None):
            return False
        if done is not None:
            done(None)
        return True

    return mock.patch.object(SimWriter, "put", broken)


def _outbox_merges_over_a_gap() -> AbstractContextManager[object]:
    def merge(self: ProgressUpdate, later: ProgressUpdate) -> ProgressUpdate:
        return later._replace(
            from_seq=self.from_seq, offset=self.offset, delta=self.delta + later.delta
        )

    def send_mergeable(self: Outbox, push: MergeablePush) -> None:
        waiting = [each for each in self._waiting or () if not isinstance(each, bytes)]
        if waiting:
            self._mergeable.setdefault(push.topic, waiting[-1])
        whole(self, push)

    whole = Outbox.send_mergeable
    stack = ExitStack()
    stack.enter_context(mock.patch.object(ProgressUpdate, "merge", merge))
    stack.enter_context(mock.patch.object(Outbox, "send_mergeable", send_mergeable))
    return stack


def _engine_resumes(change: Callable[[Generate], Generate]) -> Mutation:
    whole = messages.generate
    return _replaced(held_turn, "generate", lambda *given: change(whole(*given)))


def _everybody_is_blamed() -> AbstractContextManager[object]:
    def broken(self: Routes, reason: str, *, own_fault: bool) -> int:
        routes, self._routes, self._silent = self._routes, {}, set()
        for key, ref in routes.items():
            ref.send(EngineLost(key, reason, True))
        return len(routes)

    return mock.patch.object(Routes, "lose_all", broken)


def _recovery_loses_one() -> AbstractContextManager[object]:
    whole = Store.unfinished

    async def broken(self: Store) -> AsyncIterator[list[StoredTask]]:
        lost = 1
        async for page in whole(self):
            yield page[lost:]
            lost = 0

    return mock.patch.object(Store, "unfinished", broken)


def _by_the_wall_clock(scale: str) -> Mutation:
    """One of the node's time scales is what somebody may set."""
    whole = ManualClock.moment

    def broken(self: ManualClock) -> Moment:
        now = whole(self)
        return now._replace(**{scale: now.wall_ns})

    return _replaced(ManualClock, "moment", broken)


async def _accepts_at_once(self: Tasks, task: Task) -> bool:
    self._journal.record(task, "accepted", None)
    return True


async def _finds_nothing(self: Tasks, *_request: Any) -> None:
    return None


def _release_is_forgotten(self: TaskActor) -> None:
    self._held = None


def _gives_up_rows(self: Writer, group: Any, error: Any) -> None:
    _failed(self, group, error)
    self._backlog.settled(self._backlog.take_all())


_failed = Writer._failed


def _counts_no_events(self: ProgressUpdate, later: ProgressUpdate) -> ProgressUpdate | None:
    merged = _merge(self, later)
    return None if merged is None else merged._replace(from_seq=later.seq)


_merge = ProgressUpdate.merge


def _watch_ends(self: TaskChannel) -> None:
    if not self._joined:
        _watch(self)


_watch = TaskChannel._watch

MUTATIONS: Final[dict[str, Mutation]] = {
    "an end is told before its commit": _tells_first,
    "the store says durable at once": _store_lies,
    "a submission is answered before its commit": _replaced(Tasks, "_commit", _accepts_at_once),
    "a duplicate is a new task": _replaced(Tasks, "_find_same", _finds_nothing),
    "the queue has no bounds": _replaced(Tasks, "_check_room", lambda *_given: None),
    "a lost task does not stand in line again": _without(
        State.EXECUTING, events.Lose, effects.Enqueue
    ),
    "a due task does not stand in line": _without(State.RETRYABLE, events.Due, effects.Enqueue),
    "a cancelled task keeps its slot": _without(State.EXECUTING, events.Cancel, effects.Release),
    "a turn is never given back": _replaced(TaskActor, "_release", _release_is_forgotten),
    "a cancel is not told": _without(State.AVAILABLE, events.Cancel, effects.Conclude),
    "a change is not written down": _without(State.AVAILABLE, events.Start, effects.Record),
    "a dirty mark is dropped": _replaced(Journal, "mark", lambda *_given: None),
    "a successor begins too early": _replaced(Life, "written", lambda _self: None),
    "rows that the disk refused are dropped": _replaced(Writer, "_failed", _gives_up_rows),
    "one task is left out of the recovery": _recovery_loses_one,
    "updates merge over a gap": _outbox_merges_over_a_gap,
    "merged updates hide their numbers": _replaced(ProgressUpdate, "merge", _counts_no_events),
    "a client reads on one character late": _replaced(
        Task, "resume_offset", lambda self, offset: min(offset + 1, len(self.text))
    ),
    "a client is not told of a cut": _replaced(
        Task, "resume_offset", lambda self, offset: min(offset, len(self.text))
    ),
    "the engine goes on one token late": _engine_resumes(
        lambda request: replace(request, resume_tokens=request.resume_tokens[:-1])
    ),
    "a channel does not follow a successor": _replaced(TaskChannel, "_watch", _watch_ends),
    "everybody is blamed for a dead engine": _everybody_is_blamed,
    "the wall clock says when a task is due": _by_the_wall_clock("schedule_ns"),
    "the wall clock measures and orders": _by_the_wall_clock("run_ns"),
}


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """The product with this defect."""
    with MUTATIONS[name]():
        yield
