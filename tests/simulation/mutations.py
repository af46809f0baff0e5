"""Defects put into the node on purpose: each has to be found, or the simulator could not fail; and
found as what it is, by the name of the promise that it breaks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Final
from unittest import mock

from aiohttp import web

from edge.clock import ManualClock, Moment
from edge.engine.messages import Generate
from edge.gateway import events as gateway_events
from edge.gateway import submission
from edge.gateway.health_api import HealthApi
from edge.gateway.outbox import Outbox, _Stream
from edge.inference.protocol import EngineLost
from edge.inference.routes import Routes
from edge.phoenix import MergeablePush
from edge.services.health.readiness import HealthActor, Part
from edge.services.keeping import archive
from edge.services.task import current_turn, messages
from edge.services.task.actor import TaskActor
from edge.services.task.audience import Followers
from edge.services.task.end_commit import Committed, EndCommit
from edge.services.task.journal import Journal
from edge.services.task.live_task import LiveTask
from edge.services.task.tasks import Tasks
from edge.services.task.turns import Turns
from edge.services.task.wire import ProgressUpdate
from edge.services.watchers import mine_channel
from edge.services.watchers.mine_channel import Updates
from edge.services.watchers.task_channel import TaskChannel
from edge.storage import AuditRow, Pruned, Store, StoredTask, Wanted, queries, store
from edge.storage.database import Database
from edge.storage.reads import Reads
from edge.storage.retention import prune
from edge.storage.writer import Writer
from edge.tasks import effects, events, machine
from edge.tasks.line import Grant, Line
from edge.tasks.task import State, Task
from tests.simulation.disk import SimWriter
from tests.simulation.script import is_kept

SEEDS_TO_FIND: Final = 400

Break = Callable[[], AbstractContextManager[object]]
"""A context in which one part of the product is replaced by a broken one."""


@dataclass(frozen=True)
class Mutation:
    """A defect, and the promises of which it has to break one."""

    broken: Break
    breaks: frozenset[str]
    seeds: Sequence[int] = range(SEEDS_TO_FIND)
    """In one of these worlds it has to be found."""


def _without(state: State, event: type[Any], effect: type[Any]) -> Break:
    """A transition that forgets one of its effects."""
    whole = machine.TRANSITIONS[state][event]

    def broken(task: Task, happened: Any, now: Moment) -> list[effects.Effect]:
        return [each for each in whole(task, happened, now) if not isinstance(each, effect)]

    return lambda: mock.patch.dict(machine.TRANSITIONS[state], {event: broken})


def _replaced(owner: Any, name: str, broken: Any) -> Break:
    return lambda: mock.patch.object(owner, name, broken)


def _tells_first() -> AbstractContextManager[object]:
    begin = EndCommit.begin

    def broken(self: EndCommit, effect: effects.Conclude, before: State) -> None:
        begin(self, effect, before)
        self._ref.send(Committed(self._live.task.version, None))

    return mock.patch.object(EndCommit, "begin", broken)


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
        merged = copy(later)
        merged.from_seq, merged.offset = self.from_seq, self.offset
        merged._pieces = [self.delta, later.delta]
        return merged

    def send_mergeable(self: Outbox, push: MergeablePush) -> None:
        waiting = [each for each in self._waiting or () if not isinstance(each, bytes)]
        if waiting and push.topic not in self._streams:
            last = waiting[-1]
            stream = self._streams[push.topic] = _Stream(last.head, 0)
            stream.last = last
        whole(self, push)

    whole = Outbox.send_mergeable
    stack = ExitStack()
    stack.enter_context(mock.patch.object(ProgressUpdate, "merge", merge))
    stack.enter_context(mock.patch.object(Outbox, "send_mergeable", send_mergeable))
    return stack


def _engine_resumes(change: Callable[[Generate], Generate]) -> Break:
    whole = messages.generate
    return _replaced(current_turn, "generate", lambda *given: change(whole(*given)))


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


def _by_the_wall_clock(scale: str) -> Break:
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
    if merged is not None:
        merged.from_seq = later.seq
    return merged


_merge = ProgressUpdate.merge


def _watch_ends(self: TaskChannel) -> None:
    if self._told is None:
        _watch(self)


_watch = TaskChannel._watch


# ---- of those who look at all tasks, and of streams of events


def _offsets_are_exchanged(payload: object) -> tuple[dict[str, int], list[str]]:
    known, unknown = _offsets_of(payload)
    return dict.fromkeys(known, max(known.values(), default=0)), unknown


_offsets_of = mine_channel._offsets_of


def _everybody_is_told(self: Followers, _client: str) -> Sequence[Any]:
    return [follower for followers in self._of.values() for follower in followers]


def _merge_loses_one(self: Updates, later: Updates) -> Updates | None:
    merged = _merge_updates(self, later)
    if merged is not None and len(merged._entries) > 2:
        merged._entries[1] = merged._entries[0]
    return merged


_merge_updates = Updates.merge


def _id_is_one_too_high(push: MergeablePush) -> bytes:
    update = push.payload
    assert isinstance(update, ProgressUpdate)
    return gateway_events.event(push.event, update.encode().json, str(update.end + 1))


# ---- of the archive, and of pruning


def _of_everybody(wanted: Wanted, **_client: object) -> Wanted:
    return wanted


def _page_begins_again(wanted: Wanted, behind: str | None) -> queries.Sql:
    sql, values = _history(wanted, behind)
    return sql.replace("min_by(rowid, version) < (", "min_by(rowid, version) <= ("), values


_history = queries.history


def _figures_of_everybody(
    since_ns: int | None, until_ns: int | None, _client: object, since_run_ns: int | None
) -> queries.Sql:
    return _percentiles(since_ns, until_ns, None, since_run_ns)


_percentiles = queries.percentiles


async def _audit_lacks_one(self: Reads, task_id: str, *, asker: str = "") -> list[AuditRow]:
    return (await _audit(self, task_id, asker=asker))[1:]


_audit = Reads.audit


def _ended_or_not(sql: str) -> str:
    return sql.replace(f"max_by(state, version) IN {queries._ENDED}", "true")


def _prunes_one_too_many(database: Database, before_run_ns: int, max_tasks: int) -> Pruned:
    return prune(database, before_run_ns, max(0, max_tasks - 1))


# ---- of health


def _store_is_well(self: HealthActor, _now_ns: int) -> Part:
    return Part("ok", None, {"durable": True, "quarantined": None})


def _engine_is_well(self: HealthActor, _now_ns: int) -> Part:
    return Part("ok", None, {"state": "ready"})


async def _always_ready(self: HealthApi, request: web.Request) -> web.Response:
    response = await _ready(self, request)
    response.set_status(200)
    return response


_ready = HealthApi.ready


def _checked_by(name: str, check: Callable[[str, Any], Any]) -> Break:
    """A member of a submission has another check."""
    field = submission.FIELDS[name]._replace(check=check)
    return lambda: mock.patch.dict(submission.FIELDS, {name: field})


def _gives_turns_all_the_same() -> AbstractContextManager[object]:
    grant = Line.grant

    def broken(self: Line, now_ns: int) -> Grant | None:
        self.paused = False
        return grant(self, now_ns)

    return mock.patch.object(Line, "grant", broken)


def _fault_is_no_matter(name: str, value: Any) -> Any:
    return None


OF_TASKS: Final[dict[str, tuple[Break, set[str]]]] = {
    "an end is told before its commit": (_tells_first, {"commit first"}),
    "the store says durable at once": (_store_lies, {"commit first", "never lost"}),
    "a submission is answered before its commit": (
        _replaced(Tasks, "_commit", _accepts_at_once),
        {"never lost"},
    ),
    "a duplicate is a new task": (
        _replaced(Tasks, "_find_same", _finds_nothing),
        {"idempotency", "versions"},
    ),
    "a resume is forgotten": (_replaced(Turns, "resume", lambda _turns: None), {"queue"}),
    "a line that is paused gives turns": (_gives_turns_all_the_same, {"queue"}),
    "the queue has no bounds": (_replaced(Tasks, "_check_room", lambda *_given: None), {"bounds"}),
    "a lost task does not stand in line again": (
        _without(State.EXECUTING, events.Lose, effects.Enqueue),
        {"one end"},
    ),
    "a due task does not stand in line": (
        _without(State.RETRYABLE, events.Due, effects.Enqueue),
        {"one end"},
    ),
    "a cancelled task keeps its slot": (
        _without(State.EXECUTING, events.Cancel, effects.Release),
        {"leak", "one end", "defect"},
    ),
    "a turn is never given back": (
        _replaced(TaskActor, "_release", _release_is_forgotten),
        {"leak", "one end"},
    ),
    "a cancel is not told": (
        _without(State.AVAILABLE, events.Cancel, effects.Conclude),
        {"one end"},
    ),
    "a change is not written down": (
        _without(State.AVAILABLE, events.Start, effects.Record),
        {"trail"},
    ),
    "a dirty mark is dropped": (
        _replaced(Journal, "mark", lambda *_given: None),
        {"snapshots", "text"},
    ),
    "a successor begins too early": (
        _replaced(LiveTask, "written", lambda _self: None),
        {"text", "clock", "one end"},
    ),
    "rows that the disk refused are dropped": (
        _replaced(Writer, "_failed", _gives_up_rows),
        {"never lost", "trail"},
    ),
    "one task is left out of the recovery": (_recovery_loses_one, {"never lost"}),
    "updates merge over a gap": (_outbox_merges_over_a_gap, {"text", "order"}),
    "merged updates hide their numbers": (
        _replaced(ProgressUpdate, "merge", _counts_no_events),
        {"order"},
    ),
    "a client reads on one character late": (
        _replaced(Task, "resume_offset", lambda self, offset: min(offset + 1, len(self.text))),
        {"text"},
    ),
    "a client is not told of a cut": (
        _replaced(Task, "resume_offset", lambda self, offset: min(offset, len(self.text))),
        {"text"},
    ),
    "the engine goes on one token late": (
        _engine_resumes(lambda request: replace(request, resume_tokens=request.resume_tokens[:-1])),
        {"text"},
    ),
    "a channel does not follow a successor": (
        _replaced(TaskChannel, "_watch", _watch_ends),
        {"one end"},
    ),
    "everybody is blamed for a dead engine": (_everybody_is_blamed, {"attempts"}),
    "the wall clock says when a task is due": (_by_the_wall_clock("schedule_ns"), {"clock"}),
    "the wall clock measures and orders": (_by_the_wall_clock("run_ns"), {"clock"}),
}

OF_CLIENTS: Final[dict[str, tuple[Break, set[str]]]] = {
    "a follower is told the offset of another task": (
        _replaced(mine_channel, "_offsets_of", _offsets_are_exchanged),
        {"text"},
    ),
    "a follower is told of foreign tasks": (
        _replaced(Followers, "of", _everybody_is_told),
        {"own tasks"},
    ),
    "a follower is told nothing": (
        _replaced(Followers, "of", lambda _self, _client: ()),
        {"own tasks", "one end"},
    ),
    "merged updates lose one": (_replaced(Updates, "merge", _merge_loses_one), {"order", "text"}),
    "the id of an event is one too high": (
        _replaced(gateway_events, "_progress", _id_is_one_too_high),
        {"text"},
    ),
    "a stream of events has no end": (
        _replaced(gateway_events, "ENDS", frozenset()),
        {"one end"},
    ),
    "a fault in a body is no matter": (
        _checked_by("priority", _fault_is_no_matter),
        {"answers"},
    ),
    "an id is kept as it was written": (
        _checked_by("task_id", lambda _name, value: value),
        {"answers", "never lost"},
    ),
    "the store is always well": (_replaced(HealthActor, "_store_part", _store_is_well), {"health"}),
    "the engine is always well": (
        _replaced(HealthActor, "_engine_part", _engine_is_well),
        {"health"},
    ),
    "the node is always ready": (_replaced(HealthApi, "ready", _always_ready), {"health"}),
}

OF_A_DATABASE: Final[dict[str, tuple[Break, set[str]]]] = {
    "the history shows foreign tasks": (
        _replaced(archive, "replace", _of_everybody),
        {"own tasks"},
    ),
    "a page begins with the end of the one before": (
        _replaced(queries, "history", _page_begins_again),
        {"archive"},
    ),
    "figures are of everybody": (
        _replaced(queries, "percentiles", _figures_of_everybody),
        {"archive"},
    ),
    "the audit lacks a step": (_replaced(Reads, "audit", _audit_lacks_one), {"archive"}),
    "unfinished tasks are cleared away": (
        _replaced(queries, "PRUNABLE", _ended_or_not(queries.PRUNABLE)),
        {"pruning"},
    ),
    "one too many is cleared away": (_replaced(store, "prune", _prunes_one_too_many), {"pruning"}),
    "versions that were replaced stay": (
        _replaced(queries, "DELETE_SUPERSEDED", "DELETE FROM journal WHERE false"),
        {"pruning"},
    ),
}

SEEDS: Final[dict[str, Sequence[int]]] = {
    "a follower is told the offset of another task": range(500, 600)
}
"""Where none of the first worlds comes to it."""

MUTATIONS: Final[dict[str, Mutation]] = {
    name: Mutation(broken, frozenset(breaks), SEEDS.get(name, range(SEEDS_TO_FIND)))
    for name, (broken, breaks) in (OF_TASKS | OF_CLIENTS).items()
} | {
    name: Mutation(broken, frozenset(breaks), [seed for seed in range(2_000) if is_kept(seed)])
    for name, (broken, breaks) in OF_A_DATABASE.items()
}


@contextmanager
def mutated(name: str) -> Iterator[Mutation]:
    """The product with this defect."""
    mutation = MUTATIONS[name]
    with mutation.broken():
        yield mutation
