"""The waiting line: by priority, fair between clients, first come first served within a client.

Inside one priority the clients take turns, so that one client's thousand tasks do not stand before
another's first. Removing a task from the middle (a cancel) and putting one back to the front (its
engine died) are O(1); looking up a position walks the line up to it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Container, Iterator
from typing import Final, TypeAlias

PRIORITIES: Final = 10

_Level: TypeAlias = OrderedDict[str, OrderedDict[str, None]]


class FairQueue:
    """Task ids in the order in which they will be served. Bounded by ``tasks_max``."""

    def __init__(self, tasks_max: int) -> None:
        self.tasks_max = tasks_max
        # Per priority: clients in the order of their turns, each with its line of task ids.
        self._levels: list[_Level] = [OrderedDict() for _ in range(PRIORITIES)]
        self._where: dict[str, tuple[int, str]] = {}

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._where

    @property
    def full(self) -> bool:
        return len(self._where) >= self.tasks_max

    def waiting_of(self, client: str) -> int:
        """How many tasks of this client wait."""
        return sum(len(level[client]) for level in self._levels if client in level)

    def push(self, task_id: str, client: str, priority: int, *, front: bool = False) -> None:
        """Adds a task at the end of its client's line, or at its front if it was running before.

        The bound is the business of who accepts tasks (`full`): what was accepted always fits.
        Raises ValueError for a task that is waiting already.
        """
        if task_id in self._where:
            raise ValueError(f"task {task_id} is in the queue already")
        level = self._levels[priority]
        line = level.get(client)
        if line is None:
            line = level[client] = OrderedDict()
        line[task_id] = None
        if front:
            line.move_to_end(task_id, last=False)
            level.move_to_end(client, last=False)
        self._where[task_id] = (priority, client)

    def pop(self, among: Container[str] | None = None) -> str | None:
        """Takes the next task, or the next one that is `among` these, for which it walks past the
        others; its client goes to the end of the turns."""
        for level in self._levels:
            for client, line in level.items():
                for task_id in line:
                    if among is None or task_id in among:
                        self._take(level, client, task_id)
                        return task_id
        return None

    def _take(self, level: _Level, client: str, task_id: str) -> None:
        line = level[client]
        del line[task_id], self._where[task_id]
        if line:
            level.move_to_end(client)
        else:
            del level[client]

    def remove(self, task_id: str) -> bool:
        """Takes a task out wherever it stands; False when it was not waiting."""
        where = self._where.pop(task_id, None)
        if where is None:
            return False
        priority, client = where
        line = self._levels[priority][client]
        del line[task_id]
        if not line:
            del self._levels[priority][client]
        return True

    def order(self) -> Iterator[str]:
        """All waiting tasks in the order in which `pop` would give them, if nothing came between.
        The queue must not change during the walk."""
        for level in self._levels:
            lines = [iter(line) for line in level.values()]
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
        before = sum(len(line) for level in self._levels[:priority] for line in level.values())
        level = self._levels[priority]
        own = len(level.get(client, ()))
        turn_passed = False
        for other, line in level.items():
            if other == client:
                before += own
                turn_passed = True
            else:
                # A client whose turn is before ours has one more chance to go first.
                reached = own if turn_passed else own + 1
                before += min(len(line), reached)
        return before + 1
