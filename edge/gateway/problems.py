"""Errors as RFC 9457 problem documents: the one place that knows which error is which status."""

from __future__ import annotations

import logging
import math
from typing import Any, Final

import orjson
from aiohttp import web

from edge.actors import ActorDown, CallTimeout
from edge.errors import (
    BodyTooLarge,
    ClientError,
    Conflict,
    ElwiftError,
    EngineError,
    Forbidden,
    IdReused,
    KeyReused,
    LimitReached,
    NotFound,
    Overloaded,
    PromptTooLong,
    StorageError,
)
from edge.gateway.http.errors import (
    ExpectationFailed,
    HeadersTooLarge,
    MalformedRequest,
    Misdirected,
    PageNotAllowed,
    TargetTooLong,
    TooSlow,
    UnsupportedEncoding,
    UnsupportedType,
)
from edge.gateway.patience import is_gone
from edge.telemetry import context

logger = logging.getLogger("elwift.gateway")

TYPE_PREFIX: Final = "urn:elwift:problem:"
CONTENT_TYPE: Final = "application/problem+json"

_STATUS: Final[tuple[tuple[type[ElwiftError], int, str], ...]] = (
    # The first class that fits counts.
    (MalformedRequest, 400, "Malformed request"),
    (NotFound, 404, "Not found"),
    (PageNotAllowed, 403, "Page not allowed"),
    (TooSlow, 408, "Request too slow"),
    (IdReused, 409, "Task id used before"),
    (Conflict, 409, "Not possible in this state"),
    (BodyTooLarge, 413, "Request body too large"),
    (TargetTooLong, 414, "Path and query too long"),
    (UnsupportedEncoding, 415, "Encoding not supported"),
    (UnsupportedType, 415, "Type not supported"),
    (ExpectationFailed, 417, "Expectation not known"),
    (Misdirected, 421, "Not this node"),
    (HeadersTooLarge, 431, "Headers too large"),
    (KeyReused, 422, "Key used before"),
    (PromptTooLong, 422, "Prompt too long"),
    (Forbidden, 401, "Not allowed"),
    (ClientError, 422, "Invalid request"),
    # RFC 6585 section 4: too many of this client's own.
    (LimitReached, 429, "Limit of one client reached"),
    (Overloaded, 503, "Node is full"),
    (EngineError, 503, "Engine not available"),
    (StorageError, 503, "Database not available"),
    # The one who was asked is being restarted, or the node is ending.
    (ActorDown, 503, "Not available now"),
    (CallTimeout, 503, "Not available now"),
)


class MalformedBody(ClientError):
    """The body is not JSON at all, or no object."""

    code = "malformed_body"


def _titles() -> dict[int, tuple[str, ...]]:
    titles = [
        *((status, title) for _, status, title in _STATUS),
        *((400, "Malformed body"), (405, "Method not allowed"), (500, "Internal error")),
    ]
    return {
        status: tuple(title for each, title in titles if each == status) for status, _ in titles
    }


STATUSES: Final = _titles()
"""The statuses of all problems, each with what it may mean."""


def problem(
    status: int, code: str, title: str, detail: str, *, field: str | None = None
) -> web.Response:
    """A problem document. ``type`` is stable; ``field`` names the member at fault, if one is;
    ``request_id`` is there when the request that it answers has one."""
    document: dict[str, Any] = {
        "type": TYPE_PREFIX + code,
        "title": title,
        "status": status,
        "detail": detail,
    }
    if field is not None:
        document["field"] = field
    asked = context.asked()
    if asked is not None:
        asked.cause = code
        document["request_id"] = asked.request_id
    return web.Response(
        status=status, body=orjson.dumps(document), headers={"Content-Type": CONTENT_TYPE}
    )


def from_error(error: ElwiftError) -> web.Response:
    """The answer to a request that ended in this error."""
    if isinstance(error, MalformedBody):
        return problem(400, error.code, "Malformed body", str(error))
    for kind, status, title in _STATUS:
        if isinstance(error, kind):
            field = error.field if isinstance(error, ClientError) else None
            response = problem(status, error.code, title, _detail(error), field=field)
            if isinstance(error, Overloaded | EngineError):
                # Whole seconds, and never none: to come back at once is what was just refused.
                retry_after_s = max(1, math.ceil(error.retry_after_ms / 1000))
                response.headers["Retry-After"] = str(retry_after_s)
            if isinstance(error, UnsupportedEncoding):
                response.headers["Accept-Encoding"] = "gzip, deflate"
            if isinstance(error, Forbidden):
                response.headers["WWW-Authenticate"] = "Bearer"
            return response
    return internal_error(error)


def _detail(error: ElwiftError) -> str:
    """The sentence for the client; where that is another one, the log has the admin's."""
    if isinstance(error, StorageError) and error.for_clients is not None:
        logger.warning("a request failed: %s", error)
        return error.for_clients
    return str(error)


def internal_error(error: BaseException) -> web.Response:
    """A defect of ours: the log has all of it, the client an apology."""
    logger.error("a request failed through a defect of the node", exc_info=error)
    detail = "This is a defect of the node, not of your request; its log has the details."
    return problem(500, "internal_error", "Internal error", detail)


@web.middleware
async def middleware(request: web.Request, handler: Any) -> web.StreamResponse:
    """Turns whatever a handler raises into a problem document."""
    try:
        response: web.StreamResponse = await handler(request)
    except Exception as error:
        # Nobody could read this, and it is no defect.
        gone = isinstance(error, ConnectionError) and is_gone(request)
        if request.writer.output_size > 0 and not gone:
            raise  # an answer has begun: only the connection's end can say that it is not whole
        return _client_gone() if gone else _answer_to(error, request)
    return response


def _answer_to(error: Exception, request: web.Request) -> web.Response:
    if isinstance(error, ElwiftError):
        return from_error(error)
    if isinstance(error, web.HTTPException):
        if error.status == 404:
            return problem(404, "not_found", "Not found", f"there is nothing at {request.path}")
        if error.status == 405:
            detail = f"{request.method} is not possible at {request.path}"
            response = problem(405, "method_not_allowed", "Method not allowed", detail)
            response.headers["Allow"] = error.headers.get("Allow", "")
            return response
        return problem(error.status, "http_error", error.reason, error.text or error.reason)
    return internal_error(error)


def _client_gone() -> web.Response:
    return problem(400, "client_gone", "Client gone", "the client has gone away")
