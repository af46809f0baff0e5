"""A real node on a scripted engine, in a process of its own: measures the path, not the model.

``python -m bench.scripted_node DATA_DIR RATE SLOTS [FLAG…]`` prints ``ready URL`` and serves until
killed. The flags are the scripted engine's.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil  # type: ignore[import-untyped]  # it ships no types
import uvloop

from edge.node import Node
from edge.settings import load
from tests.support.scripted_engine import command


@dataclass(frozen=True, slots=True)
class ScriptedNode:
    """A node process that is ready."""

    url: str
    process: psutil.Process

    async def figures(self, http: aiohttp.ClientSession) -> dict[str, Any]:
        """What the node says of itself on ``node:status``."""
        async with http.ws_connect(f"{self.url}/socket/websocket?vsn=2.0.0") as socket:
            await socket.send_str('["1","1","node:status","phx_join",{}]')
            _, _, _, _, payload = json.loads((await socket.receive()).data)
            figures: dict[str, Any] = payload["response"]
            return figures

    def cpu_s(self) -> float:
        """Processor time of the node itself, its engine not counted."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@asynccontextmanager
async def scripted_node(
    data_dir: Path, rate: int, slots: int, *flags: str
) -> AsyncIterator[ScriptedNode]:
    """A node whose engine makes `rate` steps a second."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.scripted_node", str(data_dir), str(rate), str(slots)),
        *flags,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().split()[1]
        yield ScriptedNode(url, psutil.Process(process.pid))
    finally:
        process.kill()
        await process.communicate()


async def serve(data_dir: str, rate: str, slots: str, *flags: str) -> None:
    """Serves for as long as the process lives."""
    settings = load(environment={}, flags={"data.dir": data_dir, "server.port": 0})
    argv = command("--rate", rate, "--slots", slots, "--stamps", *flags)
    node = Node(settings, engine_command=lambda _safe: argv)
    started = await node.start()
    sys.stdout.write(f"ready {started.url}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(*sys.argv[1:]))
