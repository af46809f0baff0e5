"""The way of a task through the node is the one that DEVELOPING.md tells, in few files."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tests.support.node_inside import scripted_node

ROOT = Path(__file__).parents[2]
EDGE = f"{ROOT / 'edge'}/"
FILES_MAX = 24
"""A stranger can read so many from top to bottom."""

# Classes alone, whose own code is none of this project's: the profiler never sees them entered.
DATA = {"tasks/events.py", "tasks/effects.py"}
# For who watches one task; here all of a client's are watched.
OTHERWISE = {"services/watchers/task_channel.py"}


def told() -> tuple[list[str], set[str]]:
    """The files of the flow in the order in which they are told, and the rooms beside it."""
    text = (ROOT / "DEVELOPING.md").read_text(encoding="utf-8")
    section = text.partition("## How a task flows")[2].partition("\n## ")[0]
    flow, _, rooms = section.partition("On its way a task also")
    steps = flow.partition("\nA task that the model cannot")[0]
    named = [
        name for name in re.findall(r"`([\w/]+\.py)`", steps) if (ROOT / "edge" / name).exists()
    ]
    return list(dict.fromkeys(named)), set(re.findall(r"`([\w/]+(?:\.py|/))`", rooms))


@contextmanager
def entered() -> Iterator[set[str]]:
    """The files of the node that are entered meanwhile."""
    files: set[str] = set()

    def look(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(EDGE):
            files.add(frame.f_code.co_filename.removeprefix(EDGE))

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        yield files
    finally:
        sys.setprofile(before)


async def test_a_task_goes_where_it_is_told(tmp_path: Path) -> None:
    flow, rooms = told()
    assert len(flow) <= FILES_MAX
    async with scripted_node(tmp_path) as node:
        address = f"{node.url}/socket/websocket?vsn=2.0.0"
        async with node.http.ws_connect(address) as socket:
            await socket.send_str(json.dumps(["1", "1", "tasks:mine", "phx_join", {}]))
            assert '"ok"' in await socket.receive_str(timeout=30)
            with entered() as files:
                await node.submit("count 3")
                while '"completed"' not in await socket.receive_str(timeout=30):
                    pass
    assert files >= set(flow) - DATA - OTHERWISE
    beside = {
        file
        for file in files - set(flow)
        if not any(file == room or (room[-1] == "/" and file.startswith(room)) for room in rooms)
    }
    assert not beside, "they belong to the flow, or to a room"
