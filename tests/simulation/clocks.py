"""What the wall clock must have no say in: when scheduled tasks run, how long things took, and who
comes before whom. Somebody sets it, at drawn moments, in a running node and between two lives."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from edge.clock import NS_PER_MS, NS_PER_S
from edge.tasks.task import Snapshot, State, Task
from edge.telemetry import Event
from tests.simulation import script
from tests.simulation.node import Life
from tests.simulation.truth import Violation

if TYPE_CHECKING:
    from tests.simulation.world import World

LATE_NS_MAX: Final = NS_PER_S
"""From when a scheduled task is due until the node has got to it."""


def set_wall(world: World, entry: script.SetClock) -> None:
    """Somebody sets the clock of the machine."""
    for clock in (world.clock, world.life.clock if world.life is not None else None):
        if clock is not None:
            clock.set_wall(clock.wall_ns() + entry.by_s * NS_PER_S)


def heard(world: World, life: Life, event: Event) -> None:
    """The node's own account of what it does."""
    fields: dict[str, Any] = event.fields
    if event.name == "task.accepted":
        world.accepted_ns[fields["task_id"]] = world.clock.now_ns()
    elif event.name == "task.started":
        ref = life.tasks.live(fields["task_id"])
        if ref is not None and ref.alive:
            task: Task = ref.actor().task  # type: ignore[attr-defined]
            _not_early(world, task)
            _not_before_its_turn(world, life, task)
    elif event.name == "task.finished":
        _measured(world, {"duration_ms": fields["duration_ms"]})


def submission(world: World, task: Task | Snapshot) -> tuple[int, script.Submit]:
    """When the task was posted first, in the world's time, and what it was."""
    number = int((task.request.prompt or "").split()[0])
    return world.posted_us[number] * 1_000, world.submitted[number]


def _not_early(world: World, task: Task) -> None:
    known = world.truth.tasks.get(task.task_id)
    if known is not None and known.retries_sent:
        return
    posted_ns, entry = submission(world, task)
    early_ns = posted_ns + entry.schedule_in_ms * NS_PER_MS - world.clock.now_ns()
    if early_ns > 0:
        raise Violation("clock", f"a task runs {early_ns / NS_PER_S:g} s too early: {entry}")


def not_late(world: World, life: Life) -> None:
    """Nobody waits for longer than it was asked to. The node serves."""
    for task_id, accepted_ns in world.accepted_ns.items():
        ref = life.tasks.live(task_id)
        if ref is None or not ref.alive:
            continue
        task: Task = ref.actor().task  # type: ignore[attr-defined]
        if task.state is State.SCHEDULED:
            _, entry = submission(world, task)
            due_ns = accepted_ns + entry.schedule_in_ms * NS_PER_MS
            if world.clock.now_ns() > due_ns + LATE_NS_MAX:
                raise Violation("clock", f"a task still waits for its time: {entry}")


def _fresh(world: World, task: Task, version: int) -> bool:
    """It has waited since it was accepted, and for nothing but its turn."""
    return task.version == version and not submission(world, task)[1].schedule_in_ms


def _not_before_its_turn(world: World, life: Life, task: Task) -> None:
    """Of one user and priority, who was accepted first runs first, over restarts, too. Not where
    actors crash: whoever comes back then stands at the end."""
    if world.has_crashes or not _fresh(world, task, 2):
        return
    order = {task_id: place for place, task_id in enumerate(world.disk.versions)}
    place = order.get(task.task_id)
    # Each model has slots of its own.
    for entry in life.turns.lane(task.request.model).line.in_order():
        other: Task = entry.owner.task
        if (
            place is not None
            and other.state is State.AVAILABLE
            and (other.request.flow, other.request.priority)
            == (task.request.flow, task.request.priority)
            and _fresh(world, other, 1)
            and order.get(other.task_id, place) < place
        ):
            raise Violation("order", f"{task.request} runs before {other.request}")


def check_timings(world: World, snapshot: Snapshot) -> None:
    """Nothing took less than no time, or longer than the world has stood."""
    _measured(world, asdict(snapshot.timings))


def _measured(world: World, durations_ms: dict[str, float | None]) -> None:
    age_ms = world.clock.now_ns() / NS_PER_MS
    for name, duration_ms in durations_ms.items():
        if duration_ms is not None and not 0 <= duration_ms <= age_ms:
            raise Violation("clock", f"{name} is {duration_ms}, and the world is {age_ms} ms old")
