"""Errors as OpenAI's clients read them: ``{"error": {message, type, param, code}}``.

Their libraries repeat a request that got 408, 409, 429 or any status from 500 on, twice, unless
``x-should-retry`` says otherwise. So none of these is for what will not change by itself.
"""

from __future__ import annotations

import math
from typing import Any, Final
from uuid import uuid4

import orjson
from aiohttp import web

from edge.actors import ActorDown, CallTimeout
from edge.errors import (
    BodyTooLarge,
    ClientError,
    ElwiftError,
    EngineError,
    Forbidden,
    LimitReached,
    NotFound,
    Overloaded,
    PromptTooLong,
    StorageError,
)
from edge.gateway import problems
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
from edge.gateway.openai.connection import has_left

REQUEST_ID: Final = "x-request-id"
RETRY_AFTER_MS_MAX: Final = 60_000
"""Libraries that are told to wait for longer wait for as long as they like, or give up."""
INVALID: Final = "invalid_request_error"
SERVER: Final = "server_error"
OVERLOADED: Final = "overloaded"
_RETRY_MS: Final = 1_000
_RETRY_MS_MIN: Final = 500

PLACES: Final = ("chat/completions", "completions", "models", "responses", "embeddings")
"""What there is, with ``/v1/`` before it or without."""

_STATUS: Final[tuple[tuple[type[ElwiftError], int, str, str | None], ...]] = (
    # The first class that fits counts: its status, type and code.
    (PromptTooLong, 400, INVALID, "context_length_exceeded"),
    (NotFound, 404, INVALID, "not_found"),
    (BodyTooLarge, 413, INVALID, "request_too_large"),
    (Forbidden, 401, INVALID, "invalid_api_key"),
    (PageNotAllowed, 403, INVALID, "page_not_allowed"),
    (TooSlow, 408, INVALID, "request_timeout"),
    (TargetTooLong, 414, INVALID, "target_too_long"),
    (UnsupportedEncoding, 415, INVALID, "unsupported_encoding"),
    (UnsupportedType, 415, INVALID, "unsupported_type"),
    (ExpectationFailed, 417, INVALID, "expectation_failed"),
    (Misdirected, 421, INVALID, "misdirected"),
    (HeadersTooLarge, 431, INVALID, "headers_too_large"),
    (ClientError, 400, INVALID, None),
    (LimitReached, 429, "rate_limit_exceeded", "rate_limit_exceeded"),
    (Overloaded, 503, OVERLOADED, OVERLOADED),
    (EngineError, 503, OVERLOADED, "engine_not_available"),
    (StorageError, 503, OVERLOADED, "storage_not_available"),
    (ActorDown, 503, OVERLOADED, OVERLOADED),
    (CallTimeout, 503, OVERLOADED, OVERLOADED),
)
_CLIENTS_FAULTS: Final = {
    "prompt_too_long": (400, "context_length_exceeded"),
    "invalid_request": (400, None),
}
"""Ends of a task that its request is the reason of."""


class UnknownModel(NotFound):
    """The node has no model of this name."""

    code = "model_not_found"


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


def body(message: str, kind: str, param: str | None, code: str | None) -> dict[str, Any]:
    """The object that clients read."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def told(error: ElwiftError) -> tuple[int, dict[str, Any]]:
    """The status and the object of an error."""
    if isinstance(error, TaskFailed):
        status, code = _CLIENTS_FAULTS.get(error.reason, (500, error.reason))
        message = _too_long(str(error)) if code == "context_length_exceeded" else str(error)
        return status, body(message, SERVER if status == 500 else INVALID, None, code)
    for kind, status, name, code in _STATUS:
        if isinstance(error, kind):
            param = error.field if isinstance(error, ClientError) else None
            message = str(error)
            if isinstance(error, StorageError) and error.for_clients is not None:
                message = error.for_clients
            if isinstance(error, PromptTooLong):
                message = _too_long(message)
            if isinstance(error, UnknownModel):
                code = error.code
            return status, body(message, name, param, code)
    return 500, body("This is a defect of the node; its log has the details.", SERVER, None, None)


def _too_long(sentence: str) -> str:
    """With the words by which libraries know it."""
    return f"prompt is too long: {sentence}"


def answer(error: ElwiftError) -> web.Response:
    """The answer to a request that ended in this error."""
    status, document = told(error)
    response = web.Response(
        status=status, body=orjson.dumps(document), headers={"Content-Type": "application/json"}
    )
    if status in (429, 503):
        # Never at once: that is what was just refused.
        estimate_ms = max(_RETRY_MS_MIN, getattr(error, "retry_after_ms", _RETRY_MS))
        wait_ms = min(RETRY_AFTER_MS_MAX, estimate_ms)
        response.headers["retry-after-ms"] = str(wait_ms)
        response.headers["Retry-After"] = str(math.ceil(wait_ms / 1_000))
    elif status >= 500:
        response.headers["x-should-retry"] = "false"
    if isinstance(error, Forbidden):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def is_ours(path: str) -> bool:
    """Whether the path is of this interface, be there something or not."""
    if path == "/v1" or path.startswith("/v1/"):
        return True
    path = path.removeprefix("/")
    return any(path == place or path.startswith(f"{place}/") for place in PLACES)


@web.middleware
async def middleware(request: web.Request, handler: Any) -> web.StreamResponse:
    """Turns whatever is raised for a path of this interface into its error object. To stand behind
    `edge.gateway.problems.middleware`, and before the gate."""
    if not is_ours(request.path):
        response: web.StreamResponse = await handler(request)
        return response
    try:
        response = await handler(request)
    except ElwiftError as error:
        if request.writer.output_size > 0:
            raise  # an answer has begun: only the connection's end can say that it is not whole
        response = answer(error)
    except web.HTTPException as error:
        response = _of_http(request, error)
    except Exception as error:
        if request.writer.output_size > 0:
            raise
        if isinstance(error, ConnectionError) and has_left(request):
            # Nobody could read this, and it is no defect.
            return web.Response(status=400)
        problems.internal_error(error)  # into the log
        response = answer(ElwiftError())
    if not response.prepared:
        response.headers.setdefault(REQUEST_ID, new_request_id())
    return response


def new_request_id() -> str:
    """By which a person can name one call to another."""
    return f"req_{uuid4().hex}"


def _of_http(request: web.Request, error: web.HTTPException) -> web.Response:
    sentence = {
        404: f"there is nothing at {request.path}",
        405: f"{request.method} is not possible at {request.path}",
    }.get(error.status, error.text or error.reason)
    code = {404: "unknown_url", 405: "method_not_allowed"}.get(error.status, "http_error")
    response = web.Response(
        status=error.status,
        body=orjson.dumps(body(sentence, INVALID, None, code)),
        headers={"Content-Type": "application/json"},
    )
    if error.status == 405:
        response.headers["Allow"] = error.headers.get("Allow", "")
    return response
