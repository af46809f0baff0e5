"""What looks after the node, with real processes: readiness, the history, an unreadable file."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import duckdb
import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from edge.actors import Actor, System
from edge.clock import SystemClock
from edge.services.health.readiness import HealthActor, HealthSources, Look, Steps
from edge.services.task.turns import Turns
from edge.settings import Health
from tests.support.node import RunningNode, serving, start_node
from tests.support.node_inside import scripted_node
from tests.support.rows import open_store

CLIENTS = {name: f"a secret of {name}'s own" for name in ("ada", "bob", "eve")}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def get(
    http: aiohttp.ClientSession, url: str, token: str | None = None
) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with http.get(url, headers=headers) as response:
        return response.status, await response.json(content_type=None)


async def submit(
    http: aiohttp.ClientSession, node: RunningNode, token: str | None = None, **body: Any
) -> str:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with http.post(f"{node.url}/tasks", json=body, headers=headers) as response:
        answer = await response.json(content_type=None)
        assert response.status == 202, answer
        return str(answer["task_id"])


async def elwift(node: RunningNode, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge.cli.main", *arguments, "--url", node.url),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


def engine_of(node: RunningNode) -> psutil.Process:
    children = psutil.Process(node.process.pid).children()
    return next(each for each in children if "edge.engine.worker" in each.cmdline())


async def test_a_node_whose_engine_hangs_is_not_ready(
    http: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELWIFT_HEALTH__LIMIT_MS", "3000")
    async with serving(tmp_path) as node:
        status, report = await get(http, f"{node.url}/readyz")
        assert (status, report["parts"]["engine"]["status"]) == (200, "ok")
        assert report["parts"]["store"]["status"] == "ok"
        engine = engine_of(node)
        engine.suspend()
        try:
            # The proof of a moment ago holds for a second at most.
            while status == 200:
                status, report = await get(http, f"{node.url}/readyz")
            assert (status, report["status"]) == (503, "unavailable")
            assert "made no step" in report["reasons"][0]
            alive, _ = await get(http, f"{node.url}/healthz")
            assert alive == 200
        finally:
            engine.resume()
        while status != 200 or report["parts"]["engine"]["status"] != "ok":
            status, report = await get(http, f"{node.url}/readyz")


async def test_a_janitor_that_fails_for_good_is_said(tmp_path: Path) -> None:
    async with scripted_node(tmp_path) as node:
        _, report = await node.call("GET", "/readyz")
        assert report["parts"]["helpers"] == {
            "status": "ok", "reason": None, "given_up": [], "detached": []
        }  # fmt: skip
        while (janitor := node.node.system.registry.whereis("janitor")) is not None:
            janitor.kill()
            await node.actor_gone("janitor")
        status, report = await node.call("GET", "/readyz")
        assert (status, report["status"]) == (200, "degraded")
        assert report["reasons"] == [
            "the janitor has failed for good (killed); start the node anew"
        ]


async def test_a_store_whose_writer_hangs_is_not_ready(tmp_path: Path) -> None:
    clock = SystemClock(asyncio.get_running_loop())
    store = await open_store(tmp_path / "edge.duckdb")
    system = System(clock, asyncio.get_running_loop().call_soon)
    system.spawn(Actor(), name="engine")
    turns = Turns(system, waiting_max=1, step_ms=0)
    limits = Health(limit_ms=100, disk_free_min_mib=0, memory_free_min_mib=0, lag_max_ms=60_000)
    sources = HealthSources(turns, store, Steps(clock), lambda: True)
    health = system.spawn(HealthActor(sources, limits), name="health")
    release = threading.Event()
    hanging = store._writer.call(release.wait)
    report: Any = await health.call(Look(), deadline_ms=20_000)
    assert report["status"] == "unavailable"
    assert "has not committed" in report["parts"]["store"]["reason"]
    release.set()
    await asyncio.wrap_future(hanging)
    await store.commit([])
    while report["parts"]["store"]["status"] != "ok":
        report = await health.call(Look(), deadline_ms=20_000)
    health.kill()
    await store.close()


async def test_the_history_on_the_command_line(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as node:
        task_id = await submit(http, node, prompt="Tell me a story", max_tokens=5)
        status, task = await get(http, f"{node.url}/tasks/{task_id}")
        while task["state"] != "completed":
            status, task = await get(http, f"{node.url}/tasks/{task_id}")
        assert status == 200
        file = tmp_path / "tasks.parquet"
        await elwift(node, "tasks", "export", "--format", "parquet", "--output", str(file))
        rows = duckdb.read_parquet(str(file)).project("task_id, state, completion_tokens")
        assert rows.fetchall() == [(task_id, "completed", 5)]
        (line,) = (await elwift(node, "tasks", "export")).splitlines()
        assert json.loads(line)["task_id"] == task_id
        trail = (await elwift(node, "tasks", "audit", task_id)).splitlines()
        assert [line.split()[1] for line in trail] == ["accepted", "started", "completed"]
        assert task_id in await elwift(node, "tasks", "list", "--since", task["created_at"])
        queue = await elwift(node, "queue")
        assert "1 completed" in queue
        assert "wait      p50" in queue


async def test_an_unreadable_database_is_said_everywhere_and_kept(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    (tmp_path / "elwift.duckdb").write_bytes(b"garbage" * 1_000)
    async with serving(tmp_path) as node:
        _, health = await get(http, f"{node.url}/healthz")
        kept = str(health["quarantined"])
        assert (health["status"], ".unreadable-" in kept) == ("degraded", True)
        status, report = await get(http, f"{node.url}/readyz")
        assert (status, report["status"]) == (200, "degraded")
        assert kept in report["reasons"][0]
        async with http.ws_connect(f"{node.url}/socket/websocket?vsn=2.0.0") as socket:
            await socket.send_str('["1","1","node:status","phx_join",{}]')
            figures = (await socket.receive_json())[4]["response"]
        assert figures["quarantined"] == kept
        assert await asyncio.to_thread(Path(kept).read_bytes) == b"garbage" * 1_000


# Two starts of a node and hundreds of tasks.
@pytest.mark.timeout(180)
async def test_the_line_after_a_kill_is_the_line_before(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    config = tmp_path / "elwift.toml"
    tokens = ", ".join(f'{name} = "{secret}"' for name, secret in CLIENTS.items())
    # A head start is worth what the engine makes in that time, so the line may change as soon as a
    # step has shown its pace. One that is longer than the whole line keeps the levels apart before
    # and after; and on a slow machine the engine, which stands still, is not taken for dead.
    config.write_text(
        f"[server]\ntokens = {{ {tokens} }}\n[model]\nslots = 2\nstall_kill_ms = 600000\n"
        "[tasks]\npriority_step_ms = 3600000\n"
    )
    flags = ("--config", str(config))
    data = tmp_path / "data"
    node = await start_node(data, *flags)
    tasks: dict[str, str] = {}
    try:
        engine = engine_of(node)
        engine.suspend()
        for number in range(1_000):
            client = list(CLIENTS)[number * number % 7 % 3]
            task_id = await submit(
                http, node, CLIENTS[client], prompt="Hello", priority=number % 4, max_tokens=400,
                ignore_eos=True,
            )  # fmt: skip
            tasks[task_id] = client
        before = await positions(http, node, tasks)
    finally:
        await node.kill(signal.SIGKILL)
        engine.kill()
    async with serving(data, *flags) as again:
        engine = engine_of(again)
        engine.suspend()  # some may have had their turn already; from now on nothing moves
        try:
            after = await positions(http, again, tasks)
        finally:
            engine.kill()
    assert len(before) == len(tasks) - 2
    waiting = [task_id for task_id in before if task_id in after]
    assert len(waiting) > 900
    assert [task_id for task_id in after if task_id in before] == waiting


async def positions(
    http: aiohttp.ClientSession, node: RunningNode, tasks: dict[str, str]
) -> list[str]:
    """Those that wait, in the order of their turns."""
    found = {}
    for task_id, client in tasks.items():
        _, task = await get(http, f"{node.url}/tasks/{task_id}", CLIENTS[client])
        if task["position"] is not None:
            found[task_id] = task["position"]
    return sorted(found, key=lambda task_id: found[task_id])
