"""The house without its edges: real task actors, channels and sockets on a manual clock.

The engine is played by the test (`Workshop.output` and the like), the disk keeps what it is given.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from random import Random

from edge.actors import Actor, ChildSpec, Crash, Supervisor
from edge.engine.messages import Finished, Generate, Output, Ready
from edge.errors import StorageError
from edge.inference import Abort, EngineLost, EngineUp, Run, Subscribe
from edge.services.task.audience import Followers
from edge.services.task.ends import Ends
from edge.services.task.journal import Journal
from edge.services.task.live_task import Dependencies
from edge.services.task.messages import CancelTask, Command, Commanded, RetryTask
from edge.services.task.tasks import Tasks
from edge.services.task.turns import EngineFollower, Turns
from edge.services.watchers.mine_channel import MINE_TOPIC, MineChannel
from edge.services.watchers.task_channel import TaskChannel
from edge.storage import Row, StoredTask, TaskRow
from edge.tasks.retry import RetryPolicy
from edge.tasks.task import Options, Request
from tests.support.rows import uid
from tests.support.sockets import Client, House, SlowClient

READY = Ready("scripted", 0, 0, 100, 4_096, 4, False, "a script", False)
KEEP_MS = 1_000


class Shelf:
    """A disk that is never slow, and works unless there is a ``refusal``: the workshop's store."""

    durable = True

    def __init__(self) -> None:
        self.specs: dict[str, bytes] = {}
        self.rows: dict[str, TaskRow] = {}
        self.refusal: StorageError | None = None
        self.left_behind: list[StoredTask] = []

    def write(
        self, rows: Sequence[Row], done: Callable[[StorageError | None], object] | None = None
    ) -> bool:
        for row in rows:
            if isinstance(row, TaskRow):
                if row.spec is not None:
                    self.specs[row.task_id] = row.spec
                self.rows[row.task_id] = row
        if done is not None:
            done(self.refusal)
        return True

    async def get(self, task_id: str, *, asker: str = "") -> StoredTask | None:
        row = self.rows.get(task_id)
        if row is None:
            return None
        return StoredTask(
            *(task_id, row.version, row.state, row.created_ns),
            *(self.specs[task_id], row.snapshot, row.client),
        )

    async def unfinished(self) -> AsyncIterator[list[StoredTask]]:
        """Those that it was given (``left_behind``), in two pages."""
        half = len(self.left_behind) // 2
        yield self.left_behind[:half]
        yield self.left_behind[half:]

    async def find_idempotent(self, client: str, key: str) -> str | None:
        return None

    async def history(
        self, *, state: str | None, client: str | None, limit: int, before: str | None
    ) -> list[StoredTask]:
        return []


class PlayedEngine(Actor):
    """Keeps what it is asked to run; the test says what comes of it."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}

    def handle(self, message: object) -> None:
        if isinstance(message, Run):
            self.runs[_asked(message.request)] = message
        elif isinstance(message, Subscribe):
            message.ref.send(EngineUp(READY))
        else:
            assert isinstance(message, (Abort, Commanded))


def _asked(request: Generate) -> str:
    """The prompt, by which tests name their tasks."""
    assert request.messages is not None
    return request.messages[0].content or ""


class Workshop(House):
    """To be made on a running event loop. Tasks are named by their number."""

    def __init__(
        self, *, pumped: bool = False, shelf: Shelf | None = None, held_bytes_max: int = 1 << 30,
        waiting_max: int = 1_000, queue_per_client_max: int = 1_000, **limits: int,
    ) -> None:  # fmt: skip
        """``limits`` as `Tasks` takes them."""
        super().__init__(
            (MINE_TOPIC, lambda: MineChannel(self.tasks)),
            ("task:*", lambda: TaskChannel(self.tasks)),
            pumped=pumped,
        )
        self.shelf = shelf or Shelf()
        self.turns = Turns(self.system, waiting_max=waiting_max, step_ms=1_000, push_ms=250)
        self.engine = PlayedEngine()
        self.ends = Ends()
        self.journal = Journal(self.shelf, self.clock, 500)
        supervisor = Supervisor(
            (
                ChildSpec("engine", lambda: self.engine),
                ChildSpec("follower", lambda: EngineFollower(self.turns)),
                ChildSpec(
                    "tasks",
                    lambda: Supervisor(
                        budget="child",
                        on_exhausted=lambda name, reason: self.tasks.give_up(name, reason),
                    ),
                ),
            )
        )
        self.system.spawn(supervisor, name="node")
        deps = Dependencies(
            turns=self.turns,
            journal=self.journal,
            telemetry=self.telemetry,
            retry=RetryPolicy(1_000, 60_000),
            rng=Random(0),
            followers=Followers(),
            ends=self.ends,
            finished_keep_ms=KEEP_MS,
            on_ended=lambda task_id: self.tasks.forget(task_id),
            on_opened=lambda request: self.tasks.opened(request),
            on_closed=lambda request: self.tasks.closed(request),
        )
        tasks = self.system.registry.whereis("tasks")
        assert tasks is not None
        self.tasks = Tasks(
            self.system,
            Supervisor.of(tasks),
            self.shelf,
            self.journal,
            deps,
            queue_per_client_max=queue_per_client_max,
            held_bytes_max=held_bytes_max,
            **limits,
        )

    async def submit(self, number: int, client: str = "ada") -> str:
        """Accepts a task and lets everybody work; its id."""
        request = Request(
            task_id=uid(number),
            client=client,
            prompt=str(number),
            messages=None,
            model=None,
            options=Options(),
        )
        await self.tasks.submit(request, own_id=True)
        self.work()
        return request.task_id

    def work(self) -> None:
        self.system.run_pending()

    async def fetch(self) -> None:
        """Lets the shelf be read, and everybody work, until nobody waits any more."""
        runners = [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
        while not all(runner.done() for runner in runners):
            self.work()
            await asyncio.sleep(0)
        self.work()
        # What nobody wants to know any more is cancelled; anything else is heard here.
        await asyncio.gather(*(runner for runner in runners if not runner.cancelled()))

    def output(self, number: int, text: str) -> None:
        """One step of the engine: one token, which gave this text."""
        run = self.engine.runs[str(number)]
        run.reply_to.send(Output(run.request.key, 1, (7,), text))
        self.work()

    def finish(self, number: int) -> None:
        run = self.engine.runs.pop(str(number))
        run.reply_to.send(Finished(run.request.key, "stop", "", 3, 0, 5, 1.0, 1.0))
        self.work()

    def lose_engine(self, number: int) -> None:
        """The engine is gone for this task, and takes it again at once."""
        run = self.engine.runs.pop(str(number))
        run.reply_to.send(EngineLost(run.request.key, "it died", False))
        self.work()

    def crash(self, number: int) -> None:
        """The task's actor breaks, and its supervisor brings it back."""
        ref = self.tasks.live(uid(number))
        assert ref is not None
        ref.kill(Crash(RuntimeError("asked to")))
        self.work()

    def ask(self, event: str, number: int) -> None:
        """Cancel or retry, without waiting for what becomes of it."""
        ref = self.tasks.live(uid(number))
        assert ref is not None
        request = CancelTask() if event == "cancel" else RetryTask()
        ref.send(Command(request, self.engine.ref, None))
        self.work()

    def socket(self, topic: str, client: str = "ada") -> Client:
        """A socket that talks about one topic."""
        return Client(self, client, topic)

    def slow_socket(self, topic: str, client: str = "ada") -> SlowClient:
        """One whose client takes long text when it is told to."""
        return SlowClient(self, client, topic)
