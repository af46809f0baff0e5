"""How errors are told to apps, and which of them their libraries repeat."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from edge.actors import NORMAL, ActorDown
from edge.errors import (
    BodyTooLarge,
    Conflict,
    ElwiftError,
    EngineError,
    Forbidden,
    InternalError,
    InvalidRequest,
    LimitReached,
    NotFound,
    Overloaded,
    PromptTooLong,
    StorageError,
)
from edge.gateway.calls import errors
from edge.gateway.calls.errors import Shown, TaskFailed, UnknownModel, failed, shown


def body(told: Shown) -> dict[str, Any]:
    """A shape."""
    return {"said": told.message, "code": told.code}


def answer(error: ElwiftError) -> web.Response:
    return errors.answer(error, body)


@pytest.mark.parametrize(
    ("error", "status", "code", "field"),
    [
        (InvalidRequest("no", field="messages[2].content"), 400, None, "messages[2].content"),
        (PromptTooLong("no", field="messages"), 400, "context_length_exceeded", "messages"),
        (Conflict("no"), 400, None, None),
        (Forbidden("no"), 401, "invalid_api_key", None),
        (UnknownModel("no", field="model"), 404, "model_not_found", "model"),
        (NotFound("no"), 404, "not_found", None),
        (BodyTooLarge("no"), 413, "request_too_large", None),
        (LimitReached("no", retry_after_ms=5), 429, "rate_limit_exceeded", None),
        (Overloaded("no", retry_after_ms=5), 503, "overloaded", None),
        (EngineError("no"), 503, "engine_not_available", None),
        (StorageError("no"), 503, "storage_not_available", None),
        (ActorDown("a", NORMAL), 503, "overloaded", None),
        (InternalError("no"), 500, None, None),
        (TaskFailed("no", "engine_died"), 500, "engine_died", None),
        (TaskFailed("no", "prompt_too_long"), 400, "context_length_exceeded", None),
    ],
)
def test_statuses(error: ElwiftError, status: int, code: str | None, field: str | None) -> None:
    told = shown(error)
    assert (told.status, told.code, told.field) == (status, code, field)


def test_a_prompt_that_is_too_long_is_told_in_the_words_that_libraries_look_for() -> None:
    for error in (PromptTooLong("5 of 4"), TaskFailed("5 of 4", "prompt_too_long")):
        assert "prompt is too long" in shown(error).message


def test_what_fails_for_good_is_not_repeated() -> None:
    assert answer(failed({"code": "engine_died", "message": "x"})).headers["x-should-retry"] == (
        "false"
    )
    assert answer(failed(None)).status == 500
    assert answer(errors.cancelled()).headers["x-should-retry"] == "false"


def test_when_to_come_back_is_never_beyond_what_libraries_wait() -> None:
    headers = answer(Overloaded("full", retry_after_ms=3_600_000)).headers
    assert (headers["retry-after-ms"], headers["Retry-After"]) == ("60000", "60")
    headers = answer(LimitReached("full", retry_after_ms=1_500)).headers
    assert (headers["retry-after-ms"], headers["Retry-After"]) == ("1500", "2")
    assert "retry-after-ms" in answer(StorageError("busy")).headers
    assert "x-should-retry" not in headers


def test_of_a_database_clients_hear_what_is_for_them() -> None:
    response = answer(StorageError("/a/path", for_clients="not now"))
    assert response.body is not None
    assert orjson.loads(bytes(response.body))["said"] == "not now"  # type: ignore[arg-type]  # bytes


async def _fail(_request: web.Request) -> web.Response:
    raise InvalidRequest("no")


async def test_each_interface_has_its_own_shape_at_its_own_places() -> None:
    app = web.Application(
        middlewares=[errors.middleware(lambda path: path.startswith("/ours"), body)]
    )
    app.router.add_get("/ours", _fail)
    async with TestClient(TestServer(app)) as client:
        refused = await client.get("/ours")
        assert (refused.status, await refused.json()) == (400, {"said": "no", "code": None})
        assert refused.headers[errors.REQUEST_ID].startswith("req_")
        missing = await client.get("/ours/x")
        assert (missing.status, (await missing.json())["code"]) == (404, "unknown_url")
        wrong = await client.post("/ours")
        assert (wrong.status, wrong.headers["Allow"]) == (405, "GET,HEAD")
        other = await client.get("/theirs")
        assert (other.status, errors.REQUEST_ID in other.headers) == (404, False)
