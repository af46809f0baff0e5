"""Clients that look at the whole line, and those that pause it for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests.simulation import script
from tests.simulation.http import Answer
from tests.simulation.truth import Violation

if TYPE_CHECKING:
    from tests.simulation.world import World

AGAIN_MS: Final = 300
PAGE: Final = 3


def pause(world: World, entry: script.Pause) -> None:
    """Somebody pauses the line, reads it, and resumes it in the end, however often the node has to
    be asked for that."""

    def paused(answer: Answer) -> None:
        if answer.status != 200 or answer.document["paused"] is not True:
            raise Violation("queue", f"a pause was answered {answer}")
        look(world, entry.user, None)

    world.requests.ask("POST", "/queue/pause", entry.user, paused, lambda _error: None)
    world.requests.later(entry.ms, lambda: resume(world, entry.user))


def resume(world: World, user: str) -> None:
    """Until it is known to go on."""

    def resumed(answer: Answer) -> None:
        if answer.status != 200 or answer.document["paused"] is not False:
            raise Violation("queue", f"a resume was answered {answer}")

    def failed(_error: Exception) -> None:
        world.requests.later(AGAIN_MS, lambda: resume(world, user))

    world.requests.ask("POST", "/queue/resume", user, resumed, failed)


def look(world: World, user: str, after: str | None) -> None:
    """Reads the line from there on, page by page."""

    def answered(answer: Answer) -> None:
        if answer.status != 200:
            raise Violation("queue", f"the line was answered {answer}")
        for row in answer.document["tasks"]:
            _check(world, user, row)
        following = answer.document["next"]
        if following is not None:
            look(world, user, following)

    path = f"/queue?limit={PAGE}" + ("" if after is None else f"&after={after}")
    world.requests.ask("GET", path, user, answered, lambda _error: None)


def _check(world: World, user: str, row: dict[str, Any]) -> None:
    if row["client"] not in (None, user) or (row["task_id"] is None) != (row["client"] is None):
        raise Violation("own tasks", f"{user} is shown {row}")
    known = world.truth.tasks.get(row["task_id"])
    if known is not None and known.client != user:
        raise Violation("own tasks", f"{user} is shown {row}")


class Watch:
    """Sees to it that a line that is paused gives no turns."""

    def __init__(self) -> None:
        self._given: tuple[object, int] | None = None

    def look(self, world: World) -> None:
        """After every turn of the node's loop."""
        life = world.life
        if life is None or not life.turns.paused:
            self._given = None
            return
        given = life, life.turns.line.shared.last_key
        if self._given is not None and self._given != given and self._given[0] is life:
            raise Violation("queue", "a line that is paused has given a turn")
        self._given = given
