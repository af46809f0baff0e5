"""Which request the running code is part of: for the lines of the log, and for what clients are
told, so that a person can name one request to another.

It is a context variable: whatever a handler awaits or starts has it. Actors have none, since a
turn of theirs is begun by whoever happens to write first; what they do names its task instead.
"""

from __future__ import annotations

import re
from contextlib import suppress
from contextvars import ContextVar, Token
from typing import Final
from uuid import uuid4

ID_CHARS_MAX: Final = 128
"""The longest id that is taken from a client."""

_ID: Final = re.compile(rf"[A-Za-z0-9._~+/=:@-]{{1,{ID_CHARS_MAX}}}")
_TRACEPARENT: Final = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)


class Asked:
    """One request. ``traceparent`` is what its client's tracing calls it, if that said so;
    ``cause`` the code of the error that it ended in, so far none; ``task_id`` of its task."""

    __slots__ = ("cause", "request_id", "task_id", "traceparent")

    def __init__(self, request_id: str | None = None, traceparent: str | None = None) -> None:
        self.request_id = request_id or new_request_id()
        self.traceparent = traceparent
        self.cause: str | None = None
        self.task_id: str | None = None


_ASKED: Final[ContextVar[Asked | None]] = ContextVar("asked", default=None)


def new_request_id() -> str:
    """An id that no other request has."""
    return f"req_{uuid4().hex}"


def begin(asked: Asked) -> Token[Asked | None]:
    """What runs from now on is part of this request, until `end` gets the answer."""
    return _ASKED.set(asked)


def end(begun: Token[Asked | None]) -> None:
    """Whatever was before goes on."""
    # Work that is thrown away unfinished ends in whoever's context throws it away, where it never
    # began, and there is nothing to go back to.
    with suppress(ValueError):
        _ASKED.reset(begun)


def asked() -> Asked | None:
    """The request that this is part of; None outside of all."""
    return _ASKED.get()


def read_request_id(text: str | None) -> str | None:
    """The id that a client gave its request; None when it is none that can be told and logged."""
    return text if text is not None and _ID.fullmatch(text) else None


def read_traceparent(text: str | None) -> str | None:
    """The header ``traceparent`` (W3C Trace Context, section 3.2) as version 00 has it; None when
    it is not what it should be, as that section demands: nothing is refused for it."""
    found = _TRACEPARENT.fullmatch(text or "")
    if found is None or found["version"] == "ff":
        return None
    if found["version"] == "00" and found["more"]:
        return None
    if not found["trace"].strip("0") or not found["parent"].strip("0"):
        return None
    return f"00-{found['trace']}-{found['parent']}-{found['flags']}"
