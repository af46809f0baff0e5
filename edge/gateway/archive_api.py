"""The history over HTTP: pages, the audit trail of a task, figures, and exports as a file."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar, cast, get_args

from aiohttp import web

from edge.clock import NS_PER_MS, Clock
from edge.errors import StorageError
from edge.gateway.access import Access
from edge.gateway.json import json_response
from edge.gateway.patience import while_there
from edge.gateway.reading import TASK_PATH, Query, task_id_of
from edge.services.keeping.archive import Archive
from edge.storage import ExportFormat, Wanted
from edge.tasks.task import State

T = TypeVar("T")

PAGE_MAX: Final = 500
PAGE_DEFAULT: Final = 50
CHUNK_BYTES: Final = 1 << 18
"""An export is sent in pieces of this size. Places for exports are few: who takes less than a piece
in ``server.write_ms`` is cut off, also one who takes a byte now and then."""

CONTENT_TYPES: Final[Mapping[str, str]] = {
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv; charset=utf-8",
    "json": "application/x-ndjson",
}


class ArchiveApi:
    """The handlers; `mount` puts them in their places."""

    def __init__(self, archive: Archive, access: Access, clock: Clock, write_ms: int) -> None:
        """An export's client has ``write_ms`` to take each `CHUNK_BYTES` of it."""
        self._write_ms = write_ms
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
        question = self._archive.page(client, _wanted(query), limit=limit, before=before)
        return json_response({"tasks": await self._while_there(request, question)})

    async def audit(self, request: web.Request) -> web.Response:
        client, task_id = self._client(request), task_id_of(request)
        trail = await self._while_there(request, self._archive.audit(task_id, client))
        return json_response({"task_id": task_id, "audit": trail})

    async def figures(self, request: web.Request) -> web.Response:
        """Percentiles of waits and durations, over the last day unless told otherwise."""
        client, query = self._client(request), Query(request.query, "since", "until")
        since_ns, until_ns = query.time_ns("since"), query.time_ns("until")
        wall_ns = self._clock.wall_ns()
        question = self._archive.figures(client, since_ns, until_ns, wall_ns)
        return json_response(await self._while_there(request, question))

    async def export(self, request: web.Request) -> web.StreamResponse:
        """The client's tasks as one file. It is written whole before its first byte is sent, so
        that what arrives with 200 and its full length is complete."""
        client = self._client(request)
        query = Query(request.query, "state", "since", "until", "format")
        file_format = query.choice("format", get_args(ExportFormat)) or "json"
        wanted = _wanted(query)
        with self._archive.exporting(client):
            async with _temporary_folder() as folder:
                path = folder / f"tasks.{file_format}"
                question = self._archive.export(
                    client, path, cast(ExportFormat, file_format), wanted
                )
                await self._while_there(request, question)
                return await self._send(request, path, CONTENT_TYPES[file_format])

    async def _while_there(self, request: web.Request, question: Coroutine[Any, Any, T]) -> T:
        return await while_there(request, self._clock, question)

    async def _send(
        self, request: web.Request, path: Path, content_type: str
    ) -> web.StreamResponse:
        file = await asyncio.to_thread(_open_unnamed, path)
        response = web.StreamResponse(
            headers={
                "Content-Type": content_type,
                "Content-Disposition": f'attachment; filename="{path.name}"',
            }
        )
        try:
            response.content_length = os.fstat(file.fileno()).st_size
            await response.prepare(request)
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                await self._write(request, response, chunk)
            await response.write_eof()
        finally:
            # Not in a thread: who is cancelled here, since the client leaves with the last byte,
            # would take the closing back.
            file.close()
        return response

    async def _write(
        self, request: web.Request, response: web.StreamResponse, chunk: bytes
    ) -> None:
        if request.transport is None:
            raise ConnectionResetError("the client has gone away")
        late = self._clock.call_after(self._write_ms * NS_PER_MS, request.transport.abort)
        try:
            await response.write(chunk)
        finally:
            late.cancel()


def _open_unnamed(path: Path) -> BinaryIO:
    """The file, whose space is free again once it is closed, however this process ends."""
    file = path.open("rb")
    path.unlink()
    return file


@asynccontextmanager
async def _temporary_folder() -> AsyncIterator[Path]:
    """A folder for the time of the block. StorageError when there can be none."""
    try:
        # Not on another thread: who is cancelled meanwhile would leave it behind.
        folder = tempfile.mkdtemp(prefix="elwift-export-")
    except OSError as error:
        raise StorageError(
            f"the node cannot write temporary files ({os.strerror(error.errno or 0)}); look at its"
            " disk, or set TMPDIR for it"
        ) from error
    try:
        yield Path(folder)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder)


def _wanted(query: Query) -> Wanted:
    return Wanted(
        state=query.choice("state", tuple(State)),
        since_ns=query.time_ns("since"),
        until_ns=query.time_ns("until"),
    )
