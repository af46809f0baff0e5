"""Errors as OpenAI's clients read them: ``{"error": {message, type, param, code}}``."""

from __future__ import annotations

from typing import Any, Final

from edge.errors import ElwiftError
from edge.gateway.calls import errors
from edge.gateway.calls.errors import Shown

INVALID: Final = "invalid_request_error"
_KINDS: Final = {
    429: "rate_limit_exceeded",
    500: "server_error",
    503: errors.OVERLOADED,
}
"""The types of errors that are not the request's fault."""

PLACES: Final = ("chat/completions", "completions", "models", "responses", "embeddings", "rerank")
"""What there is, with ``/v1/`` before it or without."""


def body(shown: Shown) -> dict[str, Any]:
    """The object that clients read."""
    return {
        "error": {
            "message": shown.message,
            "type": _KINDS.get(shown.status, INVALID),
            "param": shown.field,
            "code": shown.code,
        }
    }


def told(error: ElwiftError) -> dict[str, Any]:
    """The object of an error."""
    return body(errors.shown(error))


def is_ours(path: str) -> bool:
    """Whether the path is of this interface, be there something or not."""
    if path == "/v1" or path.startswith("/v1/"):
        return True
    path = path.removeprefix("/")
    return any(path == place or path.startswith(f"{place}/") for place in PLACES)


middleware: Final = errors.middleware(is_ours, body)
