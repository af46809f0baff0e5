"""Errors in Ollama's shape."""

from __future__ import annotations

import pytest

from edge.errors import InvalidRequest, NotFound
from edge.gateway.ollama.errors import is_ours, told


def test_an_error_is_a_sentence_and_no_object() -> None:
    assert told(InvalidRequest("no", field="think")) == {"error": "no"}
    assert told(NotFound("it is not there")) == {"error": "it is not there"}


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("/api", True), ("/api/chat", True), ("/api/x/y", True), ("/apis", False), ("/", False),
        ("/v1/api", False), ("/tasks", False),
    ],
)  # fmt: skip
def test_which_paths_are_of_this_interface(path: str, ours: bool) -> None:
    assert is_ours(path) is ours
