"""Whom a node lets in, and what it tells to whom: over real sockets, and in real processes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from edge.errors import StartupError
from edge.node import Node
from edge.settings import is_loopback, load
from tests.support.node_inside import ScriptedNode, scripted_node
from tests.support.storyteller import STORYTELLER

TOKENS = {"ada": "a secret of ada's own", "bob": "a secret of bob's own"}
STRANGER: dict[str, str] = {}


def of(client: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[client]}"}


async def get(node: ScriptedNode, path: str, headers: dict[str, str]) -> tuple[int, Any]:
    async with node.http.get(node.url + path, headers=headers) as response:
        return response.status, await response.json(content_type=None)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[ScriptedNode]:
    """One that ada and bob may use."""
    async with scripted_node(tmp_path, server__tokens=TOKENS) as running:
        yield running


def bare(**settings: str) -> dict[str, str]:
    """This environment with these settings alone."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ELWIFT_")}
    return own | {f"ELWIFT_SERVER__{name}": value for name, value in settings.items()}


async def said(process: asyncio.subprocess.Process, words: bytes) -> str:
    """The line of its standard error that has these words."""
    assert process.stderr is not None
    while words not in (line := await process.stderr.readline()):
        assert line, "the process ended"
    return line.decode()


@pytest.mark.parametrize(
    ("origins", "others"), [("", "nobody else"), ("http://localhost:5173", "and pages of http")]
)
async def test_who_is_let_in_is_said_at_the_start(
    tmp_path: Path, origins: str, others: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge.cli.main", "serve", "--port", "0"),
        *("--data-dir", str(tmp_path), "--model", STORYTELLER),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=bare(ORIGINS=origins),
    )
    try:
        assert others in await said(process, b"access")
    finally:
        process.kill()
        await process.wait()


async def test_the_node_for_the_occasion_is_for_this_machine_alone(tmp_path: Path) -> None:
    """Whatever the settings say of the node that serves."""
    nowhere = "9"
    environment = bare(HOST="0.0.0.0", PORT=nowhere, TOKENS=f"ada={TOKENS['ada']}", ORIGINS="*")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge.cli.main", "run", "A story", "--max-tokens", "400"),
        *("--data-dir", str(tmp_path), "--model", STORYTELLER),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        await said(process, b"node ready")
        hosts = {
            each.laddr.ip
            for each in psutil.Process(process.pid).net_connections("inet")
            if each.status == psutil.CONN_LISTEN
        }
        assert hosts
        assert all(map(is_loopback, hosts))
    finally:
        process.kill()
        await process.wait()


async def test_a_node_without_tokens_does_not_listen_to_others(tmp_path: Path) -> None:
    """Also when its settings were changed after they were checked."""
    flags = {"data.dir": str(tmp_path), "server.port": 0, "model.name": STORYTELLER}
    settings = load(environment={}, flags=flags)
    settings.server.host = "0.0.0.0"
    with pytest.raises(StartupError, match="the whole network"):
        await Node(settings).start()


# ---- who may know what


async def test_strangers_hear_one_word_of_how_the_node_is(tmp_path: Path) -> None:
    (tmp_path / "elwift.duckdb").write_bytes(b"garbage" * 1_000)
    async with scripted_node(tmp_path, server__tokens=TOKENS) as node:
        for path in ("/healthz", "/readyz"):
            for headers in (STRANGER, {"Authorization": "Bearer a secret of nobody's"}):
                assert await get(node, path, headers) == (200, {"status": "degraded"})
            status, told = await get(node, path, of("ada"))
            assert status == 200
            assert str(tmp_path) in json.dumps(told)
            async with node.http.head(node.url + path) as response:
                assert response.status == 200
        assert node.node.tasks is not None
        node.node.tasks.accepts = False
        assert await get(node, "/readyz", STRANGER) == (503, {"status": "unavailable"})


async def test_an_open_node_tells_everybody_who_reaches_it(tmp_path: Path) -> None:
    async with scripted_node(tmp_path) as node:
        assert (await get(node, "/healthz", STRANGER))[1]["engine"] == "ready"
        assert "parts" in (await get(node, "/readyz", STRANGER))[1]


LINES = ("GET {}", "GET {}/events", "GET {}/audit", "DELETE {}", "POST {}/retry")


