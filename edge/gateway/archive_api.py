"""The history over HTTP: pages, the audit trail of a task, figures, and exports as a file."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, cast, get_args

from aiohttp import web

from edge.clock import Clock
from edge.errors import InvalidRequest
from edge.gateway.access import Access
from edge.gateway.json import json_response
from edge.gateway.reading import TASK_PATH, known_id, task_id_of
from edge.services.archive import Archive
from edge.storage import ExportFormat, Wanted
from edge.tasks.task import State

PAGE_MAX: Final = 500
CHUNK_BYTES: Final = 1 << 18

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
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
        client, query = self._client(request), request.query
        limit = query.get("limit", "50")
        if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit) <= PAGE_MAX:
            raise InvalidRequest(f"limit has to be from 1 to {PAGE_MAX}", field="limit")
        before = query.get("before")
        page = await self._archive.page(
            client,
            _wanted(query),
            limit=int(limit),
            before=None if before is None else known_id(before, field="before"),
        )
        return json_response({"tasks": page})

    async def audit(self, request: web.Request) -> web.Response:
        client, task_id = self._client(request), task_id_of(request)
        trail = await self._archive.audit(task_id, client)
        return json_response({"task_id": task_id, "audit": trail})

    async def figures(self, request: web.Request) -> web.Response:
        """Percentiles of waits and durations, over the last day unless told otherwise."""
        client, query = self._client(request), request.query
        since_ns, until_ns = _time_ns(query, "since"), _time_ns(query, "until")
        wall_ns = self._clock.wall_ns()
        return json_response(await self._archive.figures(client, since_ns, until_ns, wall_ns))

    async def export(self, request: web.Request) -> web.StreamResponse:
        """The client's tasks as one file. It is written whole before its first byte is sent, so
        that what arrives with 200 and its full length is complete."""
        client, query = self._client(request), request.query
        file_format = query.get("format", "json")
        formats = get_args(ExportFormat)
        if file_format not in formats:
            raise InvalidRequest(f"format has to be one of {', '.join(formats)}", field="format")
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


def _wanted(query: Mapping[str, str]) -> Wanted:
    state = query.get("state")
    if state is not None and state not in list(State):
        raise InvalidRequest(f"state has to be one of {', '.join(State)}", field="state")
    return Wanted(state=state, since_ns=_time_ns(query, "since"), until_ns=_time_ns(query, "until"))


def _time_ns(query: Mapping[str, str], name: str) -> int | None:
    """A time in RFC 3339 as Unix time; None when it was not given."""
    text = query.get(name)
    if text is None:
        return None
    try:
        # A plus sign that was not escaped has become a space.
        at = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise InvalidRequest(
            f"{name} has to be a time with its zone, such as 2026-01-31T12:00:00Z", field=name
        )
    return (at - _EPOCH) // timedelta(microseconds=1) * 1_000
