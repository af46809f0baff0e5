"""What a request names in its path and its query, read in one way for all of HTTP."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from edge.errors import NotFound
from edge.tasks import ids

TASK_PATH: Final = "/tasks/{task_id:[^/]+}"
"""Where a task is. aiohttp's own pattern leaves out braces, in which an id may be written."""

SHOWN_CHARS: Final = 64
"""What a client wrote is repeated in an error as far as this."""


def task_id_of(request: web.Request) -> str:
    """The task that the path names, in its canonical form. NotFound when it names none."""
    return known_id(request.match_info["task_id"], field="task_id")


def known_id(written: str, *, field: str) -> str:
    """The canonical form of an id. NotFound when this is none: then there is no such task."""
    task_id = ids.canonical(written)
    if task_id is None:
        raise NotFound(f"there is no task {clipped(written)!r}; an id is a UUID", field=field)
    return task_id


def clipped(text: str) -> str:
    """The text, or its beginning where it is long."""
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…"
