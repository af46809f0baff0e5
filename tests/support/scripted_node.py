"""A real node on the scripted engine, in a process of its own: can be killed, stopped, and started
again on the same data directory.

``python -m tests.support.scripted_node [FLAG…]`` serves like `elwift serve`; settings come from the
environment, the flags are the engine's.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path
from typing import Any

import uvloop

from edge.node import Node
from edge.settings import load
from edge.telemetry import log_events
from tests.support.node import RunningNode, start_module
from tests.support.scripted_engine import command
from tests.support.storyteller import STORYTELLER


async def start_scripted_node(
    data_dir: Path, *engine_flags: str, settings: dict[str, str] | None = None, **how: Any
) -> RunningNode:
    """Starts one and waits until it is ready. ``settings`` by path, such as ``server.drain_ms``;
    ``how`` as in `start_module`."""
    chosen = {"data.dir": str(data_dir), "server.port": "0", "model.name": STORYTELLER}
    chosen |= settings or {}
    environment = {
        f"ELWIFT_{path.upper().replace('.', '__')}": value for path, value in chosen.items()
    }
    return await start_module(
        "tests.support.scripted_node", *engine_flags, environment=environment, **how
    )


async def serve(*engine_flags: str) -> None:
    """Serves until SIGTERM, then stops in order."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    argv = command(*engine_flags)
    node = Node(load(), engine_command=lambda _safe: argv)
    log_events(node.telemetry)
    started = await node.start()
    print(f"ready {started.url}", flush=True)  # noqa: T201  # a command's own output
    await told.wait()
    await node.stop()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    uvloop.run(serve(*sys.argv[1:]))
