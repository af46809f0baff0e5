"""Earlier answers: what the same client got to the same request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from edge.answers.reader import read
from edge.services.task.journal import Unreadable, rebuild
from edge.storage import StoredTask
from edge.tasks.task import Request, State
from edge.telemetry import Telemetry


class AnswerStore(Protocol):
    """What is asked of the store here; see `edge.storage.Store`."""

    async def find_answers(self, fingerprint: str, client: str) -> list[str]: ...

    async def get(self, task_id: str, *, asker: str = "") -> StoredTask | None: ...


class History:
    """To be used on the loop's thread; owns the runners that read."""

    def __init__(self, store: AnswerStore, telemetry: Telemetry) -> None:
        self._store = store
        self._telemetry = telemetry
        self._runners: set[asyncio.Task[str | None]] = set()

    def find(self, request: Request, got: Callable[[str | None], object]) -> None:
        """Calls `got`, once and later, with the text that the model gave this client for a request
        that asked the same; with None when there is none, or none can be read."""

        def ended(runner: asyncio.Task[str | None]) -> None:
            self._runners.discard(runner)
            if runner.cancelled():
                return
            error = runner.exception()
            if error is not None:
                self._telemetry.emit("store.failed", error=error, rows_waiting=0)
            got(None if error is not None else runner.result())

        runner = asyncio.get_running_loop().create_task(self._read(request))
        self._runners.add(runner)
        runner.add_done_callback(ended)

    async def _read(self, request: Request) -> str | None:
        client = request.client
        for task_id in await self._store.find_answers(request.fingerprint(), client):
            stored = await self._store.get(task_id, asker=client)
            text = None if stored is None else _answer(stored)
            if text is not None:
                return text
        return None


def _answer(stored: StoredTask) -> str | None:
    """What the model answered; None when that cannot be read. The task may also have been run
    again since, and ended otherwise."""
    try:
        snapshot = rebuild(stored)
    except Unreadable:
        return None
    answered = snapshot.state is State.COMPLETED and snapshot.source == "model"
    if not answered:
        return None
    if snapshot.dialect is None:
        return snapshot.text
    # Who gets it may be answered by another model, whose text is read in another way.
    return read(snapshot.dialect, snapshot.text).content or None
