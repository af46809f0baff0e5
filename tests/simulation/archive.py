"""Clients that ask for what was: pages of their history, what happened to a task, figures, files.
What is right is told by the dictionaries of the disk."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import orjson

from edge.storage import AuditRow
from tests.simulation import script
from tests.simulation.http import Answer
from tests.simulation.truth import Violation

if TYPE_CHECKING:
    from tests.simulation.world import World

PAGE_MAX: Final = 50


class Walk:
    """One client on its way through its history, page by page; ``over`` at the last one, or when
    the node would not answer."""

    def __init__(self, world: World, user: str, limit: int) -> None:
        self.found: list[dict[str, Any]] = []
        self.over = self.whole = False
        self._world = world
        self._user = user
        self._limit = limit
        self._there = world.archivist.tasks_of(user)
        self._ask()

    def _ask(self) -> None:
        path = f"/tasks?limit={self._limit}"
        if self.found:
            path += f"&before={self.found[-1]['task_id']}"
        self._world.requests.ask("GET", path, self._user, self._answered, self._failed)

    def _failed(self, _error: Exception) -> None:
        self.over = True

    def _answered(self, answer: Answer) -> None:
        world = self._world
        if answer.status != 200:
            self.over = True
            gone = bool(self.found) and self.found[-1]["task_id"] in world.disk.pruned
            if not (answer.status == 404 and gone) and answer.status not in (429, 503):
                raise Violation("archive", f"{self._user}'s history was answered {answer}")
            return
        page = answer.document["tasks"]
        world.note("page", self._user, [each["task_id"] for each in page])
        for shown in page:
            if shown["client"] != self._user:
                raise Violation("own tasks", f"{self._user}'s history shows {shown}")
        self.found += page
        ids = [shown["task_id"] for shown in self.found]
        if len(set(ids)) != len(ids):
            raise Violation("archive", f"{self._user}'s history shows a task twice: {ids}")
        if len(page) == self._limit:
            self._ask()
            return
        self.over = self.whole = True
        missing = [
            each for each in self._there if each not in ids and each not in world.disk.pruned
        ]
        if missing:
            raise Violation("archive", f"{self._user}'s history lacks {missing}")
        wanted = [each for each in world.archivist.tasks_of(self._user) if each in set(ids)]
        if [each for each in ids if each in set(wanted)] != wanted:
            raise Violation("archive", f"{self._user}'s history is out of order: {ids}")


class Archivist:
    """All questions about what was."""

    def __init__(self, world: World) -> None:
        self._world = world

    def tasks_of(self, user: str) -> list[str]:
        """The ids of all tasks on disk of this user, the last accepted first."""
        latest = self._world.disk.latest
        return [task_id for task_id in reversed(latest) if latest[task_id].client == user]

    def walk(self, user: str, limit: int) -> Walk:
        """A client begins to read its history."""
        return Walk(self._world, user, limit)

    def export(self, user: str, times: int) -> None:
        """A client wants a file, and again before it has it."""
        for _ in range(times):
            there = self.tasks_of(user)

            def answered(answer: Answer, there: list[str] = there) -> None:
                self._exported(user, answer, there)

            self._world.requests.ask(
                "GET", "/tasks/export?format=json", user, answered, lambda _error: None
            )

    def _exported(self, user: str, answer: Answer, there: list[str]) -> None:
        if answer.status in (429, 503):
            return
        if answer.status != 200:
            raise Violation("archive", f"{user}'s export was answered {answer}")
        rows = [orjson.loads(line) for line in answer.body.splitlines()]
        for row in rows:
            if row["client"] != user:
                raise Violation("own tasks", f"{user}'s export has {row}")
        ids = [row["task_id"] for row in rows]
        missing = set(there) - set(ids) - self._world.disk.pruned
        if missing or len(set(ids)) != len(ids):
            raise Violation("archive", f"{user}'s export has {ids}, and not {missing}")

    # ---- at the end

    def read_all(self) -> None:
        """All of everything, in a world at rest."""
        world = self._world
        if world.disk.database is None:
            return
        if world.config.prunes:
            self._wait_for_pruning()
        for user in script.USERS:
            walk = self.walk(user, PAGE_MAX)
            world.wait_for(lambda walk=walk: walk.over)
            if not walk.whole:
                raise Violation("archive", f"{user}'s history cannot be read")
            for shown in walk.found:
                self._check_shown(shown)
            self._check_figures(user)
        for task_id in list(world.disk.latest)[:5]:
            self._check_audit(task_id)

    def _wait_for_pruning(self) -> None:
        """Once nothing happens any more, no more is kept than may be."""
        world, config = self._world, self._world.config
        database = world.disk.database
        assert database is not None
        assert world.life is not None
        if world.life.ref("janitor") is None:
            return  # it has crashed too often
        world.settle_for(2 * config.prune_every_ms * 1_000_000)
        ended = len(world.disk.latest)
        if ended > config.keep_tasks_max:
            raise Violation("pruning", f"{ended} tasks are kept of {config.keep_tasks_max}")
        versions = database.ask(
            "SELECT count(*) FROM journal WHERE version IS NOT NULL GROUP BY task_id"
        )
        if max((count for (count,) in versions), default=0) > 2:
            raise Violation("pruning", f"so many versions of tasks are kept: {versions}")

    def _ask(self, path: str, user: str) -> Any:
        answers: list[Answer] = []
        self._world.requests.ask("GET", path, user, answers.append, lambda _error: None)
        self._world.wait_for(lambda: bool(answers))
        if not answers or answers[0].status != 200:
            raise Violation("archive", f"{path} was answered {answers}")
        return answers[0].document

    def _check_shown(self, shown: dict[str, Any]) -> None:
        row = self._world.disk.latest[shown["task_id"]]
        kept = orjson.loads(row.snapshot)
        text = (shown["result"] or {}).get("text", kept["text"])
        if shown["state"] != row.state or text != kept["text"]:
            raise Violation("archive", f"the history shows {shown}, and on disk is {row}")

    def _check_figures(self, user: str) -> None:
        latest = self._world.disk.latest.values()
        ended = Counter(row.state for row in latest if row.client == user)
        shown = self._ask("/stats", user)["ended"]
        if Counter(shown) != ended:
            raise Violation("archive", f"{user}'s figures are {shown}, and not {dict(ended)}")

    def _check_audit(self, task_id: str) -> None:
        disk = self._world.disk
        # Where few rows may wait for the disk, it may have none.
        trail = [_step(row) for row in disk.trails.get(task_id, ())]
        audit = self._ask(f"/tasks/{task_id}/audit", disk.latest[task_id].client)["audit"]
        shown = [(each["event"], each["from_state"] or "", each["to_state"]) for each in audit]
        # A commit that failed after it had written was written again.
        if [step for n, step in enumerate(shown) if step not in shown[:n]] != list(
            dict.fromkeys(trail)
        ):
            raise Violation("archive", f"the audit of {task_id} is {shown}, not {trail}")


def _step(row: AuditRow) -> tuple[str, str, str]:
    return row.event, row.from_state, row.to_state
