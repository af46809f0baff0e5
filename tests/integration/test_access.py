"""Whom a node lets in, and what it tells to whom: over real sockets, and in real processes."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from edge.errors import StartupError
from edge.node import Node
from edge.settings import is_loopback, load

TOKENS = {"ada": "a secret of ada's own", "bob": "a secret of bob's own"}


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
