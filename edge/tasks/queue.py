"""The waiting line: by priority, fair between clients, first come first served within a client.

Inside one priority the clients take turns, so that one client's thousand tasks do not stand before
another's first. Tasks that had their turn and lost it through no fault of their own (their engine
died, or the node) go before all turns of their priority, in the order in which they came back.
Taking a task out of the middle (a cancel) is O(1); looking up a position walks the line up to it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Container, Iterator
from itertools import chain
from typing import Final

PRIORITIES: Final = 10


class _Line:
    """Tasks in their order, each with its client."""

    __slots__ = ("client", "priority", "tasks")

    def __init__(self, priority: int, client: str | None) -> None:
        self.priority = priority
        self.client = client  # None for those that come back
        self.tasks: OrderedDict[str, str] = OrderedDict()


class FairQueue:
    """Task ids in the order in which they will be served. Bounded by ``tasks_max``."""

    def __init__(self, tasks_max: int) -> None:
        self.tasks_max = tasks_max
        self._returning = [_Line(priority, None) for priority in range(PRIORITIES)]
        # Per priority: clients in the order of their turns, each with its line.
        self._levels: list[OrderedDict[str, _Line]] = [OrderedDict() for _ in range(PRIORITIES)]
        self._where: dict[str, _Line] = {}

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._where

    @property
    def full(self) -> bool:
        return len(self._where) >= self.tasks_max

    def waiting_of(self, client: str) -> int:
        """How many tasks of this client wait."""
        waiting = sum(len(level[client].tasks) for level in self._levels if client in level)
        for line in self._returning:
            waiting += sum(each == client for each in line.tasks.values())
        return waiting

    def push(self, task_id: str, client: str, priority: int, *, front: bool = False) -> None:
        """Adds a task at the end of its client's line, or among those that come back to the front.

        The bound is the business of who accepts tasks (`full`): what was accepted always fits.
        Raises ValueError for a task that is waiting already.
        """
        if task_id in self._where:
            raise ValueError(f"task {task_id} is in the queue already")
        level = self._levels[priority]
        line = self._returning[priority] if front else level.get(client)
        if line is None:
            line = level[client] = _Line(priority, client)
        line.tasks[task_id] = client
        self._where[task_id] = line

    def pop(self, among: Container[str] | None = None) -> str | None:
        """Takes the next task, or the next one that is `among` these, for which it walks past the
        others; the client whose turn it was goes to the end of the turns."""
        for returning, level in zip(self._returning, self._levels, strict=True):
            for line in chain((returning,), level.values()):
                for task_id in line.tasks:
                    if among is None or task_id in among:
                        self._take(line, task_id)
                        return task_id
        return None

    def _take(self, line: _Line, task_id: str) -> None:
        del line.tasks[task_id], self._where[task_id]
        if line.client is None:
            return
        level = self._levels[line.priority]
        if line.tasks:
            level.move_to_end(line.client)
        else:
            del level[line.client]

    def remove(self, task_id: str) -> bool:
        """Takes a task out wherever it stands; False when it was not waiting."""
        line = self._where.pop(task_id, None)
        if line is None:
            return False
        del line.tasks[task_id]
        if not line.tasks and line.client is not None:
            del self._levels[line.priority][line.client]
        return True

    def order(self) -> Iterator[str]:
        """All waiting tasks in the order in which `pop` would give them, if nothing came between.
        The queue must not change during the walk."""
        for returning, level in zip(self._returning, self._levels, strict=True):
            yield from returning.tasks
            lines = [iter(line.tasks) for line in level.values()]
            while lines:
                still = []
                for line in lines:
                    task_id = next(line, None)
                    if task_id is not None:
                        yield task_id
                        still.append(line)
                lines = still

    def positions(self, wanted: Collection[str], at_most: int | None = None) -> dict[str, int]:
        """Positions (1 is next) of those of `wanted` that are waiting, in one walk; only of the
        first `at_most` of them, if that is given."""
        left = sum(task_id in self._where for task_id in wanted)
        if at_most is not None:
            left = min(left, at_most)
        found: dict[str, int] = {}
        if left:
            for position, task_id in enumerate(self.order(), 1):
                if task_id in wanted:
                    found[task_id] = position
                    if len(found) == left:
                        break
        return found

    def position_of_next(self, client: str, priority: int) -> int:
        """The position that a task pushed now would have; walks the clients, not the tasks."""
        before = sum(
            len(line.tasks) for level in self._levels[:priority] for line in level.values()
        )
        before += sum(len(line.tasks) for line in self._returning[: priority + 1])
        level = self._levels[priority]
        own = len(level[client].tasks) if client in level else 0
        turn_passed = False
        for other, line in level.items():
            if other == client:
                before += own
                turn_passed = True
            else:
                # A client whose turn is before ours has one more chance to go first.
                reached = own if turn_passed else own + 1
                before += min(len(line.tasks), reached)
        return before + 1
