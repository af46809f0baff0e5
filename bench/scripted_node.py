"""A real node on a scripted engine, in a process of its own: measures the path, not the model.

``python -m bench.scripted_node DATA_DIR RATE SLOTS`` prints ``ready URL`` and serves until killed.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

from edge.node import Node
from edge.settings import load
from tests.support.scripted_engine import command


async def serve(data_dir: str, rate: str, slots: str) -> None:
    """Serves for as long as the process lives."""
    settings = load(environment={}, flags={"data.dir": data_dir, "server.port": 0})
    argv = command("--rate", rate, "--slots", slots, "--stamps")
    node = Node(settings, engine_command=lambda _safe: argv)
    started = await node.start()
    sys.stdout.write(f"ready {started.url}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(*sys.argv[1:4]))
