"""Earlier answers, from a store that is played."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from edge.errors import StorageError
from edge.services.history import History
from edge.storage import StoredTask
from edge.tasks.task import Options, Request, State, Task
from tests.support.rows import Heard

REQUEST = Request("t", "ada", "hi", None, None, Options())
DONE = Task(REQUEST, State.COMPLETED, 0, text="Once upon a time", source="model")


class Shelf:
    """Has one task, or an error."""

    def __init__(self, task: Task | None, error: StorageError | None = None) -> None:
        self.task = task
        self.error = error

    async def find_answer(self, fingerprint: str, client: str) -> StoredTask | None:
        assert (fingerprint, client) == (REQUEST.fingerprint(), "ada")
        if self.error is not None:
            raise self.error
        if self.task is None:
            return None
        spec, snapshot = REQUEST.to_json(), self.task.snapshot().to_json()
        return StoredTask("t", 2, str(self.task.state), 0, spec, snapshot)


async def find(shelf: Shelf, heard: Heard | None = None) -> str | None:
    got: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
    History(shelf, (heard or Heard()).telemetry).find(REQUEST, got.set_result)
    assert not got.done(), "never at once"
    return await got


async def test_the_text_of_the_models_answer() -> None:
    assert await find(Shelf(DONE)) == "Once upon a time"
    assert await find(Shelf(None)) is None


@pytest.mark.parametrize(
    "other",
    [replace(DONE, source="notice"), replace(DONE, state=State.CANCELLED)],
    ids=["the fallback's own", "run again since"],
)
async def test_what_is_no_answer_of_the_model_any_more(other: Task) -> None:
    assert await find(Shelf(other)) is None


async def test_a_store_that_cannot_be_read_is_told_of_and_has_none() -> None:
    heard = Heard()
    assert await find(Shelf(None, StorageError("no")), heard) is None
    assert len(heard.of("store.failed")) == 1


async def test_a_damaged_row_is_none() -> None:
    class Damaged(Shelf):
        async def find_answer(self, fingerprint: str, client: str) -> StoredTask | None:
            return StoredTask("t", 2, "completed", 0, b"{", b"{")

    assert await find(Damaged(None)) is None
