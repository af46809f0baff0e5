"""A node in a process of its own that tells what happens in it; its engine is the scripted one.

``python -m tests.support.node_process DATA_DIR [--model] [FLAG…]`` takes its settings from the
environment and serves until killed, or until SIGTERM stops it in order. With ``--model`` its engine
is the real one, else the flags are the scripted engine's. Each line that it prints is a telemetry
event: a JSON list of name and fields. Left out are those that come by the thousand.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys

import uvloop

from edge.node import Node
from edge.settings import load
from edge.telemetry import Event, Telemetry
from tests.support.scripted_engine import command
from tests.support.storyteller import STORYTELLER

FREQUENT = ("engine.step", "store.committed", "channel.joined")
FREQUENT_ROOMS = ("task.", "socket.", "http.")


def tell(event: Event) -> None:
    """Prints the event."""
    if event.name not in FREQUENT and not event.name.startswith(FREQUENT_ROOMS):
        sys.stdout.write(json.dumps([event.name, event.fields], default=str) + "\n")
        sys.stdout.flush()


async def serve(data_dir: str, *, model: bool, flags: list[str]) -> None:
    """Serves until it is told to stop."""
    telemetry = Telemetry()
    telemetry.attach(tell)
    argv = command(*flags)
    node = Node(
        load(flags={"data.dir": data_dir, "server.port": 0, "model.name": STORYTELLER}),
        telemetry=telemetry,
        engine_command=None if model else lambda _safe: argv,
    )
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    await node.start()
    await told.wait()
    await node.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir")
    parser.add_argument("--model", action="store_true")
    given, rest = parser.parse_known_args()
    uvloop.run(serve(given.data_dir, model=given.model, flags=rest))
