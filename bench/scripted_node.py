"""A real node on a scripted engine, in a process of its own: measures the path, not the model."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil  # type: ignore[import-untyped]  # it ships no types

from tests.support.scripted_node import start_scripted_node


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
    pace = ("--rate", str(rate), "--slots", str(slots), "--stamps")
    node = await start_scripted_node(data_dir, *pace, *flags)
    try:
        yield ScriptedNode(node.url, psutil.Process(node.process.pid))
    finally:
        node.process.kill()
        await node.process.communicate()
