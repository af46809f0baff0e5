"""The tasks over HTTP: submit, look, cancel, retry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aiohttp import web

from edge.errors import EngineError, InvalidRequest, NotFound, Overloaded
from edge.gateway import submission
from edge.gateway.access import Access
from edge.gateway.events import EventStreams, read_event_id
from edge.gateway.facts import NodeFacts
from edge.gateway.http.body import read_body
from edge.gateway.json import json_response
from edge.gateway.length import LengthCheck
from edge.gateway.reading import TASK_PATH, task_id_of
from edge.inference.pool import Pool
from edge.services.task.actor import CANCELLING
from edge.services.task.tasks import Tasks
from edge.settings import Settings
from edge.tasks.task import TERMINAL, Request, State


class TasksApi:
    """The handlers; `mount` puts them in their places."""

    def __init__(
        self,
        tasks: Tasks,
        access: Access,
        settings: Settings,
        facts: NodeFacts,
        streams: EventStreams,
        pool: Pool,
    ) -> None:
        self._tasks = tasks
        self._streams = streams
        self._access = access
        self._settings = settings
        self._pool = pool
        self._length = LengthCheck(facts)

    def mount(self, app: web.Application) -> None:
        app.router.add_post("/tasks", self.submit)
        app.router.add_get(TASK_PATH, self.show)
        app.router.add_delete(TASK_PATH, self.cancel)
        app.router.add_post(TASK_PATH + "/retry", self.retry)
        app.router.add_get(TASK_PATH + "/events", self.events, allow_head=False)

    def _client(self, request: web.Request) -> str:
        return self._access.client_of(request.headers)

    async def submit(self, request: web.Request) -> web.Response:
        """``202`` once the task is committed."""
        caller = self._access.caller_of(request.headers, request.remote)
        wanted = submission.parse(
            await read_body(request),
            client=caller.client,
            address=caller.address,
            idempotency_key=request.headers.get("Idempotency-Key"),
            defaults=self._settings.tasks,
        )
        wanted = wanted._replace(request=await self._choose(wanted.request))
        accepted = await self._accept(wanted)
        response = json_response(accepted, status=202)
        response.headers["Location"] = f"/tasks/{accepted['task_id']}"
        return response

    async def _accept(self, wanted: submission.Submission) -> dict[str, Any]:
        request, own_id = wanted.request, wanted.own_id
        try:
            await self._length.check(request)
        except (EngineError, Overloaded):
            # What was measured once need not be again: a client that has not heard is answered.
            before = await self._tasks.accepted_before(request, own_id=own_id)
            if before is None:
                raise
            return before
        return await self._tasks.submit(
            request, own_id=own_id, schedule_in_ms=wanted.schedule_in_ms
        )

    async def _choose(self, request: Request) -> Request:
        """The request with its model's own name, however that was written."""
        if request.model is None:
            return request
        try:
            found = await self._pool.look_up(request.model)
        except NotFound as error:
            # Not the task is what there is none of.
            raise InvalidRequest(str(error), field="model") from error
        return replace(request, model=found.name)

    async def show(self, request: web.Request) -> web.Response:
        client = self._client(request)
        return json_response(await self._tasks.document(task_id_of(request), client))

    async def cancel(self, request: web.Request) -> web.Response:
        """``200`` once the task is cancelled and that is committed; ``202`` while the disk takes
        its time."""
        client = self._client(request)
        document = await self._tasks.cancel(task_id_of(request), client)
        return json_response(document, status=202 if document["state"] == CANCELLING else 200)

    async def retry(self, request: web.Request) -> web.Response:
        client = self._client(request)
        return json_response(await self._tasks.retry(task_id_of(request), client), status=202)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """The task's updates as Server-Sent Events, from ``Last-Event-ID`` on; see `EventStreams`.
        The token may be in the query, since `EventSource` sends no header of its own."""
        client = self._access.client_of(request.headers, request.query.get("token"))
        task_id = task_id_of(request)
        shown = await self._tasks.document(task_id, client)
        offset = read_event_id(request.headers.get("Last-Event-ID"))
        if offset is None:
            if State(shown["state"]) in TERMINAL:
                return web.Response(status=204)
            offset = 0  # it has ended, and was run again
        return await self._streams.serve(request, client, task_id, offset)
