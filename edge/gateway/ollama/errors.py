"""Errors as Ollama's clients read them: ``{"error": "a sentence"}``, never an object."""

from __future__ import annotations

from typing import Any, Final

from edge.errors import ElwiftError
from edge.gateway.calls import errors
from edge.gateway.calls.errors import Shown

ROOT: Final = "/api"


def body(shown: Shown) -> dict[str, Any]:
    """What clients read."""
    return {"error": shown.message}


def told(error: ElwiftError) -> dict[str, Any]:
    """The same of an error."""
    return body(errors.shown(error))


def is_ours(path: str) -> bool:
    """Whether the path is of this interface, be there something or not."""
    return path == ROOT or path.startswith(f"{ROOT}/")


middleware: Final = errors.middleware(is_ours, body)
