"""Bodies over real connections, and what is inflated."""

from __future__ import annotations

import ast
import gzip
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import BodyTooLarge
from edge.gateway.http.body import inflate
from edge.gateway.http.errors import MalformedRequest
from tests.support.http_site import serving
from tests.support.raw import length, post, raw

ROOT = Path(__file__).parents[4]
BODY = b'{"prompt":"hi"}'
WAITING = b"Expect: 100-continue"


@given(st.binary(max_size=2_000), st.sampled_from(["gzip", "x-gzip", "deflate"]))
def test_what_was_deflated_comes_back(data: bytes, encoding: str) -> None:
    deflated = zlib.compress(data) if encoding == "deflate" else gzip.compress(data)
    assert inflate(deflated, encoding, 2_000) == data


@given(st.binary(min_size=1, max_size=200), st.integers(0, 1_000))
def test_any_cut_is_seen(data: bytes, where: int) -> None:
    deflated = gzip.compress(data)
    with pytest.raises(MalformedRequest):
        inflate(deflated[: where % len(deflated)], "gzip", 2_000)


@given(st.binary(max_size=100), st.sampled_from(["gzip", "deflate"]))
def test_any_bytes_are_a_body_or_malformed(data: bytes, encoding: str) -> None:
    try:
        inflate(data, encoding, 1_000)
    except (MalformedRequest, BodyTooLarge):
        return


def test_the_limit_is_exact() -> None:
    deflated = gzip.compress(bytes(1_000))
    assert len(inflate(deflated, "gzip", 1_000)) == 1_000
    with pytest.raises(BodyTooLarge):
        inflate(deflated, "gzip", 999)


def test_a_bomb_stops_at_the_limit() -> None:
    bomb = gzip.compress(bytes(256 << 20))
    tracemalloc.start()
    with pytest.raises(BodyTooLarge):
        inflate(bomb, "gzip", 1 << 20)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 8 << 20


async def test_a_long_body_is_inflated_too() -> None:
    long = bytes(range(256)) * 4_000
    deflated = zlib.compress(long, 0)
    async with serving(body_bytes_max=2 << 20) as site, raw(site.url) as client:
        await client.send(post(deflated, length(deflated), b"Content-Encoding: deflate"))
        assert (await client.answer()).status == 202
        assert site.received == [long]


async def test_who_waits_for_it_is_told_to_go_on() -> None:
    async with serving() as site, raw(site.url) as client:
        await client.send(post(b"", length(BODY), WAITING))
        assert (await client.answer()).status == 100
        await client.send(BODY + post(BODY, length(BODY)))
        assert (await client.answer()).status == 202
        assert (await client.answer()).status == 202
        assert site.received == [BODY, BODY]


async def test_who_does_not_wait_after_all_is_not() -> None:
    async with serving() as site, raw(site.url) as client:
        await client.send(post(BODY, length(BODY), WAITING))
        assert (await client.answer()).status == 202


async def test_an_old_client_does_not_know_of_it() -> None:
    async with serving() as site, raw(site.url) as client:
        old = post(BODY, length(BODY), WAITING).replace(b"HTTP/1.1", b"HTTP/1.0")
        await client.send(old)
        assert (await client.answer()).status == 202


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [("/tasks", b"99999999", 413), ("/closed", b"15", 401), ("/nowhere", b"15", 404)],
)
async def test_who_may_not_send_a_body_is_not_told_to(path: str, size: bytes, status: int) -> None:
    async with serving() as site, raw(site.url) as client:
        await client.send(post(b"", b"Content-Length: " + size, WAITING, path=path))
        answer = await client.answer()
        assert answer.status == status
        # Nobody knows whether the body will follow, so nothing else can.
        assert answer.headers["connection"] == "close"
        assert await client.over()


async def test_an_answer_arrives_although_the_client_still_sends() -> None:
    async with serving() as site, raw(site.url) as client:
        await client.send(post(bytes(4 << 20), b"Content-Length: 999999999"))
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert await client.rest() == b"", "ended in order, without a reset"


def test_nobody_else_reads_bodies() -> None:
    """aiohttp's own ways know nothing of ``100 Continue``, of encodings and of deadlines."""
    ways = {"read", "text", "json", "post", "multipart", "content"}
    for file in (ROOT / "edge").rglob("*.py"):
        if file.name == "body.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "request":
                ours = file.parent.name == "http" and node.attr == "content"
                assert node.attr not in ways or ours, f"{file}:{node.lineno}"
