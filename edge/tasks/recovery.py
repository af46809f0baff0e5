"""In which order a node that starts brings its tasks back, so that the waiting line is as it was.

Pure. Where a task stands is its tag, which is stored with it (`edge.tasks.line`). What is left to
decide is who goes first of those with equal tags, and what tags those get that have none: both
follow from the order in which they come back, by how long the node had run (`edge.clock.Moment`),
so that no wall clock has a say in it.
"""

from __future__ import annotations

from collections.abc import Iterable

from edge.tasks.task import Snapshot, State


def in_order(unfinished: Iterable[Snapshot]) -> list[Snapshot]:
    """The tasks in the order in which they are to come back; of those that the times leave open, in
    the order in which they are given.

    First those that had their turn and lost it with the old node, by their start. Then those that
    wait, by the time when they became ready. Last those that wait for a time, by that time.
    """
    returning: list[Snapshot] = []
    waiting: list[Snapshot] = []
    later: list[Snapshot] = []
    for task in unfinished:
        if task.state in (State.SCHEDULED, State.RETRYABLE):
            later.append(task)
        elif task.ready_run_ns is not None:
            waiting.append(task)
        else:
            returning.append(task)
    returning.sort(key=lambda task: task.begun_run_ns or 0)
    waiting.sort(key=lambda task: task.ready_run_ns or 0)
    later.sort(key=lambda task: task.due_ns or 0)
    return [*returning, *waiting, *later]
