"""In which order a node that starts brings its tasks back, so that the waiting line is as it was.

Pure. The line itself is not stored: it follows from the tasks' own times, by how long the node had
run (`edge.clock.Moment`), so that no wall clock has a say in it.
"""

from __future__ import annotations

from collections.abc import Iterable

from edge.tasks.task import Snapshot, State

_Turn = tuple[int, str]  # priority and client


def in_order(unfinished: Iterable[Snapshot]) -> list[Snapshot]:
    """The tasks in the order in which they are to stand in line; of those that the times leave
    open, in the order in which they are given.

    First those that had their turn and lost it with the old node, by their start. Then those that
    wait: within a client and priority by the time when they became ready; between the clients of a
    priority by whose turn it was. A client's last turn is known from its tasks that were running;
    one that had none running may get one turn sooner than it would have had. Last those that wait
    for a time, by that time.
    """
    returning: list[Snapshot] = []
    waiting: list[Snapshot] = []
    later: list[Snapshot] = []
    turns_ns: dict[_Turn, int] = {}
    for task in unfinished:
        if task.state in (State.SCHEDULED, State.RETRYABLE):
            later.append(task)
        elif task.ready_run_ns is not None:
            waiting.append(task)
        else:
            returning.append(task)
            turns_ns[_turn(task)] = max(task.begun_run_ns or 0, turns_ns.get(_turn(task), 0))
    returning.sort(key=lambda task: task.begun_run_ns or 0)
    waiting.sort(key=lambda task: task.ready_run_ns or 0)
    later.sort(key=lambda task: task.due_ns or 0)
    return [*returning, *_by_turns(waiting, turns_ns), *later]


def _turn(task: Snapshot) -> _Turn:
    return task.request.priority, task.request.client


def _by_turns(waiting: list[Snapshot], turns_ns: dict[_Turn, int]) -> list[Snapshot]:
    """A line begins its turns in the order in which its clients come into it, so each client's
    first task goes before all others, in the order of the turns."""
    first: dict[_Turn, Snapshot] = {}
    others = [task for task in waiting if first.setdefault(_turn(task), task) is not task]
    # A client came to the end of the turns when it last had one, or when it came into the line.
    ordered = sorted(
        first.items(), key=lambda item: max(item[1].ready_run_ns or 0, turns_ns.get(item[0], 0))
    )
    return [*(task for _, task in ordered), *others]
