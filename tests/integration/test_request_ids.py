"""Each request has an id: in its answer, its errors and its events, on every surface."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.node import joined
from tests.support.node_inside import ScriptedNode
from tests.support.raw import raw

pytestmark = pytest.mark.asyncio(loop_scope="module")

OWN = "app-7:the.request"


async def ask(node: ScriptedNode, path: str, **how: Any) -> tuple[int, str, Any]:
    method, headers = how.pop("method", "GET"), how.pop("headers", {})
    async with node.http.request(method, node.url + path, headers=headers, **how) as response:
        body = await response.read()
        answer = await response.json(content_type=None) if body[:1] == b"{" else None
        return response.status, response.headers["X-Request-Id"], answer


@pytest.mark.parametrize(
    "path",
    ["/healthz", "/queue", "/tasks", "/metrics", "/v1/models", "/api/tags", "/openapi.json"],
)
async def test_it_is_told_with_every_answer(node: ScriptedNode, path: str) -> None:
    status, own, _ = await ask(node, path, headers={"X-Request-Id": OWN})
    assert (status, own) == (200, OWN)
    _, first, _ = await ask(node, path)
    _, second, _ = await ask(node, path)
    assert first.startswith("req_")
    assert first != second


@pytest.mark.parametrize("text", ["two words", "x" * 129, "<script>", "\u00e9"])
async def test_one_that_could_not_be_told_is_replaced(node: ScriptedNode, text: str) -> None:
    _, given, _ = await ask(node, "/healthz", headers={"X-Request-Id": text})
    assert given.startswith("req_")


async def test_a_problem_has_it_and_the_events_have_its_cause(node: ScriptedNode) -> None:
    headers = {"X-Request-Id": OWN}
    status, own, problem = await ask(node, "/nowhere", headers=headers)
    assert (status, own, problem["request_id"]) == (404, OWN, OWN)
    status, _, problem = await ask(node, "/tasks", method="POST", json={}, headers=headers)
    assert (status, problem["request_id"]) == (422, OWN)
    status, own, _ = await ask(
        node, "/v1/chat/completions", method="POST", json={"messages": 1}, headers=headers
    )
    assert (status, own) == (400, OWN)
    ends = [event.fields for event in node.heard.of("request.stop")]
    assert [(each["status"], each["route"]) for each in ends] == [
        (404, ""), (422, "/tasks"), (400, "/v1/chat/completions")
    ]  # fmt: skip
    assert {each["request_id"] for each in ends} == {OWN}
    assert all(each["cause"] for each in ends)
    async with node.http.get(f"{node.url}/metrics") as response:
        text = await response.text()
    for each in ends:
        assert f'elwift_requests_refused_total{{cause="{each["cause"]}"}}' in text


async def test_a_stream_and_a_socket_have_it(node: ScriptedNode) -> None:
    task_id = await node.submit("count 3")
    async with node.http.get(
        f"{node.url}/tasks/{task_id}/events", headers={"X-Request-Id": OWN}
    ) as response:
        assert response.headers["X-Request-Id"] == OWN
        await response.read()
    body = {"messages": [{"role": "user", "content": "count 3"}], "stream": True}
    async with node.http.post(
        f"{node.url}/v1/chat/completions", json=body, headers={"X-Request-Id": OWN}
    ) as response:
        assert response.headers.getall("X-Request-Id") == [OWN]
        await response.read()
    async with node.http.ws_connect(
        f"{node.url}/socket/websocket?vsn=2.0.0", headers={"X-Request-Id": OWN}
    ) as socket:
        assert socket._response.headers["X-Request-Id"] == OWN
    async with joined(node.http, node.url, task_id):
        pass


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_a_trace_is_kept_with_its_task(node: ScriptedNode) -> None:
    task_id = await node.submit("count 2", headers={"traceparent": TRACE})
    assert (await node.task(task_id))["traceparent"] == TRACE
    body = {"messages": [{"role": "user", "content": "count 3"}]}
    async with node.http.post(
        f"{node.url}/v1/chat/completions", json=body, headers={"traceparent": TRACE}
    ) as response:
        called = response.headers["X-Task-Id"]
    assert (await node.task(called))["traceparent"] == TRACE


@pytest.mark.parametrize("text", ["", "nonsense", TRACE.upper(), f"ff{TRACE[2:]}"])
async def test_a_bad_trace_is_ignored(node: ScriptedNode, text: str) -> None:
    task_id = await node.submit("count 2", headers={"traceparent": text})
    assert "traceparent" not in await node.task(task_id)


async def test_what_is_no_request_has_one_of_the_nodes(node: ScriptedNode) -> None:
    async with raw(node.url) as client:
        await client.send(b"NONSENSE\r\n\r\n")
        answer = await client.answer()
    assert answer.status == 400
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    assert answer.headers["x-request-id"].startswith("req_")
