"""What a request names in its path and its query, read in one way for all of HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiohttp import web
from multidict import MultiMapping

from edge.errors import InvalidRequest, NotFound
from edge.gateway.times import parse_time
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


class Query:
    """The parameters of a request. InvalidRequest for one that is not among the ``names``, since a
    wish that is misspelt must not be passed over, and for one that is given twice."""

    def __init__(self, query: MultiMapping[str], *names: str) -> None:
        for name in query:
            if name and name not in names:
                name, known = clipped(name), ", ".join(names)
                sentence = f"there is no parameter {name!r} here; there are {known}"
                raise InvalidRequest(sentence, field=name)
            if name and len(query.getall(name)) > 1:
                raise InvalidRequest(f"{name} is given more than once", field=name)
        self._query = query

    def text(self, name: str) -> str | None:
        """The parameter as it was given; None when it was not."""
        return self._query.get(name)

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number within bounds."""
        text = self._query.get(name)
        if text is None:
            return default
        # The length first: Python refuses to read thousands of digits.
        good = text.isascii() and text.isdigit() and len(text) <= len(str(high))
        if not good or not low <= int(text) <= high:
            raise InvalidRequest(f"{name} has to be from {low} to {high}", field=name)
        return int(text)

    def choice(self, name: str, choices: Sequence[str]) -> str | None:
        """One of the choices, spelt as they are; None when it was not given."""
        text = self._query.get(name)
        if text is not None and text not in choices:
            raise InvalidRequest(f"{name} has to be one of {', '.join(choices)}", field=name)
        return text

    def time_ns(self, name: str) -> int | None:
        """A time as Unix time; None when it was not given."""
        text = self._query.get(name)
        if text is None:
            return None
        try:
            return parse_time(text)
        except ValueError as error:
            sentence = f"{name} has to be a time with its zone, such as 2026-01-31T12:00:00Z"
            raise InvalidRequest(sentence, field=name) from error

    def task_id(self, name: str) -> str | None:
        """A task's id in its canonical form; None when it was not given. NotFound when this is no
        id."""
        text = self._query.get(name)
        return None if text is None else known_id(text, field=name)
