"""Earlier answers, from a store that is played."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from edge.errors import StorageError
from edge.services.keeping.history import History
from edge.storage import StoredTask
from edge.tasks.task import Options, Request, State, Task
from tests.support.rows import Heard, with_text

REQUEST = Request("t", "ada", "hi", None, None, Options())
DONE = with_text(Task(REQUEST, State.COMPLETED, 0, source="model"), "Once upon a time")


class Shelf:
    """Has some tasks that asked the same, the newest first, or an error; None is a damaged one."""

    def __init__(self, *tasks: Task | None, error: StorageError | None = None) -> None:
        self.tasks = tasks
        self.error = error

    async def find_answers(self, fingerprint: str, client: str) -> list[str]:
        assert (fingerprint, client) == (REQUEST.fingerprint(), "ada")
        if self.error is not None:
            raise self.error
        return [str(number) for number in range(len(self.tasks))]

    async def get(self, task_id: str, *, asker: str = "") -> StoredTask | None:
        assert asker == "ada"
        task, spec = self.tasks[int(task_id)], REQUEST.to_json()
        if task is None:
            return StoredTask("t", 2, "completed", 0, spec, b"{", "ada")
        return StoredTask("t", 2, str(task.state), 0, spec, task.snapshot().to_json(), "ada")


async def find(shelf: Shelf, heard: Heard | None = None) -> str | None:
    got: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
    History(shelf, (heard or Heard()).telemetry).find(REQUEST, got.set_result)
    assert not got.done(), "never at once"
    return await got


async def test_the_text_of_the_models_answer() -> None:
    assert await find(Shelf(DONE)) == "Once upon a time"
    assert await find(Shelf()) is None


@pytest.mark.parametrize(
    "other",
    [replace(DONE, source="notice"), replace(DONE, state=State.CANCELLED)],
    ids=["the fallback's own", "run again since"],
)
async def test_what_is_no_answer_of_the_model_any_more(other: Task) -> None:
    assert await find(Shelf(other)) is None


async def test_a_store_that_cannot_be_read_is_told_of_and_has_none() -> None:
    heard = Heard()
    assert await find(Shelf(error=StorageError("no")), heard) is None
    assert len(heard.of("store.failed")) == 1


async def test_an_earlier_answer_is_not_hidden_by_what_came_after() -> None:
    for later in (None, replace(DONE, state=State.CANCELLED), replace(DONE, source="notice")):
        assert await find(Shelf(later)) is None
        assert await find(Shelf(later, DONE)) == "Once upon a time"


async def test_a_task_that_was_pruned_meanwhile_hides_none() -> None:
    class Pruned(Shelf):
        async def get(self, task_id: str, *, asker: str = "") -> StoredTask | None:
            return None if task_id == "0" else await super().get(task_id, asker=asker)

    assert await find(Pruned(DONE, with_text(replace(DONE), "another"))) == "another"
