"""How a call is refused or fails, whatever shape its interface gives to that.

Libraries repeat a request that got 408, 409, 429 or any status from 500 on, twice, unless
``x-should-retry`` says otherwise. So none of these is for what will not change by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import orjson
from aiohttp import web

from edge.actors import ActorDown, CallTimeout
from edge.errors import (
    BodyTooLarge,
    ClientError,
    ElwiftError,
    EngineError,
    Forbidden,
    InvalidRequest,
    LimitReached,
    ModelError,
    NotFound,
    Overloaded,
    PromptTooLong,
    StorageError,
)
from edge.gateway import problems
from edge.gateway.calls.connection import has_left
from edge.gateway.http.errors import (
    ExpectationFailed,
    HeadersTooLarge,
    Misdirected,
    PageNotAllowed,
    TargetTooLong,
    TooSlow,
    UnsupportedEncoding,
    UnsupportedType,
)
from edge.inference.known import UnknownModel as UnknownModel
from edge.telemetry import context

REQUEST_ID: Final = "x-request-id"
RETRY_AFTER_MS_MAX: Final = 60_000
"""Libraries that are told to wait for longer wait for as long as they like, or give up."""
OVERLOADED: Final = "overloaded"
_RETRY_MS: Final = 1_000
_RETRY_MS_MIN: Final = 500


class NotOffered(ClientError):
    """The interface knows this, and this node does not have it."""

    code = "not_offered"


_STATUS: Final[tuple[tuple[type[ElwiftError], int, str | None], ...]] = (
    # The first class that fits counts: its status and code.
    (PromptTooLong, 400, "context_length_exceeded"),
    (NotFound, 404, "not_found"),
    (BodyTooLarge, 413, "request_too_large"),
    (Forbidden, 401, "invalid_api_key"),
    (PageNotAllowed, 403, "page_not_allowed"),
    (TooSlow, 408, "request_timeout"),
    (TargetTooLong, 414, "target_too_long"),
    (UnsupportedEncoding, 415, "unsupported_encoding"),
    (UnsupportedType, 415, "unsupported_type"),
    (ExpectationFailed, 417, "expectation_failed"),
    (Misdirected, 421, "misdirected"),
    (HeadersTooLarge, 431, "headers_too_large"),
    (NotOffered, 501, "not_offered"),
    (ModelError, 500, "model_error"),
    (ClientError, 400, None),
    (LimitReached, 429, "rate_limit_exceeded"),
    (Overloaded, 503, OVERLOADED),
    (EngineError, 503, "engine_not_available"),
    (StorageError, 503, "storage_not_available"),
    (ActorDown, 503, OVERLOADED),
    (CallTimeout, 503, OVERLOADED),
)
_CLIENTS_FAULTS: Final = {
    "prompt_too_long": (400, "context_length_exceeded"),
    "invalid_request": (400, None),
}
"""Ends of a task that its request is the reason of."""


class TaskFailed(ElwiftError):
    """A task has ended without an answer, for good. ``reason`` is the code of its last error."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def failed(error: dict[str, Any] | None) -> TaskFailed:
    """What a task's ``failed`` event says, or its last error."""
    if error is None:
        return TaskFailed("the task has failed", "failed")
    return TaskFailed(str(error["message"]), str(error["code"]))


def cancelled() -> TaskFailed:
    """Somebody has cancelled the task."""
    return TaskFailed("the task was cancelled", "cancelled")


def going_down() -> Overloaded:
    """The node ends, and the answer goes on after its next start."""
    return Overloaded(
        "the node is stopping; the task goes on when it is back", retry_after_ms=2_000
    )


class Shown(NamedTuple):
    """An error as it is told. ``code`` is stable and for programs, ``message`` a sentence for
    people, ``field`` the path of the member at fault, if one is."""

    status: int
    code: str | None
    message: str
    field: str | None = None


def shown(error: ElwiftError) -> Shown:
    """What is told of an error."""
    if isinstance(error, TaskFailed):
        status, code = _CLIENTS_FAULTS.get(error.reason, (500, error.reason))
        message = _too_long(str(error)) if code == "context_length_exceeded" else str(error)
        return Shown(status, code, message)
    for kind, status, code in _STATUS:
        if isinstance(error, kind):
            message = str(error)
            if isinstance(error, StorageError) and error.for_clients is not None:
                message = error.for_clients
            if isinstance(error, PromptTooLong):
                message = _too_long(message)
            if isinstance(error, UnknownModel):
                code = error.code
            return Shown(
                status, code, message, error.field if isinstance(error, ClientError) else None
            )
    return Shown(500, None, "This is a defect of the node; its log has the details.")


def _too_long(sentence: str) -> str:
    """With the words by which libraries know it."""
    return f"prompt is too long: {sentence}"


Body = Callable[[Shown], dict[str, Any]]
"""The shape that an interface gives to its errors."""


def answer(error: ElwiftError, body: Body) -> web.Response:
    """The answer to a request that ended in this error."""
    told = shown(error)
    response = _response(told, body)
    if told.status in (429, 503):
        # Never at once: that is what was just refused.
        estimate_ms = max(_RETRY_MS_MIN, getattr(error, "retry_after_ms", _RETRY_MS))
        wait_ms = min(RETRY_AFTER_MS_MAX, estimate_ms)
        response.headers["retry-after-ms"] = str(wait_ms)
        response.headers["Retry-After"] = str(math.ceil(wait_ms / 1_000))
    elif told.status >= 500:
        response.headers["x-should-retry"] = "false"
    if isinstance(error, Forbidden):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _response(told: Shown, body: Body) -> web.Response:
    asked = context.asked()
    if asked is not None:
        # Where an interface has no code of its own for it, the request is at fault.
        asked.cause = told.code or InvalidRequest.code
    return web.Response(
        status=told.status,
        body=orjson.dumps(body(told)),
        headers={"Content-Type": "application/json"},
    )


def middleware(is_ours: Callable[[str], bool], body: Body) -> Any:
    """Turns whatever is raised for a path of an interface into its error. To stand behind
    `edge.gateway.problems.middleware`, and before the gate."""

    @web.middleware
    async def in_its_shape(request: web.Request, handler: Any) -> web.StreamResponse:
        if not is_ours(request.path):
            response: web.StreamResponse = await handler(request)
            return response
        try:
            response = await handler(request)
        except ElwiftError as error:
            if request.writer.output_size > 0:
                raise  # an answer has begun: only the connection's end says that it is not whole
            response = answer(error, body)
        except web.HTTPException as error:
            response = _of_http(request, error, body)
        except Exception as error:
            if request.writer.output_size > 0:
                raise
            if isinstance(error, ConnectionError) and has_left(request):
                # Nobody could read this, and it is no defect.
                return web.Response(status=400)
            problems.internal_error(error)  # into the log
            response = answer(ElwiftError(), body)
        if not response.prepared:
            response.headers.setdefault(REQUEST_ID, new_request_id())
        return response

    return in_its_shape


def new_request_id() -> str:
    """By which a person can name one call to another: the request's own, where it has one."""
    asked = context.asked()
    return context.new_request_id() if asked is None else asked.request_id


def _of_http(request: web.Request, error: web.HTTPException, body: Body) -> web.Response:
    sentence = {
        404: f"there is nothing at {request.path}",
        405: f"{request.method} is not possible at {request.path}",
    }.get(error.status, error.text or error.reason)
    code = {404: "unknown_url", 405: "method_not_allowed"}.get(error.status, "http_error")
    response = _response(Shown(error.status, code, sentence), body)
    if error.status == 405:
        response.headers["Allow"] = error.headers.get("Allow", "")
    return response
