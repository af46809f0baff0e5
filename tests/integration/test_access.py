"""Whom a node lets in, and what it tells to whom: over real sockets, and in real processes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from edge.errors import StartupError
from edge.node import Node
from edge.settings import is_loopback, load
from tests.support.node_inside import ScriptedNode, scripted_node

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


async def test_the_node_for_the_occasion_is_for_this_machine_alone(tmp_path: Path) -> None:
    """Whatever the settings say of the node that serves."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ELWIFT_")},
        "ELWIFT_SERVER__HOST": "0.0.0.0",
        "ELWIFT_SERVER__PORT": "9",  # where nobody listens
        "ELWIFT_SERVER__TOKENS": f"ada={TOKENS['ada']}",
        "ELWIFT_SERVER__ORIGINS": "*",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge.cli.main", "run", "A story", "--max-tokens", "400"),
        *("--data-dir", str(tmp_path)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        assert process.stderr is not None
        while b"node ready" not in (line := await process.stderr.readline()):
            assert line, "the node did not start"
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
    settings = load(environment={}, flags={"data.dir": str(tmp_path), "server.port": 0})
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
