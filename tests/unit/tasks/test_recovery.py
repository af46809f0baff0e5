from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clock import Moment
from edge.tasks import machine
from edge.tasks.effects import Effect, Enqueue
from edge.tasks.events import Due, Fail, Lose, Recover, Start
from edge.tasks.line import Entry, Line
from edge.tasks.recovery import in_order
from edge.tasks.task import Options, Request, State, Task
from tests.support.times import at

OPTIONS = Options()
STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=40)


def request(task_id: str, client: str = "a", priority: int = 0) -> Request:
    return Request(task_id, client, "x", None, None, OPTIONS, priority=priority)


def accepted(task_id: str, now_ns: int, client: str = "a", priority: int = 0) -> Task:
    return machine.accept(request(task_id, client, priority), at(now_ns))[0]


class House:
    """A waiting line and the tasks in it, as a node has them."""

    def __init__(self) -> None:
        self.line = Line(step_ms=0)
        self.line.slots = 1_000
        self.tasks: dict[str, Task] = {}

    def carry_out(self, task: Task, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Enqueue):
                request = task.request
                entry = Entry(task.task_id, request.client, 0, 3, 4, None, tag=task.tag)
                self.line.enqueue(entry, 0, returning=effect.front)

    def order(self) -> list[str]:
        return [each.task_id for each in self.line.in_order()]

    def recover(self) -> House:
        """The line that a new node makes of the tasks as they are."""
        new = House()
        for snapshot in in_order(task.snapshot() for task in self.tasks.values()):
            task = new.tasks[snapshot.request.task_id] = snapshot.restore()
            new.carry_out(task, machine.apply(task, Recover(), at(10**9)))
        return new


@settings(deadline=None, max_examples=100)
@given(STEPS)
def test_the_line_after_a_restart_is_the_line_before(steps: list[tuple[str, int]]) -> None:
    house, running = House(), []
    now_ns = 1_000
    for client, turns in steps:
        now_ns += 1
        task = accepted(str(now_ns), now_ns, client)
        task.tag = house.line.flows.reserve(task.task_id, client, 7)
        house.tasks[task.task_id] = task
        house.carry_out(task, [Enqueue(front=False)])
        for _ in range(turns):
            now_ns += 1
            grant = house.line.grant(0)
            if grant is not None:
                machine.apply(house.tasks[grant.entry.task_id], Start(), at(now_ns))
                running.append(grant.entry.task_id)
    before = house.order()
    once = house.recover()
    assert once.order() == [*running, *before]
    # And once more before any of them had its turn again.
    assert once.recover().order() == [*running, *before]


def test_the_wall_clock_has_no_say() -> None:
    """It went back by years while they came, one by one, and had their turns."""
    tasks = []
    for number in range(6):
        now = Moment(number, number, 10**18 - number)
        task, _ = machine.accept(request(str(number)), now, schedule_in_ms=number % 3 // 2)
        if number < 2:
            machine.apply(task, Start(), now)
        tasks.append(task.snapshot())
    assert [task.request.task_id for task in in_order(tasks)] == ["0", "1", "3", "4", "2", "5"]


def test_of_the_same_instant_the_order_is_that_of_the_store() -> None:
    tasks = [accepted(name, 5).snapshot() for name in "bcad"]
    assert in_order(tasks) == tasks


def test_a_task_that_lost_its_second_turn_goes_before_the_waiting_ones() -> None:
    waiting, lost = accepted("waiting", 1), accepted("lost", 2)
    machine.apply(lost, Start(), at(10))
    machine.apply(lost, Fail("timeout", "too slow", True, 0), at(20))
    machine.apply(lost, Due(), at(60))
    machine.apply(lost, Start(), at(70))
    machine.apply(lost, Lose("killed"), at(80))
    ordered = in_order([waiting.snapshot(), lost.snapshot()])
    assert [task.request.task_id for task in ordered] == ["lost", "waiting"]


def test_a_task_that_failed_waits_behind_those_that_came_while_it_paused() -> None:
    failed, other = accepted("failed", 1), accepted("other", 50)
    machine.apply(failed, Start(), at(10))
    machine.apply(failed, Fail("timeout", "too slow", True, 0), at(20))
    machine.apply(failed, Due(), at(60))
    assert [task.request.task_id for task in in_order([failed.snapshot(), other.snapshot()])] == [
        "other",
        "failed",
    ]


def test_a_task_that_lost_its_engine_goes_before_the_waiting_ones() -> None:
    waiting, lost = accepted("waiting", 1), accepted("lost", 2)
    machine.apply(lost, Start(), at(10))
    machine.apply(lost, Lose("killed"), at(20))
    assert lost.state is State.AVAILABLE
    ordered = in_order([waiting.snapshot(), lost.snapshot()])
    assert [task.request.task_id for task in ordered] == ["lost", "waiting"]


def test_what_waits_for_a_time_comes_last_and_by_that_time() -> None:
    late = machine.accept(request("late"), at(1), schedule_in_ms=2)[0]
    early = machine.accept(request("early"), at(2), schedule_in_ms=1)[0]
    now = accepted("now", 3)
    ordered = in_order(task.snapshot() for task in (late, early, now))
    assert [task.request.task_id for task in ordered] == ["now", "early", "late"]
