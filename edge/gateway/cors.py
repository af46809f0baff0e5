"""What pages of other origins, once they are let in, may send and read (Fetch standard, "CORS
protocol").

The gate has decided before: whoever comes here is allowed. No cookies are involved, so credentials
in the standard's sense are never allowed; a token is a header like others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Final

from aiohttp import web

SENT: Final = (
    "Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "Prefer", "X-Request-Id",
    "api-key", "traceparent", "x-api-key",
)  # fmt: skip
"""Request headers that mean something here."""

EXPOSED: Final = (
    "Allow", "Content-Disposition", "Location", "Retry-After", "WWW-Authenticate", "X-Task-Id",
    "retry-after-ms", "x-request-id", "x-should-retry",
)  # fmt: skip
"""Answers' headers that a page may read besides those that it always may."""

MAX_AGE_S: Final = 600
"""How long a browser need not ask again. Browsers cap it; a node whose settings changed is soon
believed."""


def allow_reading(headers: MutableMapping[str, str], origin: str | None) -> None:
    """Has the browser hand an answer to a page of this origin, if a page sent the request."""
    # Also without a page: what a cache keeps must not be handed to one.
    headers["Vary"] = ", ".join(filter(None, (headers.get("Vary"), "Origin")))
    if origin is not None:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = ", ".join(EXPOSED)


def options(asked: Mapping[str, str], methods: Iterable[str]) -> web.Response:
    """The answer to ``OPTIONS``: which methods there are, and to a preflight what it asks for."""
    allowed = ", ".join(sorted({*methods, "OPTIONS"}))
    answer = web.Response(status=204, headers={"Allow": allowed})
    if "Origin" in asked and "Access-Control-Request-Method" in asked:
        answer.headers["Access-Control-Allow-Methods"] = allowed
        answer.headers["Access-Control-Allow-Headers"] = _headers(asked)
        answer.headers["Access-Control-Max-Age"] = str(MAX_AGE_S)
        if asked.get("Access-Control-Request-Private-Network") == "true":
            # Private Network Access: a page from the internet asks a server in the home.
            answer.headers["Access-Control-Allow-Private-Network"] = "true"
    return answer


def _headers(asked: Mapping[str, str]) -> str:
    """Ours, and all that the page wants to send: client libraries add headers of their own, which
    nobody here reads."""
    wanted = asked.get("Access-Control-Request-Headers", "").split(",")
    names = {name.lower(): name for name in (*SENT, *(each.strip() for each in wanted)) if name}
    return ", ".join(names.values())
