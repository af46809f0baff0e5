"""Errors in OpenAI's shape."""

from __future__ import annotations

import pytest

from edge.errors import ElwiftError, InternalError, InvalidRequest, LimitReached, Overloaded
from edge.gateway.calls.errors import TaskFailed
from edge.gateway.openai.errors import is_ours, told


@pytest.mark.parametrize(
    ("error", "kind", "code", "param"),
    [
        (InvalidRequest("no", field="n"), "invalid_request_error", None, "n"),
        (LimitReached("no", retry_after_ms=5), "rate_limit_exceeded", "rate_limit_exceeded", None),
        (Overloaded("no", retry_after_ms=5), "overloaded", "overloaded", None),
        (InternalError("no"), "server_error", None, None),
        (TaskFailed("no", "engine_died"), "server_error", "engine_died", None),
        (
            TaskFailed("no", "prompt_too_long"), "invalid_request_error",
            "context_length_exceeded", None,
        ),
    ],
)  # fmt: skip
def test_shapes(error: ElwiftError, kind: str, code: str | None, param: str | None) -> None:
    document = told(error)
    assert set(document) == {"error"}
    message = document["error"].pop("message")
    assert message
    assert document["error"] == {"type": kind, "code": code, "param": param}


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("/v1", True), ("/v1/x", True), ("/v12", False), ("/models/a", True), ("/models", True),
        ("/modelsx", False), ("/tasks", False), ("/", False), ("/chat/completions", True),
        ("/chat", False), ("/api/chat", False),
    ],
)  # fmt: skip
def test_which_paths_are_of_this_interface(path: str, ours: bool) -> None:
    assert is_ours(path) is ours
