"""How the pages are sent."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from edge.gateway.pages_api import PagesApi, takes_gzip

PAGE = {"Accept": "text/html,*/*;q=0.8"}


async def word(_request: web.Request) -> web.Response:
    return web.Response(text="here")


@pytest.fixture
async def client() -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = web.Application()
    PagesApi(word).mount(app)
    async with TestClient(TestServer(app)) as client:
        yield client


def check_headers(response: ClientResponse) -> None:
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.headers["Vary"] in ("Accept-Encoding", "Accept, Accept-Encoding")


async def test_the_page_is_sent(client: TestClient[web.Request, web.Application]) -> None:
    async with client.get("/", headers=PAGE) as response:
        assert (response.status, response.content_type) == (200, "text/html")
        assert response.headers["Content-Encoding"] == "gzip"
        check_headers(response)
        zipped = await response.text()
    async with client.get("/", headers=PAGE | {"Accept-Encoding": "identity"}) as response:
        assert "Content-Encoding" not in response.headers
        assert await response.text() == zipped
    async with client.head("/", headers=PAGE) as response:
        assert response.status == 200
        assert await response.read() == b""
    async with client.post("/") as response:
        assert response.status == 405
    async with client.get("/pages/nothing.js") as response:
        assert response.status == 404


@pytest.mark.parametrize("accepted", ["*/*", "application/json", ""])
async def test_who_wants_no_page_gets_the_word(
    client: TestClient[web.Request, web.Application], accepted: str
) -> None:
    async with client.get("/", headers={"Accept": accepted}) as response:
        assert await response.text() == "here"
        assert response.headers["Vary"] == "Accept, Accept-Encoding"


async def test_what_is_known_is_not_sent_again(
    client: TestClient[web.Request, web.Application],
) -> None:
    async with client.get("/pages/phoenix.js") as response:
        assert response.content_type == "text/javascript"
        tag = response.headers["ETag"]
    for known in (tag, f'"other", {tag}', "*"):
        async with client.get("/pages/phoenix.js", headers={"If-None-Match": known}) as response:
            assert (response.status, response.headers["ETag"]) == (304, tag)
            check_headers(response)
            assert await response.read() == b""
    for other in ('W/"other"', "nonsense", ""):
        async with client.get("/pages/phoenix.js", headers={"If-None-Match": other}) as response:
            assert response.status == 200


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        ("gzip", True), ("GZIP", True), ("br, gzip;q=0.5", True), ("x-gzip", True),
        ("gzip; q=1.0", True), ("gzip;q=0", False), ("gzip;q=0.000", False), ("br", False),
        ("", False), ("*", False), ("gzipped", False),
    ],
)  # fmt: skip
def test_who_takes_gzip(accepted: str, takes: bool) -> None:
    assert takes_gzip(accepted) is takes