async def test_a_foreign_task_is_like_one_that_never_was(node: ScriptedNode) -> None:
    """At every door, while it runs and when it has ended, in all that is answered."""
    ended = await node.submit("a story", max_tokens=2, headers=of("ada"))
    while (await get(node, f"/tasks/{ended}", of("ada")))[1]["state"] != "completed":
        pass
    running = await node.submit("a story", max_tokens=100_000, headers=of("ada"))
    nowhere = str(uuid4())
    for foreign in (ended, running):
        for line in LINES:
            method, path = line.split()
            answers = []
            for task_id in (foreign, nowhere):
                url = node.url + path.format(f"/tasks/{task_id}")
                async with node.http.request(method, url, headers=of("bob")) as response:
                    # Each request has an id of its own, whatever it asks for.
                    text = re.sub(r"req_\w+", "REQUEST", await response.text())
                    text = text.replace(task_id, "ID")
                    assert response.status == 404
                    answers.append((text, response.headers["Content-Length"]))
            assert answers[0] == answers[1], line
        pages = [await get(node, f"/tasks?before={each}", of("bob")) for each in (foreign, nowhere)]
        assert [status for status, _ in pages] == [404, 404]
        assert pages[0][1]["detail"].replace(foreign, nowhere) == pages[1][1]["detail"]
        assert (await get(node, f"/tasks?before={foreign}", of("ada")))[0] == 200
        replies = [await joined(node, f"task:{each}", {}) for each in (foreign, nowhere)]
        assert replies[0] == replies[1] == [("error", {"reason": "not found"})]
        told = await joined(node, "tasks:mine", {"offsets": {foreign: 0, nowhere: 0}}, 3)
        assert told == [
            ("ok", {"tasks": 0}),
            *(("unknown", {"task_id": each}) for each in (foreign, nowhere)),
        ]
    assert (await get(node, f"/tasks/{running}", of("ada")))[1]["state"] == "executing"
    for path in ("/tasks", "/stats", "/tasks/export"):
        async with node.http.get(node.url + path, headers=of("bob")) as response:
            text = await response.text()
            assert response.status == 200
            assert not {"ada", ended, running} & set(re.split(r"[^\w-]", text)), path


async def joined(
    node: ScriptedNode, topic: str, payload: dict[str, Any], entries: int = 1
) -> list[tuple[str, Any]]:
    """What bob hears first on a topic: the reply, then entries of updates."""
    heard: list[tuple[str, Any]] = []
    url = f"{node.url}/socket/websocket?vsn=2.0.0"
    async with node.http.ws_connect(url, headers=of("bob")) as socket:
        await socket.send_json(["1", "1", topic, "phx_join", payload])
        # Behind the join, before its answer: it must not reach anybody.
        if topic.startswith("task:"):
            await socket.send_json(["1", "2", topic, "cancel", {}])
        while len(heard) < entries:
            _, _, _, event, told = await socket.receive_json(timeout=30)
            if event == "phx_reply":
                heard.append((told["status"], told["response"]))
            else:
                heard += [(each["event"], {"task_id": each["task_id"]}) for each in told["updates"]]
    return heard


async def test_a_key_is_the_clients_own(node: ScriptedNode) -> None:
    key = {"Idempotency-Key": "one key for two"}
    tasks = {
        client: await node.submit("a story", max_tokens=2, headers=of(client) | key)
        for client in TOKENS
    }
    assert len(set(tasks.values())) == 2
    again = await node.submit("a story", max_tokens=2, headers=of("bob") | key)
    assert again == tasks["bob"]


async def test_the_nodes_figures_name_nobody(node: ScriptedNode) -> None:
    task_id = await node.submit("a story of ada's", max_tokens=100_000, headers=of("ada"))
    url = f"{node.url}/socket/websocket?vsn=2.0.0"
    async with node.http.ws_connect(url, headers=of("bob")) as socket:
        await socket.send_json(["1", "1", "node:status", "phx_join", {}])
        for _ in range(2):  # the reply, and a second later an event
            frame = await socket.receive_str(timeout=30)
            assert '"queued":' in frame
            for private in (task_id, "ada", "a story", TOKENS["ada"], TOKENS["bob"]):
                assert private not in frame
    for path in ("/healthz", "/readyz"):
        _, told = await get(node, path, of("bob"))
        assert "ada" not in json.dumps(told)


async def test_who_is_not_known_hears_nothing_but_that(node: ScriptedNode) -> None:
    """Whether there is such a task, such a path of it, or such a body, is not said before."""
    task_id = await node.submit("a story", max_tokens=2, headers=of("ada"))
    for line in (
        *(line.format(f"/tasks/{each}") for line in LINES for each in (task_id, uuid4(), "none")),
        "GET /tasks", "GET /tasks?before=none", "GET /tasks/export?format=none", "GET /stats",
        "POST /tasks",
    ):  # fmt: skip
        method, path = line.split()
        async with node.http.request(method, node.url + path) as response:
            assert response.status == 401, line
            assert response.headers["WWW-Authenticate"] == "Bearer"
