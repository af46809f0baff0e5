"""The interface document against a real node: its routes, its parameters, its answers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import orjson
import pytest
import pytest_asyncio

from edge.gateway.ollama.errors import is_ours as is_ollamas
from edge.gateway.openai.errors import is_ours as is_openais
from edge.gateway.openapi import OPERATIONS, Operation
from edge.gateway.page_files import is_page
from tests.support.json_schema import Checker
from tests.support.node_inside import ScriptedNode, scripted_node

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOCKET = "/socket/websocket"
BY_NAME = {each.name: each for each in OPERATIONS}
PLAIN = [each for each in OPERATIONS if each.path != SOCKET]
ASKED = [
    each
    for each in PLAIN
    if any(parameter["in"] == "query" for parameter in each.parameters) and each.name != "watchTask"
]
"""Those with a query of their own; the token of the other is read before all else."""

SAMPLES: dict[str, str] = {
    "state": "completed",
    "since": "2020-01-01T00:00:00Z",
    "until": "2100-01-01T00:00:00Z",
    "limit": "7",
    "level": "warning",
    "after": "w:6:0.0:1",
    "format": "csv",
}
"""Of each parameter of a query one that is right, but for ids of tasks."""


@pytest_asyncio.fixture(loop_scope="module")
async def document(node: ScriptedNode) -> Any:
    async with node.http.get(f"{node.url}/openapi.json") as response:
        assert (response.status, response.content_type) == (200, "application/json")
        return await response.json()


def routes(node: ScriptedNode) -> set[tuple[str, str]]:
    """The node's own table, without the patterns of what is variable."""
    assert node.node._parts is not None
    found = set()
    for route in node.node._parts.application().router.routes():
        assert route.resource is not None
        canonical = route.resource.canonical
        if is_openais(canonical) or is_ollamas(canonical):
            continue  # their own makers describe these
        if is_page(canonical):
            continue  # they are for people
        path = re.sub(r"{(\w+):[^}]*}", r"{\1}", route.resource.canonical)
        found.add((route.method.lower(), path))
    return found


async def test_every_route_is_documented_and_no_other(node: ScriptedNode, document: Any) -> None:
    documented = {
        (method, path) for path, methods in document["paths"].items() for method in methods
    }
    found = routes(node)
    # What has GET has HEAD, and the socket answers other methods with a refusal.
    heads = {(method, path) for method, path in found if method == "head"}
    assert {("get", path) for _, path in heads} <= found
    sockets = {("*", SOCKET), ("*", f"{SOCKET}/")}
    assert found - heads - sockets == documented - {("get", SOCKET)}
    assert sockets <= found


async def ask(
    node: ScriptedNode, document: Any, operation: Operation, path: str, **how: Any
) -> tuple[int, Any]:
    """One request. Its answer is one of the operation's, and looks as the document says."""
    method = operation.method.upper()
    async with node.http.request(method, f"{node.url}{path}", **how) as response:
        status, kind, body = response.status, response.content_type, await response.read()
    checker = Checker(document)
    answers = document["paths"][operation.path][operation.method]["responses"]
    assert str(status) in answers, (operation.name, status, body[:200])
    content = checker.resolve(answers[str(status)]).get("content", {})
    kinds = {name.split(";")[0]: each for name, each in content.items()}
    if not kinds:
        assert body == b""
        return status, None
    assert kind in kinds, (operation.name, status, kind)
    if "schema" not in kinds[kind]:
        return status, body
    value = orjson.loads(body) if kind.endswith("json") else body.decode()
    assert checker.wrong(value, kinds[kind]["schema"]) is None
    return status, value


