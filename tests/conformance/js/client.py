"""phoenix.js in a Node process that watches one task, seen from Python."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Line = dict[str, Any]

CATCH_UP = ("rewind", "completed", "failed", "cancelled")
"""What the node says right after a join if it happened before."""


@dataclass(frozen=True, slots=True)
class PhoenixJs:
    """An installed version of the package: where, under which alias, its number."""

    folder: Path
    package: str
    version: str


class Client:
    """One client; `client.mjs` says what its lines are."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[Line] = []

    async def hear(self) -> Line:
        """The next line."""
        assert self._process.stdout is not None
        text = await self._process.stdout.readline()
        assert text, "the client ended without a last word"
        line: Line = json.loads(text)
        assert line["event"] != "crashed", "a channel of the node crashed"
        self.lines.append(line)
        return line

    async def until(self, *events: str, chars: int = 0) -> Line:
        """Hears until one of these events, with this much text."""
        while True:
            line = await self.hear()
            if line["event"] in events and line["chars"] >= chars:
                return line

    def join(self, task_id: str) -> None:
        """Connects and joins; to be called once, before all else."""
        self._write(task_id)

    async def push(self, event: str) -> Line:
        """Pushes on the channel, joined or not; the line that says whether it went at once."""
        self._write(event)
        return await self.until("pushed")

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    async def text(self, *, restarted: bool = False) -> str:
        """The whole text at the end of the channel, after a look at every seam."""
        last = await self.until("closed")
        check_seams(self.lines, restarted=restarted)
        text: str = last["text"]
        return text

    def of(self, event: str) -> list[Line]:
        """The lines of this event so far."""
        return [line for line in self.lines if line["event"] == event]


def check_seams(lines: Sequence[Line], *, restarted: bool) -> None:
    """Neither gap nor repeat, in text and numbers.

    Each delta begins where the text ends. Within one join the events count on from the reply's
    `seq`; what only catches up carries that number itself. From one join to the next the numbers
    never go back, unless the node was restarted.
    """
    chars, seq, joined_seq = 0, 0, 0
    for line in lines:
        if line["event"] == "joined":
            assert line["reply"]["offset"] <= chars
            joined_seq = line["reply"]["task"]["seq"]
            assert joined_seq >= seq or restarted
            seq = joined_seq
        elif "payload" in line:
            payload = line["payload"]
            catches_up = line["event"] in CATCH_UP or payload.get("phase") == "catch_up"
            if not (catches_up and payload["seq"] == seq == joined_seq):
                assert payload.get("from_seq", payload["seq"]) == seq + 1
            assert payload.get("offset", chars) == chars or line["event"] == "rewind"
            seq = payload["seq"]
        chars = line["chars"]


@asynccontextmanager
async def phoenix_client(
    phoenix_js: PhoenixJs, url: str, *, payload: Any = None, **options: Any
) -> AsyncIterator[Client]:
    """A client of the node at this URL, ready to join; ``options`` are its Socket's, ``payload``
    goes with the offset at each join."""
    wish = {
        "phoenix": phoenix_js.package,
        "url": url.replace("http", "ws", 1) + "/socket",
        "options": options,
        "join": payload or {},
    }
    process = await asyncio.create_subprocess_exec(
        *("node", "client.mjs", json.dumps(wish)),
        cwd=phoenix_js.folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    assert process.stdin is not None
    try:
        client = Client(process)
        await client.until("ready")
        yield client
    finally:
        process.stdin.close()
        await process.communicate()
