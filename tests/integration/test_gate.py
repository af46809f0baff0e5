"""Who is let in, on a whole node over real sockets: hosts, pages, types, bytes that are no text."""

from __future__ import annotations

import json
import logging
import socket
from pathlib import Path
from typing import Any

import aiohttp
import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.support.node_inside import ScriptedNode, scripted_node
from tests.support.raw import Answer, exchange, raw

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = "http://localhost:5173"
TOKENS = {"ada": "a secret of ada's own", "bob": "a secret of bob's own"}
NODE_SETTINGS = {"server__origins": [PAGE]}
BODY = b'{"prompt": "a story", "max_tokens": 3}'
UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
)
SOCKET = "GET /socket/websocket?vsn=2.0.0 HTTP/1.1"


def local(node: ScriptedNode) -> str:
    return f"Host: {node.url.removeprefix('http://')}"


async def post(node: ScriptedNode, *headers: str | bytes, body: bytes = BODY) -> Answer:
    length = f"Content-Length: {len(body)}"
    return await exchange(node.url, "POST /tasks HTTP/1.1", length, *headers, body=body)


# The doors of the node: whatever there is, and what is not there.
DOORS = (
    ("GET /tasks HTTP/1.1",),
    ("GET /healthz HTTP/1.1",),
    ("GET /tasks/00000000-0000-0000-0000-000000000001/events HTTP/1.1",),
    ("DELETE /tasks/00000000-0000-0000-0000-000000000001 HTTP/1.1",),
    ("GET /nothing HTTP/1.1",),
    ("PUT /tasks HTTP/1.1",),
    ("OPTIONS /tasks HTTP/1.1", "Access-Control-Request-Method: POST"),
    (SOCKET, *UPGRADE),
)


async def test_no_door_opens_to_another_name(node: ScriptedNode) -> None:
    for lines in DOORS:
        # A page whose own name was bent to 127.0.0.1 asks like this, and so does its socket.
        answer = await exchange(node.url, *lines, "Host: evil.example:4000")
        assert (answer.status, answer.json()["type"]) == (421, "urn:elwift:problem:misdirected")
        same = await exchange(
            node.url, *lines, "Host: evil.example:4000", "Origin: http://evil.example:4000"
        )
        assert same.status == 421
        assert "access-control-allow-origin" not in same.headers


@pytest.mark.parametrize("origin", ["http://evil.example", "http://localhost:3000", "null"])
async def test_no_door_opens_to_another_page(node: ScriptedNode, origin: str) -> None:
    for lines in DOORS:
        answer = await exchange(node.url, *lines, local(node), f"Origin: {origin}")
        assert (answer.status, answer.json()["status"]) == (403, 403)
        assert "access-control-allow-origin" not in answer.headers