@pytest.mark.parametrize("operation", PLAIN, ids=lambda operation: operation.name)
async def test_every_operation_answers_as_it_says(
    node: ScriptedNode, document: Any, operation: Operation
) -> None:
    """With a task that has ended, one that waits, one that is not there, and what is no id."""
    await node.call("POST", "/queue/resume")  # one of them may have paused it
    waiting = await node.submit("a", schedule_in_ms=600_000, metadata={"a": [1]})
    ended = await node.submit("b", max_tokens=2)
    await node.ended(ended)
    if operation.body is not None:
        bodies: list[object] = [{"prompt": "c"}, {}, [], {"prompt": "d", "task_id": ended}]
        statuses = [
            (await ask(node, document, operation, operation.path, json=body))[0] for body in bodies
        ]
        assert statuses == [202, 422, 400, 409]
    elif "{task_id}" not in operation.path:
        status, _ = await ask(node, document, operation, operation.path)
        assert status == 200
    else:
        for task_id in (ended, str(uuid4()), "no id", waiting):
            if operation.name == "watchTask" and task_id == waiting:
                continue  # that lasts
            headers = {"Last-Event-ID": "end"} if task_id == ended else {}
            path = operation.path.replace("{task_id}", quote(task_id))
            status, _ = await ask(node, document, operation, path, headers=headers)
            assert (status == 404) == (task_id not in (ended, waiting))


@pytest.mark.parametrize("operation", ASKED, ids=lambda operation: operation.name)
async def test_every_parameter_is_read_and_no_other(
    node: ScriptedNode, document: Any, operation: Operation
) -> None:
    names = [each["name"] for each in operation.parameters]
    samples = SAMPLES | {"before": await node.submit("a", schedule_in_ms=600_000)}
    query = urlencode({name: samples[name] for name in names})
    status, _ = await ask(node, document, operation, f"{operation.path}?{query}")
    assert status == 200
    status, problem = await ask(node, document, operation, f"{operation.path}?nonsense=1")
    assert status == 422
    assert problem["detail"].endswith(f"there are {', '.join(names)}")
    for each in operation.parameters:
        name = each["name"]
        for wrong in wrong_samples(each["schema"]):
            path = f"{operation.path}?{urlencode({name: wrong})}"
            status, problem = await ask(node, document, operation, path)
            assert (status, problem["field"]) == (404 if name == "before" else 422, name)


def wrong_samples(schema: Any) -> list[str]:
    """What a parameter may not be."""
    bounds = [("minimum", -1), ("maximum", 1)]
    return ["nonsense", "", *(str(schema[name] + by) for name, by in bounds if name in schema)]


async def test_headers_that_the_document_names_are_read(node: ScriptedNode, document: Any) -> None:
    submit, watch = BY_NAME["submitTask"], BY_NAME["watchTask"]
    (key,) = submit.parameters
    most = key["schema"]["maxLength"]
    for length, expected in ((most, 202), (most + 1, 422)):
        how = {"json": {"prompt": "a"}, "headers": {key["name"]: "k" * length}}
        status, _ = await ask(node, document, submit, "/tasks", **how)
        assert status == expected
    task_id = await node.submit("a", schedule_in_ms=600_000)
    (last,) = (each for each in watch.parameters if each["in"] == "header")
    for event_id in ("-1", "1" * 16, "ends", "0x1"):
        assert re.search(last["schema"]["pattern"], event_id) is None
        path = f"/tasks/{task_id}/events"
        status, problem = await ask(node, document, watch, path, headers={last["name"]: event_id})
        assert (status, problem["field"]) == (422, last["name"])


async def test_the_socket_refuses_as_it_says(node: ScriptedNode, document: Any) -> None:
    for query, expected in (("", 400), ("?vsn=9.9.9", 403)):
        status, _ = await ask(node, document, BY_NAME["openSocket"], SOCKET + query)
        assert status == expected


async def test_a_stranger_may_read_the_document_and_no_more_than_it_says(tmp_path: Path) -> None:
    tokens = {"ada": "the secret of ada"}
    async with scripted_node(tmp_path, server__tokens=tokens) as node:
        async with node.http.get(f"{node.url}/openapi.json") as response:
            document = await response.json()
        for operation in PLAIN:
            path = operation.path.replace("{task_id}", str(uuid4()))
            status, _ = await ask(node, document, operation, path)
            assert (status == 401) == operation.secret
