"""What clients are told of errors."""

from __future__ import annotations

import json

import pytest

from edge.actors import KILLED, ActorDown, CallTimeout
from edge.errors import ElwiftError, LimitReached, Overloaded, StorageError
from edge.gateway.problems import CONTENT_TYPE, from_error


def test_what_the_database_says_of_its_files_is_for_the_admin() -> None:
    error = StorageError("IO Error: /home/ada/elwift.duckdb", for_clients="not now")
    response = from_error(error)
    assert response.status == 503
    assert isinstance(response.body, bytes)
    assert "/home/ada" not in json.loads(response.body)["detail"]


def test_our_own_sentences_are_told() -> None:
    response = from_error(StorageError("the task is not written down yet; ask again in a moment"))
    assert isinstance(response.body, bytes)
    assert "not written down yet" in json.loads(response.body)["detail"]


@pytest.mark.parametrize("error", [ActorDown("task:1", KILLED), CallTimeout("task:1", 5_000)])
def test_whoever_is_being_restarted_can_be_asked_again(error: ElwiftError) -> None:
    response = from_error(error)
    assert response.status == 503
    assert response.content_type == CONTENT_TYPE


@pytest.mark.parametrize(
    ("kind", "status", "name"),
    [(Overloaded, 503, "overloaded"), (LimitReached, 429, "limit_reached")],
)
@pytest.mark.parametrize(("wait_ms", "wait_s"), [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2")])
def test_it_is_said_whose_limit_it_is_and_when_to_come_back(
    kind: type[Overloaded], status: int, name: str, wait_ms: int, wait_s: str
) -> None:
    response = from_error(kind("no", retry_after_ms=wait_ms))
    assert isinstance(response.body, bytes)
    assert (response.status, response.headers["Retry-After"]) == (status, wait_s)
    assert json.loads(response.body)["type"] == f"urn:elwift:problem:{name}"