async def test_what_a_page_sends_without_asking_makes_no_task(node: ScriptedNode) -> None:
    """The forms and images that any page may have a browser send."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        foreign = ("Origin: http://evil.example", f"Content-Type: {kind}")
        assert (await post(node, local(node), *foreign)).status == 403
        older = ("Sec-Fetch-Site: same-origin", f"Content-Type: {kind}")
        assert (await post(node, local(node), *older)).status == 415
    assert (await post(node, local(node), "Content-Type: text/plain")).status == 415
    image = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image")
    assert (await exchange(node.url, "GET /tasks HTTP/1.1", local(node), *image)).status == 403
    assert node.heard.of("task.accepted") == []


async def test_programs_are_let_in(node: ScriptedNode) -> None:
    for headers in (
        (),
        ("Content-Type: application/x-www-form-urlencoded",),
        ("Content-Type: application/json; charset=UTF-8",),
        ("Content-Type: application/json", f"Origin: {node.url}", "Sec-Fetch-Site: same-origin"),
    ):
        assert (await post(node, local(node), *headers)).status == 202
    for host in ("localhost", "LOCALHOST:9", "127.0.0.1", "[::1]:1", socket.gethostname()):
        answer = await exchange(node.url, "GET /tasks HTTP/1.1", f"Host: {host}")
        assert answer.status == 200, host
    link = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
    assert (await exchange(node.url, "GET /tasks HTTP/1.1", local(node), *link)).status == 200


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("GET /tasks HTTP/1.1",), 400),
        (("GET /tasks HTTP/1.0",), 200),
        (("GET /tasks HTTP/1.1", "Host: localhost", "Host: evil.example"), 400),
        (("GET /tasks HTTP/1.1", "Host: user@localhost"), 400),
        (("GET http://localhost/tasks HTTP/1.1", "Host: localhost"), 200),
        (("GET http://evil.example/tasks HTTP/1.1", "Host: localhost"), 400),
        (("GET http://evil.example/tasks HTTP/1.1", "Host: evil.example"), 421),
    ],
)
async def test_how_a_host_may_be_said(
    node: ScriptedNode, lines: tuple[str, ...], status: int
) -> None:
    assert (await exchange(node.url, *lines)).status == status


async def test_a_node_for_the_network_goes_by_its_addresses(tmp_path: Path) -> None:
    token = f"Authorization: Bearer {TOKENS['ada']}"
    async with scripted_node(
        tmp_path, server__host="0.0.0.0", server__tokens=TOKENS, server__hosts=["*.example.com"]
    ) as node:
        url = node.url.replace("0.0.0.0", "127.0.0.1")
        addresses = [
            entry.address
            for entries in psutil.net_if_addrs().values()
            for entry in entries
            if entry.family is socket.AF_INET
        ]
        for host in (*addresses, "node.example.com", "localhost"):
            answer = await exchange(url, "GET /tasks HTTP/1.1", f"Host: {host}:4000", token)
            assert answer.status == 200, host
        for host in ("203.0.113.9", "example.net"):
            answer = await exchange(url, "GET /tasks HTTP/1.1", f"Host: {host}:4000", token)
            assert answer.status == 421, host


# ---- a page that is allowed


async def test_a_page_that_is_allowed_uses_everything(node: ScriptedNode) -> None:
    """As a browser does for a page at localhost:5173: it asks first, then sends."""
    task_id = ""
    async with aiohttp.ClientSession(headers={"Origin": PAGE}) as page:
        for method, path in (
            ("POST", "/tasks"), ("GET", "/tasks"), ("GET", "/tasks/export"), ("GET", "/stats"),
            ("DELETE", "/tasks/x"), ("POST", "/tasks/x/retry"), ("GET", "/tasks/x/events"),
            ("GET", "/healthz"), ("GET", "/readyz"),
        ):  # fmt: skip
            await preflight(page, node.url + path, method)
        body = json.loads(BODY)
        async with page.post(f"{node.url}/tasks", json=body) as response:
            assert response.status == 202
            assert "Location" in readable(response)
            task_id = (await response.json())["task_id"]
        async with page.get(f"{node.url}/tasks/{task_id}/events") as events:
            readable(events)
            assert b"completed" in await events.content.read()
        async with page.get(f"{node.url}/tasks/export") as export:
            assert "Content-Disposition" in readable(export)
        for path, status in (("/tasks/nobody", 404), ("/nothing", 404), ("/tasks?limit=x", 422)):
            async with page.get(node.url + path) as refused:
                assert refused.status == status
                readable(refused)
        async with page.post(f"{node.url}/tasks", data=b"x") as mistyped:
            assert mistyped.status == 415
            readable(mistyped)
        async with page.get(f"{node.url}/tasks?before=%ff") as garbled:
            assert garbled.status == 400
            readable(garbled)
        async with page.ws_connect(f"{node.url}/socket/websocket?vsn=2.0.0") as channel:
            await channel.send_str(f'["1","1","task:{task_id}","phx_join",{{}}]')
            assert '"status":"ok"' in (await channel.receive_str())


async def preflight(page: aiohttp.ClientSession, url: str, method: str) -> None:
    wanted = "authorization, content-type, idempotency-key, last-event-id, prefer, x-stainless-os"
    asked = {
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": wanted,
        "Access-Control-Request-Private-Network": "true",
    }
    async with page.options(url, headers=asked) as response:
        assert response.status == 204, url
        given = response.headers
        assert given["Access-Control-Allow-Origin"] == PAGE
        assert method in given["Access-Control-Allow-Methods"].split(", ")
        names = given["Access-Control-Allow-Headers"].lower().split(", ")
        assert set(wanted.split(", ")) <= set(names)
        assert given["Access-Control-Allow-Private-Network"] == "true"
        assert int(given["Access-Control-Max-Age"]) > 0
        assert "Origin" in given["Vary"]


def readable(response: aiohttp.ClientResponse) -> Any:
    """The headers, which the page may read."""
    assert response.headers["Access-Control-Allow-Origin"] == PAGE
    assert response.headers["Vary"] == "Origin"
    exposed = response.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"Location", "Retry-After", "WWW-Authenticate", "X-Task-Id"} <= set(exposed)
    return response.headers


async def test_a_page_reads_that_its_token_is_wrong(tmp_path: Path) -> None:
    async with (
        scripted_node(tmp_path, server__tokens=TOKENS, server__origins=[PAGE]) as node,
        aiohttp.ClientSession(headers={"Origin": PAGE}) as page,
    ):
        await preflight(page, f"{node.url}/tasks", "POST")
        async with page.post(f"{node.url}/tasks", json={}) as response:
            assert response.status == 401
            assert readable(response)["WWW-Authenticate"] == "Bearer"


async def test_what_there_is_to_do_is_said_to_programs_too(node: ScriptedNode) -> None:
    async with node.http.options(f"{node.url}/tasks") as response:
        assert response.status == 204
        assert response.headers["Allow"] == "GET, HEAD, OPTIONS, POST"
        assert "Access-Control-Allow-Methods" not in response.headers
    async with node.http.options(f"{node.url}/nothing") as response:
        assert response.status == 404


# ---- what is no request


@pytest.mark.parametrize(
    ("path", "members"),
    [
        ("/v1/chat/completions", {"error": {"message", "type", "param", "code"}}),
        ("/api/chat", {"error": None}),
        ("/tasks", {"type": None, "title": None, "status": None, "detail": None}),
    ],
)
async def test_what_is_no_request_is_refused_as_clients_read_it(
    node: ScriptedNode, path: str, members: dict[str, set[str] | None]
) -> None:
    line = f"POST {path}?x=1 HTTP/1.1\r\n".encode()
    for pieces, status in (
        ((line + b"Host : x\r\n\r\n",), 400),
        ((line[:9], line[9:], b"\0: x\r\n\r\n"), 400),
        ((line + b"Host: localhost\r\nExpect: magic\r\n\r\n",), 417),
        ((line + b"Host: localhost\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",), 431),
    ):
        async with raw(node.url) as client:
            for piece in pieces:
                await client.send(piece)
            answer = await client.answer()
        assert answer.status == status
        told = answer.json()
        assert told.keys() >= members.keys()
        for name, inner in members.items():
            assert inner is None or told[name].keys() == inner


# ---- bytes that are no text


async def test_bytes_that_are_no_text_are_the_clients_fault(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with scripted_node(tmp_path, server__tokens=TOKENS) as node:
        host, token = local(node), f"Authorization: Bearer {TOKENS['ada']}"
        bare = b"GET /tasks HTTP/1.1"
        for authorization in (
            b"Bearer \xff",
            b"Bearer \xc3\xa9",
            b"\xff \xff",
            b"Bearer \xed\xa0\x80",
        ):
            for lines in ((bare,), (SOCKET, *UPGRADE)):
                sent = b"Authorization: " + authorization
                answer = await exchange(node.url, *lines, host, sent)
                assert answer.status in (401, 403), authorization
        for header in (b"Idempotency-Key: \xe9", b"Last-Event-ID: \xff", b"X-Anything: \xff"):
            answer = await post(node, host, token, header)
            name = header.partition(b":")[0].decode()
            assert (answer.status, name in answer.json()["detail"]) == (400, True)
        assert (await post(node, host, token, "Idempotency-Key: é")).status == 202
        for target in ("/tasks/%ff", "/tasks/%ed%a0%80", "/tasks?before=%ff", "/tasks?%fe=1"):
            answer = await exchange(node.url, f"GET {target} HTTP/1.1", host, token)
            assert answer.status == 400, target
        for target in ("/tasks/%00", "/tasks?before=%00", "/tasks?state=%00", "/%00"):
            answer = await exchange(node.url, f"GET {target} HTTP/1.1", host, token)
            assert answer.status in (404, 422), target
        for line in (b"GET /tasks/\xff HTTP/1.1", b"GET /tasks?x=\xff HTTP/1.1"):
            assert (await exchange(node.url, line, host, token)).status == 400
        for offer in (b"phoenix, \xff", b"base64url.bearer.phx.\xff", b"base64url.bearer.phx._w"):
            sent = b"Sec-WebSocket-Protocol: " + offer
            answer = await exchange(node.url, SOCKET, *UPGRADE, host, sent)
            assert answer.status in (400, 403), offer
        answer = await exchange(
            node.url, "GET /socket/websocket?token=%ff HTTP/1.1", *UPGRADE, host
        )
        assert answer.status == 400
    assert "Traceback" not in caplog.text
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


async def test_no_log_has_a_token_that_was_in_a_query(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "a-secret-in-a-query"
    async with scripted_node(tmp_path, server__tokens={"ada": secret}) as node:
        for target, version in (
            (f"/socket/websocket?token={secret}", "HTTP/1.1"),
            (f"/socket/websocket?token={secret}%ff", "HTTP/1.1"),
            (f"/socket/websocket?token={secret}\xff", "HTTP/1.1"),
            (f"/tasks/x/events?token={secret}", "HTTP/1.1"),
            (f"/tasks/x/events?token={secret}", "HTTP/3.1"),
            (f"/tasks/x/events?token={secret} {secret}", "HTTP/1.1"),
        ):
            line = f"GET {target} {version}".encode("latin-1")
            answer = await exchange(node.url, line, local(node), "Sec-Fetch-Site: none")
            assert answer.status in (400, 404)
            assert secret.encode() not in answer.body
    assert secret not in caplog.text


async def test_an_open_node_does_not_read_tokens(node: ScriptedNode) -> None:
    sent = b"Authorization: Bearer \xff"
    assert (await exchange(node.url, b"GET /tasks HTTP/1.1", local(node), sent)).status == 200
