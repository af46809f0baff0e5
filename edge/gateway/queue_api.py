"""The line over HTTP: who waits and who runs, a page at a time; pausing it, and going on.

A pause is for whoever looks after the node: nothing new begins, what runs ends, what comes is
accepted and waits. It is not remembered over a start of the node: who starts a node wants it to
work, and an admin who has forgotten a pause would look for the fault elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from edge.errors import Forbidden, InvalidRequest
from edge.gateway.access import Access
from edge.gateway.json import json_response
from edge.gateway.reading import Query, clipped
from edge.services.task.queue_page import QueuePages, read_cursor
from edge.services.task.turns import Behind, Turns
from edge.telemetry import Telemetry

PAGE_MAX: Final = 100
"""A page is made in one go, some 0.02 ms a row."""
PAGE_DEFAULT: Final = 50


class QueueApi:
    """The handlers; `mount` puts them in their places."""

    def __init__(
        self,
        turns: Turns,
        pages: QueuePages,
        access: Access,
        telemetry: Telemetry,
        tokens_per_second: Callable[[], int],
    ) -> None:
        self._turns = turns
        self._pages = pages
        self._access = access
        self._telemetry = telemetry
        self._tokens_per_second = tokens_per_second

    def mount(self, app: web.Application) -> None:
        app.router.add_get("/queue", self.show)
        app.router.add_post("/queue/pause", self.pause)
        app.router.add_post("/queue/resume", self.resume)

    async def show(self, request: web.Request) -> web.Response:
        """Those that have their turn and then those that wait, in the order in which they are
        served; of foreign tasks only that they are there."""
        client = self._access.client_of(request.headers)
        query = Query(request.query, "limit", "after")
        limit = query.number("limit", PAGE_DEFAULT, 1, PAGE_MAX)
        page = self._pages.page(client, _place(query.text("after")), limit)
        return json_response(self._totals() | {"tasks": page.rows, "next": page.next})

    async def pause(self, request: web.Request) -> web.Response:
        """Idempotent, as `resume`."""
        self._check_operator(request)
        if not self._turns.paused:
            self._turns.pause()
            turns = self._turns
            self._telemetry.emit("queue.paused", running=turns.busy, queued=turns.waiting)
        return json_response(self._totals())

    async def resume(self, request: web.Request) -> web.Response:
        self._check_operator(request)
        if self._turns.paused:
            self._telemetry.emit("queue.resumed", queued=self._turns.waiting)
            self._turns.resume()
        return json_response(self._totals())

    def _check_operator(self, request: web.Request) -> None:
        if not self._access.caller_of(request.headers, request.remote).operates:
            raise Forbidden("without a token the queue is paused and resumed from its own machine")

    def _totals(self) -> dict[str, Any]:
        turns = self._turns
        return {
            "paused": turns.paused,
            "waiting": turns.waiting,
            "running": turns.busy,
            "slots": turns.slots,
            "tokens_per_second": self._tokens_per_second(),
            "eta_ms": turns.wait_ms_at_end(),
        }


def _place(text: str | None) -> Behind | int | None:
    if text is None:
        return None
    try:
        return read_cursor(text)
    except ValueError as error:
        sentence = f"{clipped(text)!r} is not the next of a page of the queue"
        raise InvalidRequest(sentence, field="after") from error
