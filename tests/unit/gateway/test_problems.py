"""What clients are told of errors."""

from __future__ import annotations

import json

from edge.errors import StorageError
from edge.gateway.problems import from_error


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
