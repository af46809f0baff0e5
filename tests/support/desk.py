"""Turns, an engine that only listens, and tasks that are named as the test likes."""

from __future__ import annotations

from edge.actors import Ref
from edge.services.task.forecast import Owner
from edge.services.task.turns import Turn, Turns
from edge.services.task.wire import QueuePosition
from edge.tasks.line import Entry
from edge.tasks.task import Options, Request, State, Task
from tests.support.ears import Ear, Quiet

PUSH_MS = 500


class Desk(Quiet):
    """See the module. All tasks are of level 0, and of one client unless they say otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.engine, self.engine_ref = self.ear("engine")
        self.turns = Turns(self.system, waiting_max=10_000, step_ms=0, push_ms=PUSH_MS)
        self.ears: dict[str, Ear] = {}

    def task(self, name: str, client: str = "ada", *, most: int = 10) -> Task:
        options = Options(max_tokens=most, ignore_eos=True)
        return Task(Request(name, client, "hello", None, None, options), State.AVAILABLE, 0)

    def wait(
        self, name: str, client: str = "ada", *, ref: Ref | None = None, most: int = 10,
        **more: bool,
    ) -> Task:  # fmt: skip
        """A task stands in line; its actor, or this one, hears of it."""
        if ref is None:
            self.ears[name], ref = self.ear()
        task = self.task(name, client, most=most)
        entry = Entry(name, client, 0, 1, most, Owner(task, ref))
        for mark, value in more.items():
            setattr(entry, mark, value)
        self.turns.enqueue(entry)
        self.work()
        return task

    def wait_quietly(self, name: str, client: str, ref: Ref) -> None:
        """One of many, of which nobody hears."""
        owner = Owner(self.task(name, client), ref)
        self.turns.enqueue(Entry(name, client, 5, 1, 10, owner))

    def turn(self, name: str) -> Turn:
        """The only turn that this task was given."""
        (turn,) = self.ears[name].of(Turn)
        return turn

    def told(self, name: str) -> list[QueuePosition]:
        """What this task's actor was told of its place."""
        return self.ears[name].of(QueuePosition)

    def place(self, name: str) -> QueuePosition:
        """Of a task that waits."""
        place = self.turns.position(name)
        assert place is not None
        return place

    def eta_ms(self, name: str) -> int:
        """Of a task of which it is known."""
        eta_ms = self.place(name).eta_ms
        assert eta_ms is not None
        return eta_ms

    def teach(self, step_ms: float, sequences: int) -> None:
        """The engine has made many steps, each of so long."""
        for _ in range(200):
            self.turns.forecast.estimator.saw_step(step_ms, sequences, 0)
