"""In whose shape a request is refused that comes to no handler."""

from __future__ import annotations

import orjson
import pytest
from aiohttp import web

from edge.gateway.calls.errors import REQUEST_ID
from edge.gateway.http.errors import HeadersTooLarge, MalformedRequest
from edge.gateway.refusals import refusal


def read(response: web.Response) -> dict[str, object]:
    assert isinstance(response.body, bytes)
    return dict(orjson.loads(response.body))


@pytest.mark.parametrize("path", ["/v1", "/v1/chat/completions", "/chat/completions", "/v1/x"])
def test_openais_clients_read_an_error_object(path: str) -> None:
    response = refusal(path, MalformedRequest("no"))
    assert response.status == 400
    assert read(response) == {
        "error": {"message": "no", "type": "invalid_request_error", "param": None, "code": None}
    }
    assert response.headers[REQUEST_ID]


def test_ollamas_clients_read_a_sentence() -> None:
    response = refusal("/api/chat", HeadersTooLarge("no"))
    assert (response.status, read(response)) == (431, {"error": "no"})


@pytest.mark.parametrize("path", ["", "*", "/tasks", "/v10", "/apis"])
def test_all_others_read_a_problem(path: str) -> None:
    response = refusal(path, MalformedRequest("no"))
    assert (response.status, response.content_type) == (400, "application/problem+json")
    assert read(response)["detail"] == "no"
