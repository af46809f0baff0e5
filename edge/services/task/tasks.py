"""The node's tasks as a whole: accepting, finding, cancelling, bringing back after a start.

The gateway talks to this; each task is then an actor of its own under one supervisor, with its own
restart budget.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine
from dataclasses import replace
from itertools import accumulate
from typing import Any, Protocol

from edge.actors import ActorDown, CallTimeout, ChildSpec, Crash, Reason, Ref, Supervisor, System
from edge.clock import NS_PER_MS
from edge.errors import (
    ClientError,
    Conflict,
    IdReused,
    KeyReused,
    LimitReached,
    NotFound,
    Overloaded,
    StorageError,
)
from edge.services.task import wire
from edge.services.task.actor import TaskActor
from edge.services.task.audience import Followers
from edge.services.task.journal import Journal, Unreadable, rebuild, rebuild_to_show
from edge.services.task.live_task import Dependencies, LiveTask
from edge.services.task.messages import (
    CancelTask,
    Commanded,
    Describe,
    Fetched,
    LookAgain,
    RetryTask,
    TaskEvent,
)
from edge.services.task.quotas import Limits, Quotas
from edge.services.task.turns import Turns, known_ms
from edge.services.task.wire import QueuePosition
from edge.storage import StoredTask
from edge.tasks import events, machine, recovery
from edge.tasks.task import Request, Snapshot, State, Task
from edge.telemetry import Telemetry, context

CALL_MS = 5_000
COMMAND_TRIES = 3
"""A task's actor may expire, or crash, while a command is on its way to it."""
HELD_BEYOND_QUEUE_MAX = 100_000
"""Tasks that are kept besides those that may wait: scheduled, running, or ended a moment ago. As
many as may wait, where that is more."""
OWN_LOOKED_AT_MAX = 8
"""Of a client's waiting tasks, when it is estimated how soon some of them end."""
RECOVER_BATCH = 500
RECOVERING_SAID_MS = 10_000
"""How often it is said that a start still reads its tasks."""
BEHIND_MS = 5_000
"""When to come back to a node whose disk is behind."""


class TaskStore(Protocol):
    """What is asked of the store here; see `edge.storage.Store`."""

    def unfinished(self) -> AsyncIterator[list[StoredTask]]: ...

    async def get(self, task_id: str, *, asker: str = "") -> StoredTask | None: ...

    async def find_idempotent(self, client: str, key: str) -> str | None: ...


class _Birth:
    """Makes the actor of a task, for each of its lives. There may be a hundred thousand of these: a
    closure is three times as large."""

    __slots__ = ("_deps", "_live")

    def __init__(self, live: LiveTask, deps: Dependencies) -> None:
        self._live = live
        self._deps = deps

    def __call__(self) -> TaskActor:
        return TaskActor(self._live, self._deps)


class _Question:
    """What a channel has read from the store; nobody wants to know once the channel has ended."""

    __slots__ = ("_runner",)

    def __init__(self, runner: asyncio.Task[object]) -> None:
        self._runner = runner

    def down(self, _ref: Ref, _reason: Reason) -> None:
        self._runner.cancel()


