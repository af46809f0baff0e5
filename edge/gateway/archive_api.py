"""The history over HTTP: pages, the audit trail of a task, figures, and exports as a file."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast, get_args

from aiohttp import web

from edge.clock import Clock
from edge.gateway.access import Access
from edge.gateway.json import json_response
from edge.gateway.reading import TASK_PATH, Query, task_id_of
from edge.services.archive import Archive
from edge.storage import ExportFormat, Wanted
from edge.tasks.task import State

PAGE_MAX: Final = 500
PAGE_DEFAULT: Final = 50
CHUNK_BYTES: Final = 1 << 18

_CONTENT_TYPES: Final[Mapping[str, str]] = {
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv; charset=utf-8",
    "json": "application/x-ndjson",
}


class ArchiveApi:
    """The handlers; `mount` puts them in their places."""

    def __init__(self, archive: Archive, access: Access, clock: Clock) -> None:
        self._archive = archive
        self._access = access
        self._clock = clock

    def mount(self, app: web.Application) -> None:
        app.router.add_get("/tasks", self.history)
        app.router.add_get("/tasks/export", self.export, allow_head=False)
        app.router.add_get(TASK_PATH + "/audit", self.audit)
        app.router.add_get("/stats", self.figures)

    def _client(self, request: web.Request) -> str:
        return self._access.client_of(request.headers)

    async def history(self, request: web.Request) -> web.Response:
        client = self._client(request)
        query = Query(request.query, "state", "since", "until", "limit", "before")
        limit = query.number("limit", PAGE_DEFAULT, 1, PAGE_MAX)
        before = query.task_id("before")
        page = await self._archive.page(client, _wanted(query), limit=limit, before=before)
        return json_response({"tasks": page})

    async def audit(self, request: web.Request) -> web.Response:
        client, task_id = self._client(request), task_id_of(request)
        trail = await self._archive.audit(task_id, client)
        return json_response({"task_id": task_id, "audit": trail})

    async def figures(self, request: web.Request) -> web.Response:
        """Percentiles of waits and durations, over the last day unless told otherwise."""
        client, query = self._client(request), Query(request.query, "since", "until")
        since_ns, until_ns = query.time_ns("since"), query.time_ns("until")
        wall_ns = self._clock.wall_ns()
        return json_response(await self._archive.figures(client, since_ns, until_ns, wall_ns))

    async def export(self, request: web.Request) -> web.StreamResponse:
        """The client's tasks as one file. It is written whole before its first byte is sent, so
        that what arrives with 200 and its full length is complete."""
        client = self._client(request)
        query = Query(request.query, "state", "since", "until", "format")
        file_format = query.choice("format", get_args(ExportFormat)) or "json"
        wanted = _wanted(query)
        with tempfile.TemporaryDirectory(prefix="elwift-export-") as folder:
            path = Path(folder) / f"tasks.{file_format}"
            await self._archive.export(client, path, cast(ExportFormat, file_format), wanted)
            return await _send(request, path, _CONTENT_TYPES[file_format])


async def _send(request: web.Request, path: Path, content_type: str) -> web.StreamResponse:
    file = await asyncio.to_thread(path.open, "rb")
    response = web.StreamResponse(
        headers={
            "Content-Type": content_type,
            "Content-Disposition": f'attachment; filename="{path.name}"',
        }
    )
    try:
        response.content_length = (await asyncio.to_thread(path.stat)).st_size
        await response.prepare(request)
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            await response.write(chunk)
        await response.write_eof()
    except ConnectionError:
        pass  # the client has gone away
    finally:
        file.close()
    return response


def _wanted(query: Query) -> Wanted:
    return Wanted(
        state=query.choice("state", tuple(State)),
        since_ns=query.time_ns("since"),
        until_ns=query.time_ns("until"),
    )
