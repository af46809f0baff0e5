"""When a task runs that waits for its time.

A schedule is relative: ``schedule_in_ms``, and the pause before another attempt, say how long to
wait and not until which date. So it is kept by `Moment.schedule_ns`, and that decides all cases:

* In a running node nothing but time that passes counts. Who sets the wall clock, either way and
  however far, makes no task early or late. Sleep of the machine counts where the system tells of
  it; timers don't know of it, so each wait is looked at again every `LOOK_AGAIN_MS` at most.
* Over a restart the time counts for which the node was down. The machine knows it, unless it was
  started anew; then the wall clock is asked, and believed within bounds
  (`edge.clock.downtime_ns`). One that went back, or on by years, counts nothing: then a task waits
  for what was left when the node was last seen, which is never more than it was asked to wait. One
  that went on by less looks like a rest, and the task may be early by that: it runs at once.
* What is shown as ``scheduled_at`` follows the wall clock and decides nothing.

A task stored before this was counted waits until its date, for as long as it was asked to at most.
"""

from __future__ import annotations

from typing import Final

from edge.clock import NS_PER_MS, Moment
from edge.tasks.task import Task

LOOK_AGAIN_MS: Final = 60_000


def set_due(task: Task, delay_ms: int, now: Moment) -> None:
    """The task is due after this time."""
    task.due_ns = now.schedule_ns + delay_ms * NS_PER_MS
    set_date(task, now)


def set_date(task: Task, now: Moment) -> None:
    """Shows when the task is due, by the wall clock as it is now. One that was stored with its date
    alone, before schedules were counted, is due at that date, but within what it was asked for."""
    date_ns = task.scheduled_ns or now.wall_ns
    if task.due_ns is None:
        left_ns = min(date_ns - now.wall_ns, date_ns - task.created_ns)
        task.due_ns = now.schedule_ns + max(0, left_ns)
    task.scheduled_ns = now.wall_ns + task.due_ns - now.schedule_ns


def left_ms(task: Task, now: Moment) -> int:
    """How long the task still has to wait, rounded up; 0 when it is due."""
    left_ns = 0 if task.due_ns is None else max(0, task.due_ns - now.schedule_ns)
    return -(-left_ns // NS_PER_MS)