class Tasks:
    """All tasks of the node. To be used on the loop's thread.

    A client sees its own tasks alone: a foreign one is `NotFound`, like one that never was.
    """

    def __init__(
        self,
        system: System,
        supervisor: Supervisor,
        store: TaskStore,
        journal: Journal,
        deps: Dependencies,
        *,
        queue_per_client_max: int,
        held_bytes_max: int,
        tokens_per_client_max: int = 0,
        submissions_per_second_max: int = 0,
        submissions_burst_max: int = 1,
    ) -> None:
        self._system = system
        self._supervisor = supervisor
        self._store = store
        self._journal = journal
        self._deps = deps
        self._quotas = Quotas(
            Limits(
                queue_per_client_max,
                tokens_per_client_max,
                submissions_per_second_max,
                submissions_burst_max,
            )
        )
        self._held_bytes_max = held_bytes_max
        self._held_bytes = 0  # of all requests in `_live_tasks` and of those being accepted
        self._live_tasks: dict[str, LiveTask] = {}
        self._of_client: dict[str, dict[str, None]] = {}
        self._by_key: dict[tuple[str, str], str] = {}
        self._accepting: dict[str, asyncio.Future[bool]] = {}
        self._runners: set[asyncio.Task[object]] = set()
        self._staying: dict[str, tuple[Ref, ...]] = {}
        self.accepts = True

    @property
    def turns(self) -> Turns:
        return self._deps.turns

    @property
    def held(self) -> int:
        """How many are in memory, in whatever state."""
        return len(self._live_tasks)

    @property
    def followers(self) -> Followers:
        return self._deps.followers

    @property
    def telemetry(self) -> Telemetry:
        return self._deps.telemetry

    # ---- accepting

    async def submit(
        self, request: Request, *, own_id: bool, schedule_in_ms: int = 0
    ) -> dict[str, Any]:
        """Accepts a task; when this returns it is committed (or the answer says it is not).

        `own_id` says that the client made the id: then, and with an idempotency key, submitting
        again gives the same task. Raises `Overloaded`, as `LimitReached` where that is the client's
        own doing; `KeyReused` and `IdReused` when that task was submitted with another body;
        `NotFound` for a foreign task's id.
        """
        before = await self.accepted_before(request, own_id=own_id)
        if before is not None:
            return before
        self._check_room(request)
        asked = context.asked()
        if asked is not None and asked.traceparent is not None:
            request = replace(request, traceparent=asked.traceparent)
        self._held_bytes += request.size_bytes
        self._count(request)
        self._submitted(request)
        task, _ = machine.accept(request, self._system.clock.moment(), schedule_in_ms)
        waits = task.state is State.AVAILABLE
        if waits:
            self.turns.reserve(task)
        accepted = asyncio.get_running_loop().create_future()
        self._accepting[request.task_id] = accepted
        if request.idempotency_key is not None:
            self._by_key[request.client, request.idempotency_key] = request.task_id
        try:
            durable = await self._commit(task)
            self._start(task.snapshot(), fresh=True)
            # Its actor has put it in its place, unless its turn came at once.
            answer = {
                "task_id": task.task_id,
                "topic": wire.topic(task.task_id),
                "state": task.state,
                "durable": durable,
            }
            followers = self.followers.of(request.client)
            if followers:
                told = {"seq": task.seq, **answer, **self._place(task, schedule_in_ms)}
                for follower in followers:
                    follower.send(TaskEvent(task.task_id, "accepted", told, last=False))
        except BaseException:
            self._forget_request(request)
            self.closed(request)
            if waits:
                self.turns.refund(task)
            raise
        finally:
            del self._accepting[request.task_id]
            accepted.set_result(request.task_id in self._live_tasks)
        self.telemetry.emit("task.accepted", task_id=task.task_id, client=request.client)
        # One commit is heard of by all that it is about, one after the other: once each has taken
        # its place, no two of them are told the same.
        await asyncio.sleep(0)
        return answer | self._place(task, schedule_in_ms)

    def _place(self, accepted: Task, schedule_in_ms: int) -> dict[str, Any]:
        """Where a task stands that was just accepted, and for how long."""
        if accepted.state is not State.AVAILABLE:
            return {"position": None, "eta_ms": schedule_in_ms, "waits_for": None}
        return (self.turns.position(accepted.task_id) or QueuePosition(0, 0)).told()

    async def accepted_before(self, request: Request, *, own_id: bool) -> dict[str, Any] | None:
        """The answer of `submit`, with its errors, if this was accepted before; else None."""
        before = await self._find_same(request, own_id)
        if before is None:
            return None
        _check_same(request, before)
        return await self.answer(before.task_id, request.client)

    async def _find_same(self, request: Request, own_id: bool) -> Request | None:
        """What was accepted before under this request's key or own id. One that is being accepted
        is waited for. With None, nobody else begins to be before the caller's next `await`."""
        while True:
            stored = None
            if self._find_known(request, own_id) is None:
                stored = await self._find_stored(request, own_id)
            # Memory is asked last: another submission may have begun while the store was asked.
            known = self._find_known(request, own_id)
            if known is None:
                return stored
            accepting = self._accepting.get(known)
            if accepting is not None and not await asyncio.shield(accepting):
                continue  # it was not accepted after all
            live = self._live_tasks.get(known)
            if live is not None:
                return live.snapshot.request
            # It has ended since, and the store has it.

    def _find_known(self, request: Request, own_id: bool) -> str | None:
        key, task_id = request.idempotency_key, request.task_id
        if key is not None and (request.client, key) in self._by_key:
            return self._by_key[request.client, key]
        if own_id and (task_id in self._live_tasks or task_id in self._accepting):
            return task_id
        return None

    async def _find_stored(self, request: Request, own_id: bool) -> Request | None:
        client, key, stored = request.client, request.idempotency_key, None
        task_id = None if key is None else await self._store.find_idempotent(client, key)
        if task_id is not None:
            stored = await self._store.get(task_id, asker=client)
        if stored is None and own_id:
            stored = await self._store.get(request.task_id, asker=client)
        return None if stored is None else rebuild_to_show(stored).request

    def _check_room(self, request: Request, again: bool = False) -> None:
        """Raises `Overloaded` unless there is room for one more task. ``again``: it is in memory,
        and only wants to run once more."""
        if not self.accepts:
            raise Overloaded("the node is stopping; come back in a moment", retry_after_ms=2_000)
        self._check_quota(request)
        waiting_max = self.turns.waiting_max
        waiting = self.turns.waiting + self.turns.coming
        held = len(self._live_tasks) + len(self._accepting)
        held_max = waiting_max + max(HELD_BEYOND_QUEUE_MAX, waiting_max)
        bytes_max = self._held_bytes_max if self._held_bytes else request.size_bytes
        if waiting >= waiting_max:
            sentence = f"{waiting} tasks are waiting, which is as many as this node takes"
            retry_after_ms = self.turns.wait_ms_at_front()
        elif again:
            return
        elif held >= held_max:
            sentence = f"{held} tasks are in memory, with those scheduled for later"
            retry_after_ms = self._until_forgotten_ms()
        elif self._held_bytes + request.size_bytes > bytes_max:
            sentence = f"{self._held_bytes} bytes of requests are in memory, and no room for yours"
            retry_after_ms = self._until_forgotten_ms()
        else:
            return
        raise Overloaded(sentence + "; try again later", retry_after_ms=retry_after_ms)

    def _check_quota(self, request: Request) -> None:
        """Raises `LimitReached` when the client has as much as it may."""
        account, now_ns = request.account, self._system.clock.now_ns()
        excess = self._quotas.excess(account, self.turns.expected_tokens(request), now_ns)
        if excess is None:
            return
        if excess.wait_ns is not None:
            retry_after_ms, way_out = -(-excess.wait_ns // NS_PER_MS), "wait a moment"
        else:
            retry_after_ms = self._until_given_back_ms(account, excess.tokens)
            way_out = "wait until one ends, or cancel some of them"
        raise LimitReached(f"{excess.sentence}; {way_out}", retry_after_ms=retry_after_ms)

    def _until_given_back_ms(self, account: str, tokens: int) -> int:
        """The estimate until so many tasks of this account have ended that they had so many tokens,
        or as many as are looked at: all that run, and the first of the others."""
        costs = {
            task.task_id: self._quotas.cost(account, task.task_id)
            for task in self.turns.running_tasks()
            if task.request.account == account
        }
        if sum(costs.values()) < tokens or not costs:
            costs |= self._quotas.first(account, OWN_LOOKED_AT_MAX)
        ends = sorted((self._end_ms(task_id), cost) for task_id, cost in costs.items())
        given_back = accumulate(cost for _, cost in ends)
        enough = (end for end, cost in zip(ends, given_back, strict=True) if cost >= tokens)
        return next(enough, ends[-1])[0]

    def _end_ms(self, task_id: str) -> int:
        """The estimate until one of the tasks in memory ends."""
        live = self._live_tasks.get(task_id)
        if live is None:  # it is being accepted
            return known_ms(self.turns.wait_ms_at_end())
        task = live.task
        if task.due_ns is not None and task.state in (State.SCHEDULED, State.RETRYABLE):
            due_in_ns = task.due_ns - self._system.clock.moment().schedule_ns
            return self.turns.left_ms(task) + max(0, due_in_ns) // NS_PER_MS
        return self.turns.until_end_ms(task)

    def _until_forgotten_ms(self) -> int:
        """The estimate until a task leaves the memory: it stays there when it has ended."""
        ends = (self.turns.left_ms(task) for task in self.turns.running_tasks())
        return min(ends, default=0) + self._deps.finished_keep_ms

    async def _commit(self, task: Task) -> bool:
        """Whether it is written down. If not it lives in memory, and the answer says so; if it can
        be neither, `Overloaded`."""
        committed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def done(error: StorageError | None) -> None:
            if not committed.done():
                committed.set_result(error is None)

        if not self._journal.record(task, "accepted", None, done=done):
            sentence = "more waits for the disk than this node can keep; try again later"
            raise Overloaded(sentence, retry_after_ms=BEHIND_MS)
        return await committed

    def _start(self, snapshot: Snapshot, *, fresh: bool = False) -> Ref:
        live = LiveTask(snapshot, fresh)
        ref = self._spawn(live)
        request = snapshot.request
        self._live_tasks[request.task_id] = live
        self._of_client.setdefault(request.client, {})[request.task_id] = None
        for channel in self._staying.pop(request.task_id, ()):
            channel.send(LookAgain(request.task_id))
        return ref

    def _bring_back(self, snapshot: Snapshot) -> Ref:
        """From the store, whatever the limits: it has been accepted."""
        self._held_bytes += snapshot.request.size_bytes
        return self._start(snapshot)

    def _spawn(self, live: LiveTask) -> Ref:
        return self._supervisor.start_child(
            ChildSpec(
                name=wire.topic(live.snapshot.request.task_id),
                start=_Birth(live, self._deps),
                restart="transient",
            )
        )

    def _count(self, request: Request) -> None:
        """The task counts for its client until it is `closed`."""
        tokens = self.turns.expected_tokens(request)
        self._quotas.open(request.account, request.task_id, tokens)

    def _submitted(self, request: Request) -> None:
        self._quotas.submitted(request.account, self._system.clock.now_ns())

    def opened(self, request: Request) -> None:
        """A task that had ended runs again, and counts like a new one. `Overloaded` when there is
        no room for it."""
        self._check_room(request, True)
        self._submitted(request)
        self._count(request)

    # ---- what has ended

    def closed(self, request: Request) -> None:
        """The task has ended, or was not accepted after all."""
        self._quotas.close(request.account, request.task_id)

    def forget(self, task_id: str) -> None:
        """The task's actor has ended normally; from now on the store knows it."""
        live = self._live_tasks.pop(task_id, None)
        if live is None:
            return
        self._deps.ends.forget(task_id)
        request = live.snapshot.request
        self._forget_request(request)
        self.closed(request)
        own = self._of_client[request.client]
        del own[task_id]
        if not own:
            del self._of_client[request.client]

    def _forget_request(self, request: Request) -> None:
        self._held_bytes -= request.size_bytes
        if request.idempotency_key is not None:
            self._by_key.pop((request.client, request.idempotency_key), None)

    def give_up(self, name: str, reason: object) -> None:
        """A task's actor crashed more often than its budget allows: the task is discarded. By a
        last actor if that can do it, so that the end is written down and told as any other is."""
        task_id = name.removeprefix(wire.TOPIC_PREFIX)
        live = self._live_tasks.get(task_id)
        if live is None:
            return
        sentence = f"working on this task failed again and again ({reason}); this is a defect"
        discard = events.Fail("internal_error", sentence, False, 0)
        task = live.snapshot.restore()
        if not live.given_up:
            live.given_up = True
            last = self._spawn(live)
            if not task.terminal:
                last.send(discard)
            return
        if not task.terminal:
            before = task.state
            machine.apply(task, discard, self._system.clock.moment())
            self._journal.record(task, "failed", before, sentence)
        self.forget(task_id)

    # ---- finding

    def of_client(self, client: str) -> Collection[str]:
        """The ids of the client's tasks in memory: all that have not ended, and those that ended
        a moment ago; the oldest first."""
        return self._of_client.get(client, {}).keys()

    def live(self, task_id: str) -> Ref | None:
        """The task's actor, if it is in memory."""
        return self._system.registry.whereis(wire.topic(task_id))

    def live_of(self, client: str, task_id: str) -> Ref | None:
        """The task's actor, if the task is the client's and in memory. Of a foreign one nobody
        asks anything: what it answers, and how soon, would tell that there is such a task."""
        return self.live(task_id) if self._is_live(client, task_id) else None

    def _is_live(self, client: str, task_id: str) -> bool:
        live = self._live_tasks.get(task_id)
        return live is not None and live.snapshot.request.client == client

    async def document(self, task_id: str, client: str) -> dict[str, Any]:
        """The task whole, wherever it is. `NotFound` otherwise."""
        ref = self.live_of(client, task_id)
        if ref is not None:
            try:
                return _own(await self._ask(ref, Describe()), client, task_id)
            except ActorDown:
                pass  # it ended between the look-up and the call; the store has it
        stored = await self._read(task_id, client)
        return _own(None if stored is None else self._stored(stored), client, task_id)

    async def _read(self, task_id: str, client: str) -> StoredTask | None:
        """From the store. StorageError also when it does not have what it is still to get: then
        the task is on its way back, or the node is ending, and its client is not to hear of no
        task."""
        stored = await self._store.get(task_id, asker=client)
        if stored is not None and stored.client != client:
            return None  # before anything is made of it, which would take its time
        if stored is None and self._is_live(client, task_id):
            raise StorageError(f"the task {task_id} is not written down yet; ask again in a moment")
        return stored

    async def answer(self, task_id: str, client: str) -> dict[str, Any]:
        """What a submission is answered with, for a task that exists already."""
        shown = await self.document(task_id, client)
        names = ("task_id", "topic", "state", "position", "eta_ms", "waits_for", "durable")
        return {name: shown[name] for name in names}

    def fetch(self, task_id: str, client: str, channel: Ref) -> None:
        """Reads an ended task from the store; the channel is answered with `Fetched`. Its end takes
        the question back, so there are never more of them than channels."""

        async def read() -> Fetched:
            stored = await self._read(task_id, client)
            return Fetched(task_id, None if stored is None else rebuild_to_show(stored).restore())

        runner = self._run_for(channel, read())
        self._runners.add(runner)
        question = _Question(runner)
        channel.add_watcher(question)
        runner.add_done_callback(lambda _: channel.remove_watcher(question))

    def order(
        self,
        task_id: str,
        client: str,
        request: CancelTask | RetryTask,
        channel: Ref,
        ref: object,
    ) -> None:
        """As `cancel` and `retry`, for a channel, which is answered with `Commanded`."""

        async def command() -> Commanded:
            try:
                return Commanded(ref, await self._command(task_id, client, request), None)
            except (ClientError, Overloaded, StorageError) as error:
                return Commanded(ref, None, str(error))

        # Unlike a question, a command is carried out also when who gave it has left.
        self._runners.add(self._run_for(channel, command()))

    def _run_for(self, channel: Ref, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        """Sends the channel what comes of the work; to be kept among the runners."""

        def answer(ended: asyncio.Task[object]) -> None:
            self._runners.discard(ended)
            if ended.cancelled():
                return
            error = ended.exception()
            if error is None:
                channel.send(ended.result())
                return
            # What was asked for is not known: the client comes back and asks again.
            if not isinstance(error, Overloaded):
                self.telemetry.emit("store.failed", error=error, rows_waiting=0)
            channel.kill(Crash(error))

        runner = asyncio.get_running_loop().create_task(work)
        runner.add_done_callback(answer)
        return runner

    def stay(self, task_id: str, channel: Ref) -> None:
        """The channel stays with an ended task that is not in memory: it gets `LookAgain` once that
        is again, because somebody wants it to run."""
        self._staying[task_id] = (*self._staying.get(task_id, ()), channel)

    def leave(self, task_id: str, channel: Ref) -> None:
        """Forgets a channel that may have stayed."""
        left = tuple(each for each in self._staying.pop(task_id, ()) if each is not channel)
        if left:
            self._staying[task_id] = left

    def _stored(self, stored: StoredTask) -> dict[str, Any]:
        return wire.document(rebuild_to_show(stored).restore(), durable=True, logprobs=True)

    # ---- commanding

    async def cancel(self, task_id: str, client: str) -> dict[str, Any]:
        """Cancels; the document once that is committed, or where the disk takes longer than
        `CANCEL_MS`, with the state ``cancelling``. `Conflict` when it has ended otherwise, or
        before this; `NotFound` when there is none."""
        return await self._command(task_id, client, CancelTask())

    async def retry(self, task_id: str, client: str) -> dict[str, Any]:
        """Runs an ended task again. `Conflict` while it has not ended, `Overloaded` when there is
        no room for it, as in `submit`."""
        return await self._command(task_id, client, RetryTask())

    async def _command(
        self, task_id: str, client: str, request: CancelTask | RetryTask
    ) -> dict[str, Any]:
        for _ in range(COMMAND_TRIES):
            ref = self.live_of(client, task_id) or await self._revive(task_id, client, request)
            try:
                return _own(await self._ask(ref, request), client, task_id)
            except ActorDown:
                # It ended or crashed in this moment: a successor has the task, or the store.
                continue
        raise Overloaded(
            "working on this task fails again and again; ask again", retry_after_ms=BEHIND_MS
        )

    async def _ask(self, ref: Ref, request: object) -> Any:
        """Calls the task's actor. `Overloaded` when it does not answer in time."""
        try:
            return await ref.call(request, deadline_ms=CALL_MS)
        except CallTimeout as error:
            sentence = "the node is too busy, or its disk too slow, to answer in time; ask again"
            raise Overloaded(sentence, retry_after_ms=BEHIND_MS) from error

    async def _revive(self, task_id: str, client: str, wish: CancelTask | RetryTask) -> Ref:
        """The actor of an ended task that was no longer in memory. Conflict when what is stored of
        it cannot be read, `Overloaded` when it is to run again and there is no room for it."""
        stored = await self._read(task_id, client)
        if stored is None:
            raise _not_found(task_id)
        try:
            ref = self.live(task_id)
            if ref is not None:
                return ref
            snapshot = rebuild(stored)
            if isinstance(wish, RetryTask):
                # Before it takes any: its actor looks again, when it really begins.
                self._check_room(snapshot.request)
            return self._bring_back(snapshot)
        except Unreadable as error:
            raise Conflict(f"{error}, so nothing can be done with it") from error

    # ---- after a start

    async def recover(self) -> int:
        """Brings all unfinished tasks back; how many. They go on where their last snapshot ends,
        and stand in line as they did."""
        snapshots: list[Snapshot] = []
        said_ns = self._system.clock.now_ns()
        async for page in self._store.unfinished():
            if self._system.clock.now_ns() - said_ns >= RECOVERING_SAID_MS * NS_PER_MS:
                said_ns = self._system.clock.now_ns()
                self.telemetry.emit("tasks.recovering", tasks=len(snapshots))
            for stored in page:
                try:
                    snapshots.append(rebuild(stored))
                except Unreadable as error:
                    # It stays in the database; the others must not wait for somebody to repair it.
                    self.telemetry.emit("store.failed", error=error, rows_waiting=0)
        tags = [each.tag for each in snapshots if each.tag is not None]
        self.turns.begin_at(min(tags, default=0.0))
        for number, snapshot in enumerate(recovery.in_order(snapshots), 1):
            self._bring_back(snapshot)
            request = snapshot.request
            self._count(request)
            if request.idempotency_key is not None:
                self._by_key[request.client, request.idempotency_key] = request.task_id
            if number % RECOVER_BATCH == 0:
                await asyncio.sleep(0)
        return len(snapshots)


def _check_same(request: Request, before: Request) -> None:
    """Whether this is the one that was accepted before, said again."""
    if before.client != request.client:
        raise _not_found(before.task_id)
    if before.is_repeated_by(request):
        return
    key = request.idempotency_key
    if key is not None and key == before.idempotency_key:
        raise KeyReused(
            f"this Idempotency-Key was sent with another body before, for the task"
            f" {before.task_id}; a new request needs a new key",
            field="Idempotency-Key",
        )
    raise IdReused(
        f"the task {before.task_id} was submitted with another body before; a new request needs"
        " a new task_id",
        field="task_id",
    )


def _own(shown: Any, client: str, task_id: str) -> dict[str, Any]:
    if shown is None or shown["client"] != client:
        raise _not_found(task_id)
    document: dict[str, Any] = shown
    return document


def _not_found(task_id: str) -> NotFound:
    return NotFound(f"there is no task {task_id}", field="task_id")
